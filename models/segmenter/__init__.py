"""The panoptic network: training batches, losses, decoding, inference."""
