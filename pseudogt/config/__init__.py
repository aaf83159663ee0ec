"""One module per section of the configuration; ``run`` combines them."""
