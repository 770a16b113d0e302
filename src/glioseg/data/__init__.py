"""Training data: cases, synthetic cases, validation against the contract, the store, splits."""
