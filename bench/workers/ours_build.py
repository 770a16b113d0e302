"""What glioseg's workers share: a network of params.yaml with changes, compiled as `fit` compiles it."""

from collections.abc import Mapping, Sequence

import keras

from glioseg.data.store.cropped_cases import CroppedCase
from glioseg.models.networks.hardware import dtype_policy
from glioseg.models.networks.unet import build_unet
from glioseg.models.training.fit import Trainer
from glioseg.params import Params, load_params

Changes = Mapping[str, Mapping[str, object]]


def changed(changes: Changes) -> Params:
    """params.yaml with some values changed, section by section, checked anew."""
    record = load_params().model_dump(by_alias=True)
    return Params.model_validate(
        record | {section: record[section] | dict(values) for section, values in changes.items()}
    )


def build(params: Params, *, dtype: str) -> keras.Model:
    """The network alone, as `fit` builds it."""
    shape = params.network.model_dump(exclude={"spacing_mm", "target"})
    return build_unet(**shape, outputs=params.train.outputs, dtype=dtype)


def compiled(params: Params, cases: Sequence[CroppedCase]) -> Trainer:
    """A training that is ready to run."""
    model = build(params, dtype=dtype_policy(params.train.precision))
    plan = Trainer(params.network, params.train, model, cases)
    plan.compile()
    return plan
