"""Proof: how a version came to be, and doing it again."""
