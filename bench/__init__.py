"""Benchmarks beside peers; `python -m bench` runs them, and bench/README.md says what they measure."""
