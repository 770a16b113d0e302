import numpy as np
import pytest

from glioseg.data.cases import MODALITIES
from glioseg.data.volumes import Grid, Volume
from glioseg.geometry import downsample
from glioseg.nets.inference import ModelError, Segmenter, Settings, load_model, upsample


def bright_is_tumour(batch, training):
    """Stands for a network: WT, TC and ET are where the first channel is above 0, 1 and 2."""
    assert not training
    return np.stack([batch[..., 0] > level for level in (0, 1, 2)], axis=-1).astype(np.float32)


def test_upsample_of_downsample_keeps_a_ramp():
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None, None], (20, 4, 4, 3))
    back = upsample(downsample(ramp, 2), 2, (20, 4, 4))
    np.testing.assert_allclose(back[1:-1], ramp[1:-1])
    assert back.dtype == np.float32


@pytest.mark.parametrize("affine", [np.diag([-1.0, -1, 1, 1]), np.diag([1.0, 1, 1, 1])])
def test_labels_come_back_on_the_scan_s_own_grid(affine):
    scan = np.zeros((9, 8, 7), np.int16)
    scan[2:8, 1:7, 1:6] = 10
    scan[4:6, 3:5, 2:4] = 100
    images = {name: Volume(scan, Grid(scan.shape, affine)) for name in MODALITIES}
    labels = Segmenter(bright_is_tumour, Settings(1, 4, 1, 0.0)).segment(images)
    # 8 bright voxels of 180: z = sqrt(172 / 8) = 4.6, so they are WT, TC and ET.
    np.testing.assert_array_equal(labels, np.where(scan == 100, 3, 0))


def test_nothing_is_tumour_outside_the_brain():
    scan = np.zeros((6, 6, 6), np.int16)
    scan[1:5, 1:5, 1:5] = np.arange(64).reshape(4, 4, 4) + 1
    images = {name: Volume(scan, Grid(scan.shape, np.eye(4))) for name in MODALITIES}
    everywhere = Segmenter(lambda x, training: np.ones((*x.shape[:-1], 3)), Settings(2, 2, 1, 0.0))
    np.testing.assert_array_equal(everywhere.segment(images) > 0, scan > 0)


def test_settings_round_trip_and_errors(tmp_path):
    settings = Settings(spacing_mm=2, multiple=16, margin_vox=1, min_et_ml=0.1)
    settings.save(tmp_path)
    assert Settings.load(tmp_path) == settings
    with pytest.raises(ModelError, match=r"settings.json: not a model's settings"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"model.keras: not a Keras model"):
        load_model(tmp_path)


def test_an_enhancing_speck_is_taken_for_core():
    scan = np.zeros((9, 8, 7), np.int16)
    scan[2:8, 1:7, 1:6] = 10
    scan[4:6, 3:5, 2:4] = 100
    images = {name: Volume(scan, Grid(scan.shape, np.diag([2.0, 2, 2, 1]))) for name in MODALITIES}
    # 8 voxels of 8 mm³ are 0.064 ml.
    for min_et_ml, label in ((0.064, 3), (0.065, 1)):
        labels = Segmenter(bright_is_tumour, Settings(1, 4, 1, min_et_ml)).segment(images)
        np.testing.assert_array_equal(labels, np.where(scan == 100, label, 0))
