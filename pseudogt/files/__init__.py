"""Files in the workflow's own formats: images, JSON, HDF5, label folders, score files, the index."""
