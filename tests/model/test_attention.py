"""The attention backend: FlashAttention where it is installed and exact, and by name nowhere else."""

import pytest
import torch

from tests.support.tiny import tiny_run, tiny_vlm
from vqa_core.config import ATTENTION, ModelSettings, PredictSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.inference import build
from vqa_core.model import attention
from vqa_core.model.attention import choose_attention
from vqa_core.model.packing import FLASH
from vqa_core.runs.training_rows import open_rows
from vqa_core.training import prepare

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: True)


def chosen(
    asked: str = "auto", plain: bool = True, device: torch.device = GPU, dtype: torch.dtype = torch.bfloat16
) -> str:
    return choose_attention(asked, plain=plain, device=device, dtype=dtype)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_auto_takes_flash_attention_for_plain_rows_on_a_gpu(dtype: torch.dtype) -> None:
    assert chosen(dtype=dtype) == FLASH


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("why_not", [{"plain": False}, {"device": CPU}, {"dtype": torch.float32}], ids=str)
def test_auto_takes_sdpa_where_flash_attention_is_not_exact_or_does_not_run(why_not: dict) -> None:
    assert chosen(**why_not) == "sdpa"


def test_auto_takes_sdpa_where_flash_attention_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: False)
    assert chosen() == "sdpa"
    with pytest.raises(InputError, match=r"needs flash-attn 2\.3\.3 or later.*pip install flash-attn"):
        chosen(FLASH)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"plain": False},
            "can't run packed rows.*--questions-per-image 1 in training, --engine hf_batch in prediction",
        ),
        ({"device": CPU}, "here it would be cpu in bfloat16. Use --attention auto"),
        ({"dtype": torch.float32}, "here it would be cuda in float32. Use --attention auto"),
    ],
    ids=str,
)
def test_flash_attention_asked_for_by_name_is_refused_with_the_way_out(given: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        chosen(FLASH, **given)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("asked", ["sdpa", "eager"])
def test_the_others_are_taken_as_asked(asked: str, plain: bool) -> None:
    assert chosen(asked, plain=plain) == asked


def test_training_and_prediction_have_the_same_choices_and_default() -> None:
    for kind in (TrainSettings, PredictSettings):
        item = kind.__dataclass_fields__["attention"]
        assert (item.metadata["choices"], item.default) == (ATTENTION, "auto")


@pytest.mark.parametrize(
    ("settings", "images", "plain"),
    [({}, 14, False), ({"questions_per_image": 1}, 14, True), ({"batch_questions": 1}, 14, True), ({}, 2, False)],
)
def test_training_rows_are_plain_where_none_holds_several_questions(
    settings: dict, images: int, plain: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path_factory.mktemp("run"), train_images=images)
    asked: list[bool] = []
    monkeypatch.setattr(prepare, "choose_attention", lambda _name, *, plain, **_: asked.append(plain) or "sdpa")
    monkeypatch.setattr(prepare, "build_any", lambda *_, **__: tiny_vlm())
    prepare.build_model(ModelSettings(), TrainSettings(**settings), open_rows(run.rows))
    assert asked == [plain]
    one_each = [{"questions": ["Is it dark?"]}, {"questions": ["How many?"]}]
    prepare.build_model(ModelSettings(), TrainSettings(), one_each)
    assert asked == [plain, True]


@pytest.mark.parametrize(("engine", "plain"), [("shared", False), ("hf_batch", True), ("naive", True)])
def test_prediction_has_plain_rows_with_the_engines_that_ask_one_question_a_row(
    engine: str, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(build, "choose_attention", lambda name, **how: asked.update(how, name=name) or "eager")
    monkeypatch.setattr(build, "load_model_folder", lambda _folder, **how: how)
    settings = PredictSettings(engine=engine, attention="sdpa")
    loaded = build.load_model(None, settings)  # type: ignore[arg-type]
    assert (asked["plain"], asked["name"]) == (plain, "sdpa")
    assert (loaded["attention"], loaded["how"]) == ("eager", settings)  # type: ignore[index]
