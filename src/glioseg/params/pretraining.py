"""pretrain.yaml: how the built-in model is trained."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from glioseg.params.sections import Count, Crop, Inference, Network, Phantom, Positive, Section, Train
from glioseg.settings_file import checked, read_text


class Piece(Section):
    """A training of its own, which starts from the weights of the piece before and sees new patients."""

    seed: int
    epochs: Count
    learning_rate: Positive


class Pretraining(Section):
    """All of pretrain.yaml: `stream` is what each piece learns from, drawn anew by its seed."""

    stream: Phantom
    validation: Annotated[tuple[Phantom, ...], Field(min_length=1)]
    network: Network
    train: Train
    crop: Crop
    inference: Inference
    pieces: Annotated[tuple[Piece, ...], Field(min_length=1)]

    def of_piece(self, piece: Piece) -> tuple[Phantom, Train]:
        """The stream and the settings of a piece."""
        stream = self.stream.model_copy(update={"seed": self.stream.seed + piece.seed})
        return stream, self.train.model_copy(update=dict(piece))


def load_pretraining(path: Path) -> Pretraining:
    """Read pretrain.yaml.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    return checked(Pretraining, read_text(path), path)
