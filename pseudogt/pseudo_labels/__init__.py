"""Labels made of scores, masks and weak labels: CAMs, cleaning, instances, merging, rounds."""
