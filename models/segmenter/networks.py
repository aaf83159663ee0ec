"""The segmenter's networks by name: to add one, write its module and import it here.

A module has ``NetworkShape``, a frozen dataclass of the settings that say how large the network is; ``build_network``,
which takes these, ``backbone``, ``class_count`` and ``weights``; and ``Loss``, a frozen dataclass of settings and
``class_weights`` that computes the losses of a network on a batch. :data:`pseudogt.prediction.kinds.KINDS` says how its
outputs are decoded, and ``READ_BY`` in :mod:`pseudogt.config.segmenter` which settings it alone reads.
"""

from models.segmenter import bottom_up as bottom_up
from models.segmenter import eomt as eomt
from models.segmenter import mask_transformer as mask_transformer
