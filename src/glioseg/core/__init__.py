"""Foundations without imports from other parts of glioseg: files, geometry, labels, NIfTI, errors."""
