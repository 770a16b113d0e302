"""The laboratory book: tracking, studies, the registry and lineage."""

import os

from glioseg.core.entry import require_unix

require_unix()  # it locks files as Unix does

# MLflow reads these while it is imported: it must not report usage to its makers, nor draw a bar for
# every file that it copies.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
