"""A case as a hyperstack for ImageJ: FLAIR, and truth and prediction of each region, a channel each."""

from io import BytesIO

import numpy as np
import tifffile
from jaxtyping import UInt8
from numpy.typing import NDArray

from glioseg.core.labels import REGIONS
from glioseg.evaluation.case_figure import Scan, grey_window
from glioseg.evaluation.overlap import mask_of

IMAGE = "flair"
CHANNELS = ("FLAIR", *(f"{whose} {region}" for whose in ("truth", "prediction") for region in REGIONS))


def imagej_tiff(scan: Scan) -> bytes:
    """Encode a case as an ImageJ TIFF.

    The axes are Z, channel, Y and X, where X runs to the patient's left, Y to the back and Z to the
    head. FLAIR is windowed to 0..255 as in the pictures; a region's voxels are 255. The spacing is in
    the metadata, in mm. The planes are deflated, which makes a file of megabytes out of sixty.

    Args:
        scan: with `IMAGE` among its images.
    """
    image = scan.images[IMAGE]
    grey = grey_window(image, image[scan.brain])
    stack = np.stack([grey, *_masks(scan.truth), *_masks(scan.prediction)])
    x_mm, y_mm, z_mm = scan.spacing_mm
    file = BytesIO()
    tifffile.imwrite(
        file,
        np.ascontiguousarray(stack.transpose(3, 0, 2, 1)),
        imagej=True,
        compression="zlib",
        resolution=(1 / x_mm, 1 / y_mm),
        metadata={
            "axes": "ZCYX",
            "spacing": z_mm,
            "unit": "mm",
            "mode": "grayscale",
            "Info": "channels: " + ", ".join(CHANNELS),
        },
    )
    return file.getvalue()


def _masks(labels: UInt8[NDArray, "d h w"]) -> list[UInt8[NDArray, "d h w"]]:
    return [mask_of(labels, members).astype(np.uint8) * 255 for members in REGIONS.values()]
