"""Cropped cases: how they are cut, stored and read at each resolution."""
