"""Every write of what somebody would miss, with a fault at each of its calls: the old or the new, never a mixture."""

from pathlib import Path

import pytest

from tests.soak.disk import KINDS, FailingDisk
from tests.soak.faults import Case, inject
from tests.soak.writes import STAGES

CASES = [pytest.param(case, id=case.name.replace(" ", "-")) for stage in STAGES.values() for case in stage]


@pytest.mark.slow(seconds=25)
@pytest.mark.parametrize("case", CASES)
def test_a_fault_at_any_write_leaves_the_old_or_the_new_and_the_next_attempt_works(case: Case, tmp_path: Path) -> None:
    figures = inject(case, tmp_path)
    assert not figures.problems, "\n".join(figures.problems)
    assert figures.points.keys() >= {"crash", "power", "error", "readonly"}


def read(folder: Path) -> str:
    return (folder / "file").read_text()


def case_of(write: object) -> Case:
    return Case("a file", lambda f: (f / "file").write_text("old") and None, write, read)  # type: ignore[arg-type]


def test_a_writer_that_takes_no_care_is_found_out(tmp_path: Path) -> None:
    """Else a case that writes past the disk's eyes would pass."""

    def overwrite(folder: Path, _: object) -> None:
        (folder / "file").write_text("new and longer")

    def unsynced(folder: Path, _: object) -> None:
        (folder / "other").write_text("new and longer")
        (folder / "other").replace(folder / "file")
        (folder / "done").touch()

    found = {kind: inject(case_of(overwrite), tmp_path / kind, (kind,)).problems for kind in KINDS}
    assert {kind for kind, problems in found.items() if problems} == {"crash", "torn", "power", "full", "readonly"}
    assert "neither old nor new: ''" in found["crash"][0]
    assert "neither old nor new: 'new and'" in found["torn"][0]

    found = {kind: inject(case_of(unsynced), tmp_path / f"{kind}-2", (kind,)).problems for kind in KINDS}
    assert {kind for kind, problems in found.items() if problems} == {"power"}


def test_the_disk_counts_what_changes_files_below_its_folder_and_nothing_else(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
    with FailingDisk(inside) as disk:
        (outside / "file").write_text("text")
        (inside / "file").write_text("text")
        (inside / "file").read_text()
        (inside / "file").rename(inside / "renamed")
        (inside / "folder").mkdir()
        (inside / "renamed").unlink()
    assert [f"{call.name} {call.path}" for call in disk.calls] == [
        "open file",
        "write file",
        "rename renamed",
        "mkdir folder",
        "unlink renamed",
    ]
