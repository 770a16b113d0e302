"""Networks: their layers, precision and weights."""
