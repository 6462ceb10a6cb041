"""What this machine has: free memory within the limits of a container, cores, the processor."""

from pathlib import Path

import psutil
import pytest

from vqa_core import machine
from vqa_core.machine import core_count, free_memory, prefers_bf16, processor_name, processor_prefers_bf16


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a GPU whose control groups a test writes."""
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "own")
    return tmp_path


def limit(folder: Path, most: object, used: object, *, one: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("limit_in_bytes", "usage_in_bytes") if one else ("max", "current")
    for name, value in zip(names, (most, used)):
        (folder / f"memory.{name}").write_text(f"{value}\n")


def free() -> int:
    found = free_memory()
    assert found
    assert not found.gpu
    return found.bytes


def test_without_a_limit_it_is_what_the_system_has(groups: Path) -> None:
    assert 0 < free() <= psutil.virtual_memory().total
    (groups / "own").write_text("0::/\n")
    limit(groups / "groups", "max", 1000)
    assert free() > 1000


@pytest.mark.parametrize("own", ["/", "/docker/9f/not/seen/from/inside"])
def test_version_2_limits_a_container(groups: Path, own: str) -> None:
    (groups / "own").write_text(f"0::{own}\n")
    limit(groups / "groups", 1_000_000, 400_000)
    assert free() == 600_000


def test_the_tightest_group_above_a_process_counts(groups: Path) -> None:
    (groups / "own").write_text("0::/user.slice/job-7\n")
    limit(groups / "groups" / "user.slice", 900_000, 400_000)
    limit(groups / "groups" / "user.slice" / "job-7", 1_000_000, 400_000)
    assert free() == 500_000


def test_version_1_limits_a_container(groups: Path) -> None:
    (groups / "own").write_text("12:cpu,cpuacct:/docker/9f\n9:memory:/docker/9f\n0::/system.slice\n")
    limit(groups / "groups" / "memory", 9223372036854771712, 0, one=True)
    limit(groups / "groups" / "memory" / "docker" / "9f", 700_000, 500_000, one=True)
    assert free() == 200_000


def test_more_used_than_allowed_is_nothing_free(groups: Path) -> None:
    (groups / "own").write_text("0::/\n")
    limit(groups / "groups", 1000, 2000)
    assert free() == 0


@pytest.mark.usefixtures("groups")
def test_a_system_that_does_not_say_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(psutil, "virtual_memory", fails)
    assert free_memory() is None


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ("vendor_id : GenuineIntel\nflags : fpu amx_tile avx512_bf16", True),
        ("vendor_id : GenuineIntel\nflags : fpu avx512_bf16", False),
        ("vendor_id : AuthenticAMD\nmodel name\t: AMD EPYC 9354\nflags : fpu avx512_bf16", True),
        ("", False),
    ],
)
def test_a_processor_that_is_not_known_takes_fp32(facts: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_processor_facts", lambda: facts)
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    assert processor_prefers_bf16() is expected
    assert prefers_bf16() is expected
    assert ("AMD EPYC 9354" in processor_name()) == ("EPYC" in facts)
    assert processor_name()


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= core_count() <= (psutil.cpu_count() or 1)
    monkeypatch.delattr(psutil.Process, "cpu_affinity")  # as on macOS
    assert core_count() >= 1
