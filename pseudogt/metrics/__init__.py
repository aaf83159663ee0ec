"""Scores of labels, predictions, detections and contours against ground truth."""
