"""A labelled case that chooses settings, and the networks that were not trained on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
