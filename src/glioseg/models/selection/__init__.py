"""Choices made on validation cases: passes, post-processing, temperatures, intervals, quality estimator."""
