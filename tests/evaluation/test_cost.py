import subprocess
import sys
from types import SimpleNamespace

import numpy as np

from glioseg.core.nifti import Grid, Volume
from glioseg.evaluation.cost import (
    Cost,
    peak_memory_gb,
    predict_with_cost,
    reset_peak_memory,
    summarise_costs,
)


def test_a_slow_first_case_does_not_change_the_median(monkeypatch, scan, model_of):
    images = {"t1": Volume(scan.labels["truth"], Grid(scan.labels["truth"].shape, np.diag([-1.0, -1, 1, 1])))}
    predict = model_of(scan.labels["truth"]).predict
    clock = iter([0.0, 9.0, 10.0, 12.0, 20.0, 23.0])  # 9, 2 and 3 seconds
    monkeypatch.setattr("glioseg.evaluation.cost.perf_counter", lambda: next(clock))
    costs = []
    for _ in range(3):
        prediction, cost = predict_with_cost(predict, images)
        assert prediction.volumes == predict(images).volumes
        costs.append(cost)
    assert summarise_costs(costs)["case_s"] == 3


def test_memory_is_the_largest_peak_of_several_workers():
    costs = [Cost(1.0, 2.5), Cost(9.0, 3.25), Cost(2.0, 3.0)]
    assert summarise_costs(costs) == {"case_s": 2.0, "memory_gb": 3.25}


def test_macos_has_no_proc_and_reports_bytes(monkeypatch, tmp_path):
    for file in ("PROC_STATUS", "PROC_CLEAR_REFS"):
        monkeypatch.setattr(f"glioseg.evaluation.cost.{file}", tmp_path / "none" / file)
    monkeypatch.setattr("resource.getrusage", lambda who: SimpleNamespace(ru_maxrss=2_500_000_000))
    reset_peak_memory()
    assert peak_memory_gb() == 2.5


def test_freed_memory_counts_in_the_peak():
    code = """
import numpy as np
from glioseg.core.nifti import Grid, Volume
from glioseg.evaluation.cost import peak_memory_gb
before = peak_memory_gb()
block = np.ones(50_000_000)  # 0.4 GB
del block
print(before, peak_memory_gb())
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = map(float, out.split())
    assert 0.3 < after - before < 0.5
