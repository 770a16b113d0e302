"""Versions of the registered model, and the gate that a version must pass to become champion."""
