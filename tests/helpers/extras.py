"""Python processes in which no package of an extra can be imported, as after `pip install glioseg`."""

WITHOUT_EXTRAS = """
import sys
from glioseg.core.extras import EXTRAS
sys.modules.update(dict.fromkeys(name for names in EXTRAS.values() for name in names))
"""
"""Code to run first: importing a module that is None in `sys.modules` raises ModuleNotFoundError."""
