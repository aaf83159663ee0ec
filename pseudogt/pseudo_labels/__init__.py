"""Labels made from scores, masks and weak labels: CAMs, cleaning, instances, merging, rounds."""
