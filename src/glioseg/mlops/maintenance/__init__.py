"""Maintenance of `mlruns`: removing what no registered version references, and repairing a moved project."""
