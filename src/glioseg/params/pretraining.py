"""pretrain.yaml: how the built-in model is trained."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from glioseg.core.geometry import check_patch
from glioseg.core.settings_file import checked, read_text
from glioseg.params.sections import Count, Crop, Inference, Network, Phantom, Positive, Section, Train


class Piece(Section):
    """A training of its own, on new patients, from the weights of the piece before.

    With more filters than that one, a wider network begins as its copy.
    """

    seed: int
    epochs: Count
    steps_per_epoch: Count
    batch_size: Count
    patches_per_case: Count
    learning_rate: Positive
    base_filters: Count


class Pretraining(Section):
    """All of pretrain.yaml: `stream` is what each piece learns from, drawn anew by its seed.

    `network` and `train` are what the pieces have in common; the rest of both is theirs.
    """

    stream: Phantom
    validation: Annotated[tuple[Phantom, ...], Field(min_length=1)]
    network: Network
    train: Train
    crop: Crop
    inference: Inference
    pieces: Annotated[tuple[Piece, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _patch_can_be_halved(self) -> "Pretraining":
        check_patch(self.train.patch_shape, self.network.depth)
        return self

    def of_piece(self, piece: Piece) -> tuple[Phantom, Network, Train]:
        """The stream, the network and the training of a piece."""
        given = dict(piece)
        filters = {"base_filters": given.pop("base_filters")}
        return (
            self.stream.model_copy(update={"seed": self.stream.seed + piece.seed}),
            self.network.model_copy(update=filters),
            self.train.model_copy(update=given),
        )


def load_pretraining(path: Path) -> Pretraining:
    """Read pretrain.yaml.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    return checked(Pretraining, read_text(path), path)
