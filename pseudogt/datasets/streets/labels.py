"""Cityscapes' label ids that occur in the generated street scenes."""

from __future__ import annotations

UNLABELED, EGO_VEHICLE, OUT_OF_ROI, STATIC = 0, 1, 3, 4
ROAD, SIDEWALK, BUILDING, FENCE, VEGETATION, SKY = 7, 8, 11, 13, 21, 23
PERSON, CAR, BICYCLE = 24, 26, 33
THINGS = (PERSON, CAR, BICYCLE)
