"""Validation of data: statistics, expectations from the contract, reports and Data Docs."""
