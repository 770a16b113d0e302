"""Pretraining: trains the built-in models, and writes them into the package with their lineage."""
