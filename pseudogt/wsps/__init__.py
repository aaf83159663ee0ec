"""The label generation of the WSPS authors, on files in their layout: Li, Arnab, Torr, ECCV 2018.

Run as ``python -m pseudogt.wsps``. The computations are those of the workflow (:mod:`pseudogt.pseudo_labels.cleaning`,
:mod:`pseudogt.boxes`, :mod:`pseudogt.pseudo_labels.instances`); this package adds the authors' files, options and
order.
"""
