"""Cores that a process may use: expected numbers are quota / period of fake cgroups, rounded up."""

import os

import pytest

from glioseg.compute import Cluster
from glioseg.core.cpus import cores
from glioseg.mlops.tracking.machine import machine
from glioseg.models.training import multi_gpu

CPUS = 64


@pytest.fixture(autouse=True)
def large_machine(monkeypatch):
    """A machine with many CPUs, of which the process may use all."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(CPUS)), raising=False)


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def in_cgroups(home, own):
    (home / "cgroup").write_text(own)
    return cores(home / "cgroup", home / "fs")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),  # 1.5
        ("50000 100000", 1),
        ("1000 100000", 1),  # 0.01
        ("max 100000", CPUS),
        ("9900000 100000", CPUS),  # 99
    ],
)
def test_a_quota_of_version_2(tmp_path, limit, expected):
    write(tmp_path / "fs" / "a" / "b", cpu__max=limit)
    assert in_cgroups(tmp_path, "0::/a/b\n") == expected


@pytest.mark.parametrize(("inner", "outer", "expected"), [(3, 5, 3), (5, 3, 3), ("max", 4, 4)])
def test_the_smallest_quota_of_nested_cgroups_counts(tmp_path, inner, outer, expected):
    for folder, limit in {"a/b": inner, "a": outer, "": 7}.items():
        cpus = limit if limit == "max" else 100_000 * limit
        write(tmp_path / "fs" / folder, cpu__max=f"{cpus} 100000")
    assert in_cgroups(tmp_path, "0::/a/b\n") == expected


@pytest.mark.parametrize("path", ["/docker/a-container", "/../.."])
def test_in_a_container_the_own_cgroup_may_be_what_is_mounted(tmp_path, path):
    write(tmp_path / "fs", cpu__max="250000 100000")
    assert in_cgroups(tmp_path, f"0::{path}\n") == 3


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "expected"), [(-1, CPUS), (350_000, 4), (100_000, 1)])
def test_a_quota_of_version_1(tmp_path, mount, quota, expected):
    write(tmp_path / "fs" / mount / "job", cpu__cfs_quota_us=quota, cpu__cfs_period_us=100_000)
    assert in_cgroups(tmp_path, "4:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/\n") == expected


def test_affinity_counts_where_it_is_smaller(tmp_path, monkeypatch):
    write(tmp_path / "fs", cpu__max="400000 100000")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5, 9, 11}, raising=False)
    assert in_cgroups(tmp_path, "0::/\n") == 3


@pytest.mark.parametrize(("cpus", "expected"), [(6, 6), (None, 1)])
def test_macos_has_neither_affinity_nor_cgroups(tmp_path, monkeypatch, cpus, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert cores(tmp_path / "none", tmp_path / "none either") == expected


def test_the_whole_library_counts_so(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert (cores(), Cluster().size, multi_gpu.spare_cores()) == (1, 1, 1)
    assert ", cores: 1, " in machine()
