"""Networks: building, training and running them.

TensorFlow reads these variables of the environment while it is imported, so they are set here, before any
module of this package can import it. A value that is set already stays. Processes started later inherit all.
"""

import logging
import os

from glioseg.core.cpus import cores
from glioseg.models.tensorflow_startup import install

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""TensorFlow's names of the threads that compute an operation, and that begin operations."""
TENSORFLOW = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # of its start-up only what is fatal matters to a user
    # Its wheels turn oneDNN on by themselves only where the processor has AVX-512: without oneDNN a training
    # step takes four times as long on AVX2.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # Operations split their sums over the threads, and round accordingly: their number follows from the cores
    # alone and not from the workers that share them, so that every worker computes the same bytes.
    **dict.fromkeys(THREADS, str(cores())),
}
"""Environment variables of TensorFlow, and what glioseg sets them to."""

install()
for _name, _value in TENSORFLOW.items():
    os.environ.setdefault(_name, _value)
# It warns of every grid that is compiled anew: cases differ in size.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
