"""What everything else stands on: files, geometry, labels, NIfTI, errors. It imports no other part of glioseg."""
