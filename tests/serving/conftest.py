import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import glioseg
from glioseg.core.nifti import Grid, Volume
from glioseg.mlops.registry.candidate import Evaluation
from glioseg.mlops.registry.register import register
from glioseg.mlops.tracking.mlflow_runs import connect
from glioseg.mlops.tracking.model_files import ModelFiles
from glioseg.mlops.tracking.storage import ProjectStorage
from glioseg.models.inference.loading import save_model
from tests.helpers.gate import make_rules
from tests.helpers.models import IDENTITY_ESTIMATOR, INTERVALS, make_settings


@pytest.fixture(scope="session")
def registered(tmp_path_factory):
    """A project storage whose champion labels voxels by their intensity, as the mean of two networks."""
    import keras

    root = tmp_path_factory.mktemp("serving")
    folder = root / "models"
    folder.mkdir()
    image = keras.Input((None, None, None, 4))
    layer = keras.layers.Conv3D(3, 1, activation="sigmoid")
    network = keras.Model(image, {"segmentation": layer(image)})
    # Where every modality is the same, WT, TC and ET are where its z-score exceeds -0.1, 0 and 0.1.
    network.set_weights([np.full((1, 1, 1, 4, 3), 1.0), np.array([0.4, 0.0, -0.4])])
    doubting = replace(IDENTITY_ESTIMATOR, found=((0.0, 1.0), (0.0, 1.0), (-9.0, 0.0)))  # of ET
    settings = make_settings(spacing_mm=2, volume_intervals=INTERVALS, confidence=doubting)
    save_model(folder, [network, network], settings)
    (folder / "contract.yaml").write_text("spacing: {predict: critical, mm: [1, 1, 2]}\n")
    (root / "per_case.csv").write_text("case,dice_wt,dice_tc,dice_et\na,1,1,1\n")
    storage = ProjectStorage(root)
    register(
        connect(storage),
        rules=make_rules(),
        model_files=ModelFiles(sorted(folder.iterdir()), Path(glioseg.__file__).parent),
        run_id="0" * 32,
        evaluation=Evaluation(root / "per_case.csv", ["a"]),
        recorder=lambda client, name, version: None,
        score=lambda folder: pytest.fail("there is no champion to score"),
    )
    return storage


@pytest.fixture(scope="session")
def scan():
    """A small scan, the same for each modality; RAS and not LPS, 1 x 1 x 2 mm."""
    rng = np.random.default_rng(0)
    data = np.zeros((20, 24, 18), np.int16)
    data[4:16, 3:20, 2:15] = rng.integers(1, 500, (12, 17, 13))
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = [5, -6, 7]
    return Volume(data, Grid((20, 24, 18), affine))


@pytest.fixture(scope="session")
def reloader(registered):
    """A reloader of the model folder that was registered."""
    from glioseg.serving.model_reloader import ModelReloader

    return ModelReloader(str(registered.root / "models"))


@pytest.fixture
def make_client(reloader):
    """Makes a client of a service in this process; keyword arguments configure the service."""
    from fastapi.testclient import TestClient

    from glioseg.serving.app import Service, make_app
    from glioseg.serving.request_queue import RequestQueue

    with ExitStack() as stack:

        def make(*, reloader=reloader, capacity=4, timeout_s=60.0, max_bytes=20_000_000, token=None):
            queue = RequestQueue(capacity=capacity, timeout_s=timeout_s)
            stack.callback(queue.close)
            app = make_app(Service(reloader, queue, max_bytes, token))
            client = stack.enter_context(TestClient(app, raise_server_exceptions=True))
            client.queue = queue
            return client

        yield make


@pytest.fixture
def client(make_client):
    return make_client()


class BlockedPredictor:
    """A predictor that waits for `go`."""

    def __init__(self, predictor):
        self.predictor, self.settings = predictor, predictor.settings
        self.begun, self.go = threading.Event(), threading.Event()

    def predict(self, images):
        self.begun.set()
        self.go.wait()
        return self.predictor.predict(images)


@pytest.fixture
def blocked(reloader):
    predictor = BlockedPredictor(reloader.current.predictor)
    yield SimpleNamespace(
        current=replace(reloader.current, predictor=predictor), problem=None, predictor=predictor
    )
    predictor.go.set()
