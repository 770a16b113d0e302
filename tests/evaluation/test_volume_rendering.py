from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from glioseg.evaluation.case_pictures import encode_gif
from glioseg.evaluation.volume_rendering import (
    FRAMES,
    SIZE_PX,
    Camera,
    blend,
    extract_surface,
    rotating_frames,
)

APPEARANCE = {"colour": (255, 0, 0), "alpha": 1.0, "rim": 0.0}


def ball(radius_vox, centre, shape):
    return ((np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(axis=0) <= radius_vox**2


@pytest.fixture(scope="module")
def animations(request):
    """A ball of enhancing tumour on the patient's right, towards the face and the top; and none."""
    shape = (40, 48, 36)
    brain = ball(17, (20, 24, 18), shape)
    labels = (3 * ball(5, (11, 17, 25), shape)).astype(np.uint8)
    return rotating_frames([labels, labels * 0], brain, spacing_mm=(1.0, 1.0, 1.0))


def yellow(frame):
    """Rows and columns of the visible tumour, in pixels."""
    pixels = np.asarray(frame).astype(int)
    return np.argwhere((pixels[..., 0] > 120) & (pixels[..., 2] < pixels[..., 0] - 60))


def test_each_map_is_turned_once_around(animations):
    assert [len(frames) for frames in animations] == [FRAMES, FRAMES]
    assert {frame.size for frames in animations for frame in frames} == {(SIZE_PX, SIZE_PX)}
    assert len({frame.tobytes() for frame in animations[0]}) == FRAMES


def test_from_the_front_the_patients_right_is_on_the_left(animations):
    row, column = yellow(animations[0][0]).mean(axis=0)
    assert column < SIZE_PX / 2
    assert row < SIZE_PX / 2


def test_from_the_back_it_is_on_the_right(animations):
    _, column = yellow(animations[0][FRAMES // 2]).mean(axis=0)
    assert column > SIZE_PX / 2


def test_without_tumour_only_the_brain_is_visible(animations):
    assert len(yellow(animations[1][0])) == 0
    assert np.asarray(animations[1][0]).any()


def test_an_empty_brain_is_no_error():
    nothing = np.zeros((8, 8, 8), np.uint8)
    ((first, *_),) = rotating_frames([nothing], nothing > 0, spacing_mm=(1.0, 1.0, 1.0))
    assert first.size == (SIZE_PX, SIZE_PX)


def test_the_surface_of_a_ball_is_a_sphere_with_outward_normals():
    mask = ball(8, (12, 12, 12), (25, 25, 25))
    mesh = extract_surface(mask, (2.0, 2.0, 2.0), grid_mm=2.0, **APPEARANCE)
    from_centre_mm = mesh.points_mm - 24
    radius_mm = np.linalg.norm(from_centre_mm, axis=1)
    assert radius_mm.mean() == pytest.approx(16, abs=1)
    assert np.ptp(radius_mm) < 2
    outward = (from_centre_mm / radius_mm[:, None] * mesh.normals).sum(axis=1)
    assert outward.min() > 0.9


def test_a_lesion_of_one_voxel_has_a_surface():
    mask = np.zeros((9, 9, 9), bool)
    mask[4, 4, 4] = True
    mesh = extract_surface(mask, (1.0, 1.0, 1.0), grid_mm=1.0, **APPEARANCE)
    np.testing.assert_allclose(mesh.points_mm.mean(axis=0), 4, atol=1e-5)


def test_a_small_lesion_keeps_a_surface_on_a_coarse_grid():
    mask = np.zeros((9, 9, 9), bool)
    mask[3, 4, 5] = True
    assert len(extract_surface(mask, (1.0, 1.0, 1.0), grid_mm=3.0, **APPEARANCE).points_mm) > 0


def test_an_empty_mask_has_no_surface():
    assert (
        len(extract_surface(np.zeros((5, 5, 5), bool), (1.0, 1.0, 1.0), grid_mm=1.0, **APPEARANCE).points_mm)
        == 0
    )


def layer(red, opacity, depth_mm):
    pixels = np.zeros((SIZE_PX**2, 5), np.float32)
    pixels[:] = (red, 0, 0, opacity, depth_mm)
    return pixels


def test_the_nearer_layer_covers_the_farther():
    for layers in ([layer(200, 1, 5), layer(90, 1, 9)], [layer(90, 1, 9), layer(200, 1, 5)]):
        assert blend(layers)[0, 0].tolist() == [200, 0, 0]


def test_a_translucent_layer_blends_with_the_farther_one():
    assert blend([layer(200, 0.25, 5), layer(100, 1, 9)])[0, 0].tolist() == [125, 0, 0]


def test_camera_axes_stay_orthonormal():
    for turn_rad in (0.0, 1.0, 4.0):
        axes = Camera.axes(turn_rad)
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)


def test_gif_loops_and_is_small(animations):
    content = encode_gif(animations[0])
    gif = Image.open(BytesIO(content))
    assert (gif.format, gif.n_frames, gif.size, gif.info["loop"]) == ("GIF", FRAMES, (SIZE_PX, SIZE_PX), 0)
    assert len(content) < 2**20
