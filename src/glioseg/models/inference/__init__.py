"""From scans to a prediction: forward passes, post-processing, uncertainty and expected quality."""
