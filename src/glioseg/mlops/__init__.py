"""MLOps: tracking in MLflow, hyperparameter studies, the model registry, and the lineage of models."""

import os

from glioseg.core.entry import require_unix

require_unix()  # file locks use fcntl

# MLflow reads these variables at import. They disable its usage telemetry, and its progress bar for each file
# that it copies.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
