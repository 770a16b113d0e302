"""Serving: the HTTP service and the MLflow model, and the check of a case before its prediction."""
