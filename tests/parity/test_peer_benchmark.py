"""`eval.benchmark peer` against LLaVA itself: it measures, and an answer that differs stops it."""

import json
from pathlib import Path

import pytest

from eval.benchmark import main
from tests.parity.world import peer_python
from vqa_core.benchmarks import peer
from vqa_core.benchmarks.asking import WrongWork
from vqa_core.files import InputError

FEW = ["--images", "1", "--questions-per-image", "2", "--rounds", "1", "--max-new-tokens", "3"]


def test_both_sides_answer_alike_and_are_timed(tmp_path: Path) -> None:
    main(["peer", *FEW, "--python", peer_python(), "--out", str(tmp_path / "peer.json")])
    found = json.loads((tmp_path / "peer.json").read_text())
    assert "the same from both in each of 2 rounds" in found["lines"][-1]
    arms = found["numbers"]["arms"]
    assert (arms["shared"]["encodes"], arms["llava"]["encodes"]) == (1, 2)
    assert arms["llava"]["tokens"] > arms["shared"]["tokens"]


def test_an_answer_that_differs_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_answer", lambda _vlm, questions, _: {e.question_id: "?" for e in questions.examples})
    with pytest.raises(WrongWork, match=r"is answered .*'\?'"):
        main(["peer", *FEW, "--python", peer_python()])


def test_without_llava_s_environment_it_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Install it with `make parity`"):
        main(["peer", "--python", str(tmp_path / "python")])
