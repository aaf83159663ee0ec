"""The tag classifier and its activation maps."""
