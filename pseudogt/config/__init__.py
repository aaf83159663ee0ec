"""One module per section of the configuration; ``run`` puts them together."""
