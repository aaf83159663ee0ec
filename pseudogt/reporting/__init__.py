"""What people look at: overlays, the report, the review queue."""
