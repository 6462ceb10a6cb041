import hashlib
import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

import vqa_core
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission import card
from vqa_core.submission.card import card_path, git_commit, versions, write_card
from vqa_core.submission.results import RESULTS


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_card_holds_what_is_needed_to_make_the_submission_again(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.write_section("dataset", {"root": "data"})
    (run.model / "projector").mkdir(parents=True)
    (run.model / "projector" / "model.safetensors").write_bytes(b"weights")
    run.score.write_text('{"val": {"overall": 0.9}, "test": {"overall": 0.8}}')
    answers = [Prediction("1", "yes", "yes", 0.5), Prediction("2", "no", "", None, "bad_image")]
    with PredictionLog.open(run.predictions("test"), meta={"weights": "abc"}) as log:
        log.append(answers)
    test = tmp_path / "test.csv"
    test.write_text("ID\n1\n")
    out = tmp_path / "final.csv"
    out.write_text("ID,answer\n1,yes\n2,no\n")
    path = write_card(
        out,
        run,
        data_files=[test, tmp_path / "absent.csv"],
        predictions=log.read(),
        warnings=["one"],
        command=["python", "-m", "eval.submit", "--run", "a b"],
    )
    assert path == tmp_path / "final.card.json" == card_path(out)
    written = json.loads(path.read_text())
    assert written["submission"] == {"file": "final.csv", "sha256": sha(out), "rows": 2}
    assert written["data"] == {"test.csv": sha(test)}
    assert written["weights"] == {"projector/model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    assert written["config"] == {"sha256": sha(run.config), "settings": {"dataset": {"root": "data"}}}
    assert written["predictions"]["statuses"] == {"ok": 1, "bad_image": 1}
    assert written["predictions"]["meta"] == {"weights": "abc"}
    assert written["validation"] == {"overall": 0.9}
    assert written["warnings"] == ["one"]
    assert written["command"] == "python -m eval.submit --run 'a b'"


def test_versions_are_those_installed() -> None:
    found = versions()
    assert found["pandas"] == pd.__version__
    assert found["vqa-workbench"] == vqa_core.__version__
    assert {"python", "torch", "transformers", "peft"} <= found.keys()


def test_the_commit_is_the_checkouts_marked_where_files_differ_and_none_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vqa_core").mkdir()
    (tmp_path / "vqa_core" / "card.py").write_text("")
    monkeypatch.setattr(card, "ROOT", tmp_path)
    assert git_commit() is None

    def git(*arguments: str) -> str:
        names = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(
            ["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    assert git_commit() is None
    git("add", ".")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "HEAD").strip()
    assert git_commit() == commit
    (tmp_path / "vqa_core" / "card.py").write_text("changed")
    assert git_commit() == f"{commit}-dirty"


def test_what_is_set_aside_with_a_model_has_all_that_a_submission_writes(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    written = [run.submission, *(tmp_path / name for name in RESULTS.values())]
    assert {*written, *map(card_path, written)} <= set(run.of_model())
