"""Weak labels: boxes of things, tags of images and of crops, and what they allow."""
