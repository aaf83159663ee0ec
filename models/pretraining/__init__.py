"""The commands that made the weight files of `models.pretrained`."""
