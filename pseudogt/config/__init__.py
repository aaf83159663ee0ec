"""The configuration: one module for each section, called like it; ``run`` combines them and checks them together.

The other modules serve all sections: ``base`` is what a section inherits from, ``training`` what those of trained
networks share, ``inheritance`` passes on what stands in a shared section, ``registry`` reads tables of plug-ins,
``old_names`` and ``duplicate_keys`` and ``unread`` find what users wrote in vain, and ``document`` writes
``config.yaml``.
"""
