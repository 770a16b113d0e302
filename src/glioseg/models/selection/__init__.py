"""Choices made on unseen cases: passes, post-processing, temperatures, intervals, quality estimator."""
