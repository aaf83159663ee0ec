"""Segment proposals: contours, hierarchies of regions, and unions of neighbouring regions, ranked."""
