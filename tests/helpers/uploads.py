"""Uploads for tests of the HTTP service, and what its responses contain."""

import base64

import numpy as np

from glioseg.core.modalities import MODALITIES
from glioseg.core.nifti import Volume, decode_volume, encode_volume


def upload_files(scan, roles=MODALITIES, **replaced):
    """The same scan for each role; `replaced` gives other bytes for some."""
    content = encode_volume(scan)
    given = dict.fromkeys(roles, ("patient.nii.gz", content))
    return given | {role: ("patient.nii.gz", other) for role, other in replaced.items()}


def modified(scan, change, dtype=np.int16):
    """The file of a scan whose voxels `change` has modified in place."""
    data = scan.data.astype(dtype)
    change(data)
    return encode_volume(Volume(data, scan.grid))


def decode_base64(text):
    return decode_volume(base64.b64decode(text), name="response")


def error_of(response):
    return response.json()["error"]
