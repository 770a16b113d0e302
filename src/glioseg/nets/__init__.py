"""Networks: building, training and running them."""

import logging
import os

# TensorFlow reads it while it is imported: of its start-up only what is fatal matters to a user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# It warns of every grid that is compiled anew: cases differ in size.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
