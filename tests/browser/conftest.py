"""One project, one browser and one server of each kind for all tests of pages."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from glioseg.mlops.tracking.storage import ProjectStorage
from tests.helpers.pages import TOKEN

TESTS = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]  # on the CPU
OPTIONS = ["--no-sandbox", "--disable-background-networking"]
DATA = "0123456789abcdef0123456789abcdef.dir"


@dataclass(frozen=True)
class Project:
    """A project with a study and two trained models."""

    root: Path
    study: object
    models: tuple


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    from tests.helpers import studies, trainings

    root = tmp_path_factory.mktemp("project")
    lock = {"stages": {"crop": {"outs": [{"path": "data/cropped", "md5": DATA}]}}}
    (root / "dvc.lock").write_text(json.dumps(lock))
    shutil.copy(TESTS.parent / "params.yaml", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DVC_ROOT", raising=False)
        study, _ = studies.run(ProjectStorage(root))
        return Project(root, study, trainings.two_models(ProjectStorage(root), root / "files"))


@pytest.fixture(scope="session")
def launch():
    """Launches Chromium with further options."""
    if CHROMIUM is None:
        pytest.skip("no chromium: Debian's package is called chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as browsers:
        running = []

        def start(*options):
            running.append(browsers.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, *options]))
            return running[-1]

        yield start
        for each in running:
            each.close()


@pytest.fixture(scope="session")
def browser(launch):
    return launch(*WEBGL)


@pytest.fixture(scope="session")
def browser_without_webgl(launch):
    """Chromium as on a remote desktop: no graphics card, and no rendering in software."""
    return launch("--disable-gpu", "--disable-software-rasterizer")


@pytest.fixture(scope="session")
def mlflow(project):
    """The address of MLflow's page on the project, as `make ui` serves it."""
    from glioseg.mlops.tracking import mlflow_page
    from tests.helpers.servers import free_port, server

    port, variables = free_port(), mlflow_page.variables(ProjectStorage(project.root))
    with server(mlflow_page.command(port), port=port, ready="health", **variables) as address:
        yield address


@pytest.fixture
def visit(browser):
    """Opens a page in a new browser context; keyword arguments configure the context."""
    contexts = []

    def open_page(**options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(90_000)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def shoot(tmp_path):
    """Saves a screenshot in the folder that GLIOSEG_SCREENSHOTS names, or in the folder of the test."""

    def keep(page, name):
        page.screenshot(path=Path(os.environ.get("GLIOSEG_SCREENSHOTS", tmp_path)) / name)

    return keep


@pytest.fixture(scope="session")
def brightness(tmp_path_factory):
    """Finds tumour where FLAIR is bright, and core where T1ce exceeds T1, from means of 3³ voxels."""
    import keras

    from glioseg.models.inference.loading import save_model
    from tests.helpers.models import IDENTITY_ESTIMATOR, INTERVALS, make_settings

    image = keras.Input((None, None, None, 4))
    layer = keras.layers.Conv3D(3, 3, padding="same", activation="sigmoid")
    network = keras.Model(image, {"segmentation": layer(image)})
    wt, core = [0, 0, 0, 9], [-9, 9, 0, 0]  # of t1, t1ce, t2, flair
    weights = np.stack([wt, core, core], axis=-1) / 27
    network.set_weights([np.broadcast_to(weights, (3, 3, 3, 4, 3)), np.array([-9.9, -3.6, -9.9])])
    folder = tmp_path_factory.mktemp("models") / "glioseg"
    folder.mkdir()
    save_model(
        folder,
        [network],
        make_settings(
            spacing_mm=2, min_component_ml=3.0, volume_intervals=INTERVALS, confidence=IDENTITY_ESTIMATOR
        ),
    )
    return folder


@pytest.fixture(scope="session")
def segmenting(brightness):
    """The address of `glioseg serve` with that network; it requires `pages.TOKEN`."""
    from tests.helpers.servers import free_port, server

    port = free_port()
    words = ["typer", "glioseg.cli", "run", "serve", "--model", str(brightness), "--port", str(port)]
    with server(words, port=port, ready="readyz", GLIOSEG_TOKEN=TOKEN) as address:
        yield address
