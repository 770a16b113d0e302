"""pretrain.yaml: how the built-in model is trained."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from glioseg.params.sections import Count, Crop, Inference, Network, Phantom, Positive, Section, Train
from glioseg.settings_file import checked, read_text


class Piece(Section):
    """A training of its own, on new patients, from the weights of the piece before; with more filters, a
    wider network begins as that one."""

    seed: int
    epochs: Count
    steps_per_epoch: Count
    batch_size: Count
    patches_per_case: Count
    learning_rate: Positive
    base_filters: Count


class Course(Section):
    """How one network learns, piece by piece; the pieces say what `network` and `train` leave open.

    `begins_as`: the piece of `whole_brain`, from 1, whose weights the first one starts from.
    """

    network: Network
    train: Train
    begins_as: Count | None = None
    pieces: Annotated[tuple[Piece, ...], Field(min_length=1)]


class Pretraining(Section):
    """All of pretrain.yaml: `stream` is what each piece learns from, drawn anew by its seed.

    `whole_brain` sees all of a brain at once; `detail` looks again, closer, at what that one finds.
    """

    stream: Phantom
    validation: Annotated[tuple[Phantom, ...], Field(min_length=1)]
    whole_brain: Course
    detail: Course
    crop: Crop
    inference: Inference

    def of_piece(self, course: Course, piece: Piece) -> tuple[Phantom, Network, Train]:
        """The stream, the network and the training of a piece."""
        given = dict(piece)
        filters = {"base_filters": given.pop("base_filters")}
        return (
            self.stream.model_copy(update={"seed": self.stream.seed + piece.seed}),
            course.network.model_copy(update=filters),
            course.train.model_copy(update=given),
        )


def load_pretraining(path: Path) -> Pretraining:
    """Read pretrain.yaml.

    Raises:
        ParamsError: one line that names the file and the field.
    """
    return checked(Pretraining, read_text(path), path)
