"""Applying a panoptic network without torch: passes over images, tiles, decoding, exported models."""
