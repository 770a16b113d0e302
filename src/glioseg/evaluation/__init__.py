"""Metrics of predictions, pictures of cases, and the report."""
