"""The drawn street scenes of the embedded default."""
