from panoptic_dataset import panoptic_dataset, panoptic_model

__all__ = ["panoptic_dataset", "panoptic_model"]
