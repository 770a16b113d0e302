"""Scores, pictures and the report."""
