"""What the data must be: the contract, its expectations, and the reports of what was found."""
