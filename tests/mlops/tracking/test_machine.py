"""The line that says what a machine is, where Linux's files are missing."""

import platform

from glioseg.mlops.tracking import machine


def test_macos_has_no_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "CPUS", tmp_path / "none")
    monkeypatch.setattr(machine, "GPUS", tmp_path / "none")
    names = {"system": "Darwin", "machine": "arm64", "processor": "arm"}
    for name, value in names.items():
        monkeypatch.setattr(platform, name, lambda value=value: value)
    monkeypatch.setattr(machine, "cores", lambda: 8)
    assert machine.machine().startswith("Darwin arm64, arm, cores: 8, Python 3.")
