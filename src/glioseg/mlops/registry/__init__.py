"""Promotion: versions of the registered model, and the gate that a champion passes."""
