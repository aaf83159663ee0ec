"""Label sets in the formats of other tools: one module per format, all with the same functions.

``write_image(folder, image, classes, settings)``
    Write the files of one image below ``folder`` and return what the set's document needs of it.
``write_set(folder, records, classes, settings)``
    Write what is there once: document, class table, lists. ``records`` may be gone through several
    times and is never held in memory.
``read_set(folder, classes)``
    The labels in a folder of that format, see :class:`pseudogt.export.segments.LabelSet`.
"""

from pseudogt.config.registry import Registry

FORMATS = Registry("pseudogt.export.formats", "export format")
