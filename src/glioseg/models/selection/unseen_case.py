"""A labelled case that chooses settings, and the networks that were not trained on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glioseg.models.networks.keras_file import FOLDS, load_networks

if TYPE_CHECKING:
    import keras

    from glioseg.data.store.cropped_cases import CroppedCase


@dataclass(frozen=True)
class UnseenCase:
    """A case and the networks that predict it together, none of which was trained on it.

    For a validation case these are the networks of the model. For a training case it is the network of the
    fold of cross-validation that left the case out.
    """

    case: "CroppedCase"
    models: "Sequence[keras.Model]"


def unseen_cases(cases: "Sequence[CroppedCase]", models: "Sequence[keras.Model]") -> list[UnseenCase]:
    """Cases that the same networks were not trained on."""
    return [UnseenCase(case, models) for case in cases]


def left_out_cases(cases: "Sequence[CroppedCase]", folds: Sequence[int], folder: Path) -> list[UnseenCase]:
    """Training cases, each with the network of the fold of cross-validation that left it out.

    Args:
        cases: the cases.
        folds: the number of the fold that leaves each case out.
        folder: folder of the model, which contains the networks of the folds.

    Raises:
        ModelError: a network is missing.
    """
    networks = load_networks(folder / FOLDS)
    return [UnseenCase(case, [networks[fold]]) for case, fold in zip(cases, folds, strict=True)]
