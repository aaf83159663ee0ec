"""Masks of the things in given boxes: a scene of boxes, segmenters that look at it, and their consensus."""
