"""Tracking: the storage of runs, models and their files, and how they are logged to MLflow."""
