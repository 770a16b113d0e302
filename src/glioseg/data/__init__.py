"""Scans and what is made of them: cases, volumes, phantoms, the contract, the store, splits."""
