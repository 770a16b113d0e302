import pytest

from glioseg.core.errors import GliosegError
from glioseg.serving.model_reloader import ModelReloader


@pytest.mark.parametrize(("error", "traceback"), [(GliosegError("gone"), False), (ValueError("bug"), True)])
def test_a_bug_in_loading_a_version_is_logged_with_its_traceback(
    registered, monkeypatch, caplog, error, traceback
):
    def fail(address):
        raise error

    reloader = ModelReloader(str(registered.root / "models"))
    monkeypatch.setattr("glioseg.serving.model_reloader._target_address", lambda model: "models:/glioseg/9")
    monkeypatch.setattr("glioseg.serving.model_reloader.load_version", fail)
    reloader.check()
    assert reloader.problem == f"models:/glioseg/9: {error}"
    assert ("Traceback" in caplog.text) == traceback
