"""Fixtures that the tests of commands share with those of mlops."""

from tests.mlops.conftest import common_root, shared_storage

__all__ = ["common_root", "shared_storage"]
