"""What the rules and the stages share.

For the rules, while the workflow is parsed: ``assignment`` and ``shards`` divide the images, ``plan`` says which files
a run makes, ``subjects`` what it scores, ``given_files``, ``networks`` and ``weights`` what it was given, ``entries``
and ``provenance`` what makes a stage run again, ``locks`` and ``resume`` keep runs apart and continue them. For the
stages: ``cli`` and ``stage``.
"""
