"""The label generation of the weak panoptic authors on files in their layout: Li, Arnab, Torr, ECCV 2018.

Run as ``python -m pseudogt.wsps``. The computing is that of the workflow (:mod:`pseudogt.pseudo_labels.cleaning`,
:mod:`pseudogt.boxes`, :mod:`pseudogt.pseudo_labels.instances`); here are the authors' files, options and order.
"""
