"""The contract of the cropped store: the rules that every stored case satisfies."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from glioseg.core.labels import Label
from glioseg.core.modalities import MODALITIES
from glioseg.data.quality.expectations import (
    Record,
    Rule,
    Table,
    absent,
    between,
    equal,
    listed,
    one_of,
    only_labels,
)
from glioseg.data.quality.store_statistics import COUNTS, CropRow

ZSCORE_TOLERANCE = 0.01
"""How far mean and standard deviation in the brain may be from 0 and 1: the store holds float16."""


def crop_tables(rows: Sequence[CropRow]) -> list[Table]:
    """The table of stored cases, as from `store_survey.measure_store`, with its rules."""
    rules = [*_array_rules(), *_brightness_rules(), *_count_rules()]
    return [Table("cropped_cases", [_crop_record(row) for row in rows], rules)]


def _array_rules() -> Iterator[Rule]:
    channels = len(MODALITIES)
    yield absent("readable", "problem", expected="an image and a label", observed="{problem}")
    yield equal(
        "image shape", "image_shape", "manifest_shape", expected="{manifest_shape} as the manifest says"
    )
    yield equal("label shape", "label_shape", "image_shape", expected="{image_shape} as the image has")
    yield one_of("channels", "channels", [channels], expected=str(channels), observed="{channels}")
    yield between(
        "finite", "non_finite_vox", expected="finite values", observed="{non_finite_vox} others", max_value=0
    )
    yield only_labels("labels", "labels", Label, expected=str(listed(Label)))


def _brightness_rules() -> Iterator[Rule]:
    for modality in MODALITIES:
        yield _near(f"mean of {modality}", f"mean_{modality}", 0)
        yield _near(f"deviation of {modality}", f"deviation_{modality}", 1)


def _near(name: str, column: str, target: int) -> Rule:
    return between(
        name,
        column,
        expected=f"{target} to {ZSCORE_TOLERANCE:g} in the brain",
        observed=f"{{{column}}}",
        min_value=target - ZSCORE_TOLERANCE,
        max_value=target + ZSCORE_TOLERANCE,
    )


def _count_rules() -> Iterator[Rule]:
    """Tumour voxels stay the same from the scan to the manifest, and from the manifest to the store."""
    for name in COUNTS:
        stored, manifest, raw = f"stored_{name}_vox", f"manifest_{name}_vox", f"raw_{name}_vox"
        yield equal(f"{name} voxels kept", manifest, raw, expected=f"{{{raw}}} as before the crop")
        yield equal(
            f"{name} voxels stored", stored, manifest, expected=f"{{{manifest}}} as the manifest says"
        )


def _crop_record(row: CropRow) -> Record:
    shapes = {name: getattr(row, name) for name in ("image_shape", "label_shape", "manifest_shape")}
    return {
        **asdict(row),
        "role": "",
        **{name: None if shape is None else str(shape) for name, shape in shapes.items()},
        "labels": listed(row.labels),
        **{f"mean_{m}": row.mean.get(m) for m in MODALITIES},
        **{f"deviation_{m}": row.deviation.get(m) for m in MODALITIES},
        **{f"stored_{name}_vox": row.stored_vox.get(name) for name in COUNTS},
        **{f"manifest_{name}_vox": row.manifest_vox.get(name) for name in COUNTS},
        **{f"raw_{name}_vox": row.raw_vox.get(name) for name in COUNTS},
    }
