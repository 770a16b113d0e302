"""Usable cores: the expected numbers are quota / period of fake cgroups, rounded up."""

import os

import pytest

from glioseg.compute import Cluster
from glioseg.core.cpus import usable_cores
from glioseg.mlops.tracking.run_tags import describe_machine
from glioseg.models.training import distributed

CPUS = 64


@pytest.fixture(autouse=True)
def large_machine(monkeypatch):
    """A machine with many CPUs, all of which the process may use."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(CPUS)), raising=False)


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def cores_in_cgroups(home, own):
    (home / "cgroup").write_text(own)
    return usable_cores(home / "cgroup", home / "fs")


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
    assert cores_in_cgroups(tmp_path, "0::/a/b\n") == expected


@pytest.mark.parametrize(("inner", "outer", "expected"), [(3, 5, 3), (5, 3, 3), ("max", 4, 4)])
def test_the_smallest_quota_of_nested_cgroups_counts(tmp_path, inner, outer, expected):
    for folder, limit in {"a/b": inner, "a": outer, "": 7}.items():
        cpus = limit if limit == "max" else 100_000 * limit
        write(tmp_path / "fs" / folder, cpu__max=f"{cpus} 100000")
    assert cores_in_cgroups(tmp_path, "0::/a/b\n") == expected


@pytest.mark.parametrize("path", ["/docker/a-container", "/../.."])
def test_a_container_may_mount_its_own_cgroup_as_the_root(tmp_path, path):
    write(tmp_path / "fs", cpu__max="250000 100000")
    assert cores_in_cgroups(tmp_path, f"0::{path}\n") == 3


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "expected"), [(-1, CPUS), (350_000, 4), (100_000, 1)])
def test_a_quota_of_version_1(tmp_path, mount, quota, expected):
    write(tmp_path / "fs" / mount / "job", cpu__cfs_quota_us=quota, cpu__cfs_period_us=100_000)
    assert cores_in_cgroups(tmp_path, "4:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/\n") == expected


def test_a_smaller_affinity_counts(tmp_path, monkeypatch):
    write(tmp_path / "fs", cpu__max="400000 100000")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5, 9, 11}, raising=False)
    assert cores_in_cgroups(tmp_path, "0::/\n") == 3


@pytest.mark.parametrize(("cpus", "expected"), [(6, 6), (None, 1)])
def test_macos_has_neither_affinity_nor_cgroups(tmp_path, monkeypatch, cpus, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert usable_cores(tmp_path / "none", tmp_path / "none either") == expected


def test_all_parts_of_the_library_use_this_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert (usable_cores(), Cluster().size, distributed.patch_worker_count()) == (1, 1, 1)
    assert ", cores: 1, " in describe_machine()
