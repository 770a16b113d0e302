"""Networks: building, training and running them."""
