"""Every kind of broken input that the drill knows."""

from tests.drills.broken_files import FILES
from tests.drills.broken_folders import FOLDERS
from tests.drills.broken_voxels import VOXELS

KINDS = (*FILES, *VOXELS, *FOLDERS)
