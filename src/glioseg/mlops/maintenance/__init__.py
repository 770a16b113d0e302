"""Upkeep: free `mlruns` of what nobody needs, and let a moved project work again."""
