"""pretrain.yaml as frozen objects: the training of the built-in model in phases."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from glioseg.core.geometry import check_patch_shape
from glioseg.params.sections import (
    Count,
    Crop,
    Fraction,
    Inference,
    Network,
    Phantom,
    Positive,
    Section,
    Train,
)
from glioseg.params.settings_file import parse_settings, read_text


class Phase(Section):
    """One training phase: new synthetic cases, starting from the weights of the previous phase.

    If a phase has more filters, its wider network starts as a copy of the previous one.
    """

    seed: int
    epochs: Count
    steps_per_epoch: Count
    batch_size: Count
    patches_per_case: Count
    learning_rate: Positive
    base_filters: Count


class RealCases(Section):
    """The training on labelled real cases after all phases, in phases of its own.

    Each phase trains one network for each of `folds` parts of the cases, and then one on all of them, mixed
    with phantoms of the preset `domain_randomised`; each network starts from that of the phase before it.
    `inference` has the candidates of the calibration.
    """

    folds: Annotated[int, Field(ge=2)]
    phantom_share: Annotated[float, Field(ge=0, lt=1)]
    augmentation_strength: Fraction
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    inference: Inference


class Pretraining(Section):
    """All of pretrain.yaml.

    Each phase in `phases` trains on `stream`, sampled with another seed. `network` and `train` hold the
    settings that all phases share; each phase sets the others.
    """

    stream: Phantom
    validation: Annotated[tuple[Phantom, ...], Field(min_length=1)]
    network: Network
    train: Train
    crop: Crop
    inference: Inference
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    real: RealCases

    @model_validator(mode="after")
    def _check_patch_shape(self) -> "Pretraining":
        check_patch_shape(self.train.patch_shape, self.network.depth)
        return self

    def of_phase(self, phase: Phase) -> tuple[Phantom, Network, Train]:
        """The stream, the network and the training settings of a phase."""
        overrides = dict(phase)
        filters = {"base_filters": overrides.pop("base_filters")}
        return (
            self.stream.model_copy(update={"seed": self.stream.seed + phase.seed}),
            self.network.model_copy(update=filters),
            self.train.model_copy(update=overrides),
        )

    def of_real_phase(self, phase: Phase) -> tuple[Phantom, Network, Train]:
        """The stream, the network and the training settings of a phase of the training on real cases."""
        stream, network, train = self.of_phase(phase)
        changes = {
            "phantom_share": self.real.phantom_share,
            "augmentation_strength": self.real.augmentation_strength,
            "monitor": "last",
        }
        return stream, network, train.model_copy(update=changes)


def load_pretraining(path: Path) -> Pretraining:
    """Read pretrain.yaml.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    return parse_settings(Pretraining, read_text(path), path)
