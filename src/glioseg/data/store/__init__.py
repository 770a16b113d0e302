"""Cropped cases: cropping, resampling, writing the store and reading it."""
