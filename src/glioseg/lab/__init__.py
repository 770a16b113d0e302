"""Experiments: tracking, studies, the registry, and how each model came to be."""

import os

# MLflow decides while it is imported whether it reports usage to its makers: by then this must stand.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
