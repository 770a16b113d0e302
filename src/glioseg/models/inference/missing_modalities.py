"""The regions that a scan without some modalities does not show, whatever the network predicts."""

from collections.abc import Collection, Mapping

from jaxtyping import Float32
from numpy.typing import NDArray

from glioseg.core.modalities import MODALITIES, SPELLINGS
from glioseg.models.inference.prediction import RegionVolume

REQUIRED = {"TC": "t1ce", "ET": "t1ce"}
"""The modality without which a region cannot be judged: only contrast agent separates enhancing tumour and,
in most gliomas, the core from the tissue around it."""
IMPORTANT = {"WT": "flair"}
"""The modality without which a region is uncertain: oedema hardly shows in the others."""


def missing_modalities(image: Float32[NDArray, "d h w 4"]) -> tuple[str, ...]:
    """The modalities that a normalised crop lacks: a missing one and a constant one are 0 everywhere."""
    return tuple(name for place, name in enumerate(MODALITIES) if not image[..., place].any())


def not_judged(missing: Collection[str]) -> dict[str, str]:
    """The regions that cannot be judged, each with the reason.

    Args:
        missing: modalities that the scan lacks.

    >>> not_judged(["t1ce", "t2"])
    {'TC': 'cannot be judged without T1ce', 'ET': 'cannot be judged without T1ce'}
    """
    return {
        region: f"cannot be judged without {SPELLINGS[modality]}"
        for region, modality in REQUIRED.items()
        if modality in missing
    }


def missing_modality_reasons(missing: Collection[str]) -> tuple[str, ...]:
    """The reasons for low confidence of a scan that lacks modalities, as text.

    >>> missing_modality_reasons(["flair", "t1ce"])
    ('TC cannot be judged without T1ce', 'ET cannot be judged without T1ce', 'WT is uncertain without FLAIR')
    """
    unjudged = [f"{region} {reason}" for region, reason in not_judged(missing).items()]
    uncertain = [
        f"{region} is uncertain without {SPELLINGS[modality]}"
        for region, modality in IMPORTANT.items()
        if modality in missing
    ]
    return (*unjudged, *uncertain)


def withhold_volumes(
    volumes: Mapping[str, RegionVolume], missing: Collection[str]
) -> dict[str, RegionVolume]:
    """The volumes, with the reason in place of the numbers for regions that cannot be judged."""
    unjudged = not_judged(missing)
    return {
        region: RegionVolume(None, reason=unjudged[region]) if region in unjudged else volume
        for region, volume in volumes.items()
    }
