import pytest


@pytest.fixture
def stub_figure(monkeypatch):
    """Replaces the gate's figure by its title, since drawing takes half a second in each test."""
    monkeypatch.setattr(
        "glioseg.mlops.registry.gate_report.draw_gate_figure", lambda decision, title: title.encode()
    )
