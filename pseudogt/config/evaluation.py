"""Section ``evaluation``: how labels and predictions are scored."""

from pydantic import Field

from pseudogt.classes import INSTANCE_DIVISOR
from pseudogt.config.base import Section


class EvaluationSettings(Section):
    """How labels and predictions are scored."""

    max_detections: int = Field(
        INSTANCE_DIVISOR,
        ge=1,
        description="Number of segments per image and class, best scores first, that count for AP. COCO uses 100; "
        "lower it to 100 to compare with published figures on images with more objects of a class than that.",
    )
    ap_ignores_void: bool = Field(
        False,
        description="AP leaves out the void pixels of the ground truth, as PQ does. COCO's AP counts them against a "
        "segment; set it to true if much of the images is void, for instance a background that was not labelled.",
    )
