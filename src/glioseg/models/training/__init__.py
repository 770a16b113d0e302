"""Training: patches, augmentation, losses, the loop, and many devices."""
