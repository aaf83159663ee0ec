"""Text files of unknown origin: what they are, what they hold, and messages on what does not fit."""
