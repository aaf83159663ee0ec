"""Masks of the things in given boxes: segmenters, and their consensus."""
