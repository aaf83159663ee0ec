"""Networks that come with trained weights, or load the user's: box masks, contours, Segment Anything."""
