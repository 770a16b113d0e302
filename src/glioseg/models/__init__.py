"""Build networks, train them, and predict with them.

Importing this package configures TensorFlow, which must happen before TensorFlow itself is imported.
"""

from glioseg.core.tensorflow_startup import configure_tensorflow

configure_tensorflow()
