"""Networks with trained weights of their own or from the user: box masks, contours, Segment Anything."""
