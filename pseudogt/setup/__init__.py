"""Configure a run for a folder of your own images: survey it, interpret its files and write a configuration."""
