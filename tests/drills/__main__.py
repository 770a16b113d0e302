"""`python -m tests.drills` feeds broken input of every kind to the data stages and prints what they say."""

import sys

from tests.drills.drill import main

sys.exit(main() > 0)
