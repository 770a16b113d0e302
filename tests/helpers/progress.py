"""The lines of `glioseg.core.progress` on stderr, among which tests look for others."""

import re

PROGRESS = re.compile(r"[a-z ]+: \d+/\d+, \d+ s, about \d+ s left")
