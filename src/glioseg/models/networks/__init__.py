"""U-Nets: architectures, precision, model files, and transfer of weights."""
