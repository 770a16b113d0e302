"""`python -m tests.drills` runs the data stages on every kind of broken input and prints their messages."""

import sys

from tests.drills.drill import main

sys.exit(main() > 0)
