"""Networks: building, training and running them.

Importing this package configures TensorFlow, which must happen before TensorFlow itself is imported.
"""

from glioseg.core.tensorflow_startup import configure_tensorflow

configure_tensorflow()
