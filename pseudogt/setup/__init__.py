"""Configure a run for a folder of your own images: list its files, interpret them and write a configuration."""
