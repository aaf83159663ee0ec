"""Entries of tables of plug-ins that a stage looks up, so that the code of all others does not count as its own."""

from __future__ import annotations

from pseudogt.config.registry import list_entries
from pseudogt.config.run import RunConfig
from pseudogt.config.segmenter import NETWORK_TABLE
from pseudogt.config.training import BACKBONE_TABLE, FAMILY_TABLE

BACKBONE_SECTIONS = {
    "classifier": "classifier",
    "cams": "classifier",
    "mining": "mining",
    "mined": "mining",
    "segmenter": "segmenter",
    "reference": "segmenter",
    "predictions": "segmenter",
}
"""Section that names the backbone of the network that a stage trains or applies."""


def select_entries(config: RunConfig, stage: str, *, export_format: str | None = None) -> dict[str, list[str]]:
    """Entries of tables that a stage looks up with these settings; tables that are not named are used as a whole.

    Parameters
    ----------
    config : RunConfig
    stage : str
        Its word.
    export_format : str, optional
        Format of an export, which is not a setting of one job alone.
    """
    selection = {
        "pseudogt.annotations.formats": [config.annotations.format] if config.annotations.format else [],
        "pseudogt.datasets.layouts": [config.dataset.format],
        "models.pretrained.box_segmenters": list(config.box_masks.segmenters),
    }
    if export_format is not None:
        selection["pseudogt.export.formats"] = [export_format]
    if stage in BACKBONE_SECTIONS:
        backbone = getattr(config, BACKBONE_SECTIONS[stage]).backbone
        family = backbone.partition("/")[0]
        # The ResNet-WS of mining are not entries: they are part of JTSM's own code.
        for table in (BACKBONE_TABLE, FAMILY_TABLE):
            selection[table] = [family] if family in list_entries(table) else []
    if BACKBONE_SECTIONS.get(stage) == "segmenter":
        selection[NETWORK_TABLE] = [config.segmenter.network]
    return selection
