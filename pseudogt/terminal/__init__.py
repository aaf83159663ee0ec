"""What a run shows in the terminal: its stages with their progress, the time left, scores and errors."""
