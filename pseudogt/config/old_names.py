"""Renamed and removed settings: an error message tells users of an old name what to write instead."""

from __future__ import annotations

RENAMED = {
    "labels.cam_weight": "labels.first_scores_weight",
    "labels.instances": "labels.overlap",
    "labels.min_confidence_cams": "labels.min_confidence_first",
    "rounds.merge_box_masks": "rounds.box_mask_rounds",
}
"""Old name -> new name; the values are the same."""

NO_CACHE = "prepared images are files in the scratch folder, which every process maps"

PASSES = "the number of passes follows: set images_per_pass to batch_size / (devices x passes), or leave it out for one"

REMOVED = {
    "classifier.accumulation": PASSES,
    "mining.accumulation": PASSES,
    "optimisation.accumulation": PASSES,
    "segmenter.accumulation": PASSES,
    "box_masks.seed": "GrabCut's seed is 0",
    "cams.region_min_area_px": "the smallest region has 20 pixels",
    "classifier.cache_gb": NO_CACHE,
    "classifier.region_weight": "the loss of the tags has weight 1; change candidate_weight or presence_weight",
    "labels.fill_keeps_things": "filling a box always spares the pixels of other things",
    "labels.merge_box_masks": "set rounds.box_mask_rounds to 0 instead of false, and leave it out instead of true",
    "machine.cache_gb": NO_CACHE,
    "mining.cache_gb": NO_CACHE,
    "mining.evidence_gb": "masks of GrabCut are files in the folder evidence, which all runs share",
    "mining.semantic_channels": "the semantic branch is 128 wide, as in the paper",
    "mining.workers": "GrabCut runs in as many threads as the job has cores",
    "report.opacity": "the opacity is 0.65",
    "review.picture_width_px": "pictures are 560 pixels wide",
    "segmenter.cache_gb": NO_CACHE,
    "segmenter.fixed_images": "the loss that decides when rounds stop is measured on 64 images",
}
"""Old name -> what holds now, or what to do instead."""


def explain_old_name(key: str) -> str | None:
    """What to do about an old ``section.setting``; None if there never was one."""
    if key in RENAMED:
        return f"this setting is called {RENAMED[key]} now"
    return f"this setting was removed: {REMOVED[key]}" if key in REMOVED else None
