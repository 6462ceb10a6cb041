"""The Ask tab with a whole image-text model: it answers as any other does; the picture is shown without a square."""

from pathlib import Path

import pytest

from tests.support.tiny import QUESTIONS, tiny_competition, tiny_picture
from tests.support.tiny_hub import tiny_hub
from ui.ask import tab
from ui.ask.about import describe_model
from ui.components.words import Words
from ui.workspace import models as models_module
from ui.workspace.workspace import Workspace
from vqa_core.config import DataSettings
from vqa_core.data.images import open_image
from vqa_core.data.prepare import prepare
from vqa_core.inference.adopt import adopt_model
from vqa_core.runs.run_dir import RunDir

pytestmark = pytest.mark.slow

EN = Words("en")


@pytest.mark.parametrize("kind", ["smolvlm", "gemma3", "qwen2_vl"])
def test_a_question_is_answered_and_drawn(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir(tmp_path / "runs" / "hub")
    prepare(run, str(tiny_competition(tmp_path / "data", train_images=3, test_images=2)), DataSettings())
    adopt_model(run, str(tiny_hub(kind, tmp_path / "base")))
    run.write_section("predict", {"max_new_tokens": 4, "precision": "fp32"})
    monkeypatch.setattr(models_module, "SHIPPED_FOLDER", tmp_path / "shipped")
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    tiny_picture(0).save(tmp_path / "picture.png")
    view = tab.upload_picture(workspace, EN, {"run": "hub"}, str(tmp_path / "picture.png"))["view"]
    *_, last = tab.ask(workspace, EN, view, "\n".join(QUESTIONS), "hub")
    drawn = last["arrival"]["drawn"]
    bars, whole, seen = drawn["likeliest"], drawn["whole"], drawn["seen"]
    assert [row[0] for row in drawn["answers"]["rows"]] == list(QUESTIONS)
    assert "…" not in [row[1] for row in drawn["answers"]["rows"]]
    assert bool(bars["rows"]) == (kind != "gemma3")
    assert bars["empty"] == EN("ask.not_searched" if kind == "gemma3" else "ask.none_likely")
    assert "50 × 40" in whole["caption"]
    assert (EN("ask.not_shown") in whole["caption"]) == (seen == {}) == (kind == "qwen2_vl")
    if seen:
        assert ("tiles of" in seen["caption"]) == (kind == "smolvlm")
        path = workspace.pictures.path(*(part(text) for part, text in zip((int, str, str), seen["src"].split("/")[2:])))
        assert open_image(path).width > 16
    assert "<image>" in drawn["prompt"]
    assert describe_model(EN, workspace.models, "hub")
