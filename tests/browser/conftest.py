"""One project, one browser and one MLflow server for all tests of pages."""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from glioseg.lab.addresses import Lab

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS), str(TESTS / "lab")]  # for servers.py, studies.py and trainings.py

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DATA = "0123456789abcdef0123456789abcdef.dir"


@dataclass(frozen=True)
class Project:
    """A project with a study and two trained models."""

    root: Path
    study: object
    models: tuple


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    import studies
    import trainings

    root = tmp_path_factory.mktemp("project")
    lock = {"stages": {"crop": {"outs": [{"path": "data/cropped", "md5": DATA}]}}}
    (root / "dvc.lock").write_text(json.dumps(lock))
    shutil.copy(TESTS.parent / "params.yaml", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DVC_ROOT", raising=False)
        study, _ = studies.run(Lab(root))
        return Project(root, study, trainings.two_models(Lab(root), root / "files"))


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium: Debian's package is called chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as browsers:
        running = browsers.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def mlflow(project):
    """The address of MLflow's page on the project, as `make ui` serves it."""
    from servers import free_port, server

    port = free_port()
    words = ["mlflow", "ui", "--backend-store-uri", Lab(project.root).tracking_uri]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with server(words, port=port, ready="health", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false") as address:
        yield address


@pytest.fixture
def visit(browser):
    """Open a page as somebody does who comes for the first time; keyword arguments are a new context's."""
    contexts = []

    def come(**how):
        contexts.append(browser.new_context(**how))
        page = contexts[-1].new_page()
        page.set_default_timeout(90_000)
        return page

    yield come
    for context in contexts:
        context.close()


@pytest.fixture
def shoot(tmp_path):
    """Keep a picture: in the folder that GLIOSEG_SCREENSHOTS names, or with the test's own files."""

    def keep(page, name):
        page.screenshot(path=Path(os.environ.get("GLIOSEG_SCREENSHOTS", tmp_path)) / name)

    return keep
