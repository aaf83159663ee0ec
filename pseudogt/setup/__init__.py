"""A configuration for a folder of somebody's own images: what lies there, what it means, and the file that says so."""
