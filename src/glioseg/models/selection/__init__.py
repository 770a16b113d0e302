"""What validation cases choose: thresholds, calibration, and when to trust a prediction."""
