"""Networks: building, training and running them."""

import os

# TensorFlow reads it while it is imported: of its start-up only what is fatal matters to a user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
