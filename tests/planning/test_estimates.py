"""Estimates: what is said before a training starts is what then happens, or lies round it, or is said to be unknown."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.tiny import TINY_MODEL, TINY_TRAIN, tiny_competition, tiny_parts, tiny_run, tiny_vlm
from vqa_core.config import DataSettings, ModelSettings, TrainSettings
from vqa_core.files import InputError, read_json, write_json, write_json_lines
from vqa_core.machine import Speed
from vqa_core.planning import part_sizes
from vqa_core.planning.estimates import (
    Pace,
    Steps,
    estimate_memory,
    estimate_seconds,
    estimate_steps,
    measured_pace,
    reckoned_pace,
)
from vqa_core.planning.lengths import lengths_of_data, lengths_of_run
from vqa_core.planning.part_sizes import language_sizes, projector_sizes, tower_sizes
from vqa_core.runs.run_dir import RunDir
from vqa_core.training.data import measure_rows
from vqa_core.training.finetune import finetune
from vqa_core.training.plan import plan_training
from vqa_core.training.prepare import prepare_model
from vqa_core.training.task import TrainingTask

SETTINGS = [
    {},
    {"batch_questions": 3},
    {"questions_per_image": 2, "epochs": 2.5},
    {"accumulate": 4, "epochs": 3},
    {"max_steps": 7},
]


@pytest.mark.parametrize("changes", SETTINGS)
def test_the_steps_are_those_that_training_plans(changes: dict[str, float], tmp_path: Path) -> None:
    run, settings = tiny_run(tmp_path), TrainSettings(**TINY_TRAIN | changes)
    task = TrainingTask.of_run(run, ModelSettings(), settings, resume=False)
    real = plan_training(task, prepare_model(task, tiny_vlm()))
    tokens = measure_rows(task.rows, real.batches.encoder).lengths

    exact = estimate_steps(tuple(map(tuple, tokens)), settings, exact_lengths=True)
    assert exact == Steps(real.steps, real.plan.questions, real.plan.epochs, exact=True)

    guessed = estimate_steps(lengths_of_run(run), settings)
    assert abs(guessed.steps - real.steps) <= 1
    assert guessed.exact is ("max_steps" in changes)


def test_a_real_training_takes_the_steps_that_were_estimated(tmp_path: Path) -> None:
    run, settings = tiny_run(tmp_path), TrainSettings(**TINY_TRAIN | {"max_steps": 4, "save_every": 50})
    model = ModelSettings(**TINY_MODEL)
    outcome = finetune(TrainingTask.of_run(run, model, settings, resume=False), tiny_vlm())
    told = estimate_steps(lengths_of_run(run), settings)
    assert (told.steps, told.exact) == (outcome.steps, True)
    trained = read_json(run.model / "vqa.json")["trained"]
    assert told.steps == trained["steps"]

    run.write_section("model", model.to_dict())
    run.write_section("train", settings.to_dict())
    pace = measured_pace([run], model, settings)
    assert pace is not None
    assert pace.run == "run"
    assert 0 < pace.seconds[0] <= pace.seconds[1] <= pace.seconds[2] < 5
    assert pace.validation[1] > 0
    assert measured_pace([run], replace(model, image_side_px=64), settings) is None
    assert measured_pace([run], model, replace(settings, stage="align")) is None
    assert measured_pace([run], model, replace(settings, load_in="4bit")) is None


def test_data_that_are_not_prepared_give_the_rows_that_preparing_gives(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    unprepared = lengths_of_data(tmp_path / "data", DataSettings(val_fraction=0.2))
    assert sorted(unprepared) == sorted(lengths_of_run(run))
    assert sum(map(len, lengths_of_data(tmp_path / "data", DataSettings(val_fraction=0.0)))) > sum(map(len, unprepared))


def test_changed_data_are_read_again(tmp_path: Path) -> None:
    data = tiny_competition(tmp_path / "data")
    before = lengths_of_data(data, DataSettings())
    lines = (data / "train.csv").read_text(encoding="utf-8").splitlines()
    (data / "train.csv").write_text("\n".join(lines[:-5]) + "\n", encoding="utf-8")
    assert sum(map(len, lengths_of_data(data, DataSettings()))) < sum(map(len, before))


def test_a_run_that_is_not_prepared_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.prepare"):
        lengths_of_run(RunDir(tmp_path / "none"))


def test_four_and_eight_bits_spare_the_memory_of_the_frozen_layers() -> None:
    model, settings = ModelSettings(), TrainSettings(stage="lora", precision="bf16")
    sizes = language_sizes("embedded")
    assert sizes is not None
    full, eight, four = (
        estimate_memory(model, replace(settings, load_in=load_in), ()) for load_in in ("full", "8bit", "4bit")
    )
    assert full is not None
    assert eight is not None
    assert four is not None
    assert full.weights - eight.weights == sizes.in_layers  # two bytes become one
    assert (full.weights - four.weights) / sizes.in_layers == pytest.approx(2 - 0.516, abs=1e-3)
    assert full.activations == four.activations


@pytest.mark.parametrize("kind", ["dinov2", "clip"])
def test_parts_are_as_large_as_their_config_says(kind: str, tmp_path: Path) -> None:
    vlm = tiny_vlm(tower=kind)
    tower_folder, language_folder = tiny_parts(tmp_path, tower=kind)
    tower, language = tower_sizes(str(tower_folder)), language_sizes(str(language_folder))
    assert tower is not None
    assert language is not None
    assert tower.parameters == sum(p.numel() for p in vlm.vision_tower.parameters())
    head = sum(p.numel() for p in vlm.model.lm_head.parameters())
    assert language.parameters == sum(p.numel() for p in vlm.language_model.parameters()) + head


def test_the_embedded_parts_are_known_before_they_are_built() -> None:
    from vqa_core.model.embedded import embedded_language_model, embedded_vision_tower

    for folder, known in (
        (embedded_vision_tower(), part_sizes.EMBEDDED_TOWER),
        (embedded_language_model(), part_sizes.EMBEDDED_LANGUAGE),
    ):
        config = read_json(folder / "config.json")
        assert {name: config[name] for name in known} == known


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("kind", [*part_sizes.PROJECTOR_KINDS, "mlp1x_gelu", "mlp4x_gelu"])
def test_a_projector_is_as_large_as_said_and_makes_as_many_tokens(kind: str, bounded: bool) -> None:
    from vqa_core.model.projectors import PROJECTORS

    assert tuple(PROJECTORS) == part_sizes.PROJECTOR_KINDS
    changes = {"projector": kind, "image_boundaries": bounded}
    vlm = tiny_vlm(**changes)
    tower = part_sizes.TowerSizes("dinov2", 24, 3, 48, 32, 8)
    sizes = projector_sizes(ModelSettings(**TINY_MODEL | changes), tower, 32)
    assert sizes is not None
    assert sizes.parameters == sum(p.numel() for p in vlm.projector.parameters())
    assert sizes.image_tokens == vlm.image_tokens


@pytest.mark.parametrize(
    "changes",
    [{"stage": "align"}, {"stage": "full"}, {"stage": "lora"}, {"stage": "lora", "lora_targets": ("q_proj",)}],
)
def test_what_a_stage_trains_is_counted_as_the_stage_makes_it(changes: dict[str, object], tmp_path: Path) -> None:
    from vqa_core.model.stages import prepare_stage, trained_tensors
    from vqa_core.runs.model_folder import stage_of

    tower, language = tiny_parts(tmp_path)
    settings = TrainSettings(**TINY_TRAIN | changes)
    vlm = tiny_vlm()
    prepare_stage(vlm, stage_of(settings))
    model = ModelSettings(**TINY_MODEL | {"vision_tower": str(tower), "language_model": str(language)})
    memory = estimate_memory(model, settings, ((9, 8), (7,)))
    assert memory is not None
    assert memory.trained == sum(p.numel() for p in trained_tensors(vlm).values())
    assert memory.parameters == sum(p.numel() for p in vlm.model.parameters())
    assert memory.optimiser == 12 * memory.trained


DEMO = {"projector": "pooled_mlp", "image_side_px": 112, "prompt_style": "bare"}
DEMO_TRAIN = {"stage": "lora", "lora_rank": 8, "questions_per_image": 4}
MEASURED = [  # peak of the process in MiB, of three steps on easy-VQA with the embedded parts, two cores, torch 2.13
    (DEMO, DEMO_TRAIN | {"precision": "bf16"}, 1966),
    (DEMO, DEMO_TRAIN | {"precision": "fp32"}, 2840),
    (DEMO, DEMO_TRAIN | {"precision": "bf16", "batch_questions": 256}, 5626),
    ({}, {"precision": "bf16", "batch_questions": 32}, 2053),
    ({}, {"precision": "bf16"}, 3093),
    ({}, {"precision": "bf16", "stage": "lora", "batch_questions": 32}, 3041),
    (DEMO, DEMO_TRAIN | {"precision": "bf16", "stage": "full"}, 4427),
    (DEMO, DEMO_TRAIN | {"precision": "fp32", "stage": "full"}, 3963),
    ({}, {"precision": "bf16", "stage": "lora", "batch_questions": 32, "gradient_checkpointing": True}, 1544),
]


@pytest.mark.parametrize(("model", "train", "peak"), MEASURED)
def test_measured_peaks_lie_within_the_range(model: dict[str, object], train: dict[str, object], peak: int) -> None:
    easy_vqa = ((12,) * 10,) * 3800  # near enough: 9.6 questions an image, 8 words each
    memory = estimate_memory(ModelSettings(**model), TrainSettings(**train), easy_vqa)
    assert memory is not None
    assert memory.low <= peak << 20 <= memory.high
    assert memory.high < 4 * memory.low


XEON = Speed(2.9e11)  # two cores of a Xeon with AVX512-BF16 and without AMX, as machine_speed() measured them
PACES = [  # median seconds a question of the same parts on it, seven steps each
    (DEMO, DEMO_TRAIN | {"precision": "bf16"}, 0.0535),
    (DEMO, DEMO_TRAIN | {"precision": "fp32"}, 0.0300),
    (DEMO, DEMO_TRAIN | {"precision": "bf16", "batch_questions": 16}, 0.0684),
    (DEMO, DEMO_TRAIN | {"precision": "bf16", "batch_questions": 256}, 0.0526),
    ({}, {"precision": "bf16", "batch_questions": 32}, 0.1952),
    ({}, {"precision": "fp32", "batch_questions": 32}, 0.1129),
    ({}, {"precision": "bf16"}, 0.1890),
    ({}, {"precision": "bf16", "stage": "lora", "batch_questions": 32}, 0.2254),
    (DEMO, DEMO_TRAIN | {"precision": "bf16", "stage": "full"}, 0.0816),
    (DEMO, DEMO_TRAIN | {"precision": "fp32", "stage": "full"}, 0.0572),
    ({}, {"precision": "bf16", "stage": "lora", "batch_questions": 32, "gradient_checkpointing": True}, 0.3101),
    ({}, {"precision": "bf16", "batch_questions": 4, "questions_per_image": 1}, 1.1675),
]


@pytest.mark.parametrize(("model", "train", "seconds"), PACES)
def test_measured_paces_lie_within_what_is_reckoned(
    model: dict[str, object], train: dict[str, object], seconds: float
) -> None:
    easy_vqa = ((12,) * 10,) * 3800
    pace = reckoned_pace(ModelSettings(**model), TrainSettings(**train), easy_vqa, XEON)
    assert pace is not None
    assert (pace.run, pace.steps) == ("", 0)
    low, likely, high = pace.seconds
    assert low < seconds < high
    assert likely / 2 < seconds < likely * 2
    assert high == pytest.approx(5 * low)


def test_a_larger_model_or_a_slower_machine_takes_longer_and_unknown_parts_have_no_pace() -> None:
    lengths = ((9, 8), (7,))

    def likely(speed: Speed = XEON, **train: object) -> float:
        pace = reckoned_pace(ModelSettings(), TrainSettings(**train), lengths, speed)
        assert pace is not None
        return pace.seconds[1]

    assert likely() == likely(Speed(2.9e10)) / 10 == likely(Speed(2.9e11, "some card")) * 0.35 / 0.5
    assert likely() == likely(stage="lora") < likely(gradient_checkpointing=True) == likely(stage="full")
    for unknown in ({"vision_tower": "some/model"}, {"base_model": "some/model"}):
        assert reckoned_pace(ModelSettings(**unknown), TrainSettings(), lengths, XEON) is None


@pytest.mark.parametrize("part", ["vision_tower", "language_model"])
def test_parts_that_are_not_on_this_machine_have_no_estimate(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    settings = TrainSettings()
    assert estimate_memory(ModelSettings(**{part: "some/model"}), settings, ((9,),)) is None
    assert estimate_memory(ModelSettings(**{part: "\0"}), settings, ((9,),)) is None
    write_json(tmp_path / "odd" / "config.json", {"hidden_size": "many"})
    assert estimate_memory(ModelSettings(**{part: str(tmp_path / "odd")}), settings, ((9,),)) is None
    source = {"vision_tower": part_sizes.EMBEDDED_TOWER, "language_model": part_sizes.EMBEDDED_LANGUAGE}[part]
    write_json(tmp_path / "models--some--model" / "snapshots" / "abc" / "config.json", source)
    assert estimate_memory(ModelSettings(**{part: "some/model"}), settings, ((9,),)) is not None


def pace_run(folder: Path, rows: list[dict[str, float]]) -> RunDir:
    run = RunDir(folder)
    run.write_section("model", ModelSettings().to_dict())
    run.write_section("train", TrainSettings(batch_questions=10).to_dict())
    write_json_lines(run.metrics, rows)
    return run


def test_the_pace_is_the_median_without_validations(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = [{"step": s, "loss": 1.0, "seconds": s * 2.0} for s in range(1, 5)]
    rows.append({"step": 4, "eval_accuracy": 0.5, "eval_questions": 100, "seconds": 58.0})
    rows += [{"step": s, "loss": 1.0, "seconds": 50 + s * 2.0} for s in (5, 6)]
    pace = measured_pace([pace_run(tmp_path / "a", rows)], ModelSettings(), TrainSettings())
    assert pace is not None
    assert pace.seconds[1] == pytest.approx(0.2)
    assert pace.validation == pytest.approx((0.5, 0.5, 0.5))


def test_a_run_whose_files_make_no_sense_tells_no_pace_and_the_next_one_is_asked(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = [{"step": s, "loss": 1.0, "seconds": s * 3.0} for s in range(1, 5)]
    good = pace_run(tmp_path / "good", rows)
    odd = pace_run(tmp_path / "odd", rows)
    odd.metrics.write_text('{"step": "x"}\n{"loss": [], "step": 3}\n{torn', encoding="utf-8")
    write_json(RunDir(tmp_path / "odder").config, {"model": [], "train": 3})
    runs = [odd, RunDir(tmp_path / "odder"), RunDir(tmp_path / "gone"), good]
    pace = measured_pace(runs, ModelSettings(), TrainSettings())
    assert pace is not None
    assert pace.run == "good"


def test_the_time_counts_every_validation_and_ends_at_the_limit() -> None:
    steps, pace = Steps(10, 1000, 1.0, True), Pace("a", (0.1, 0.2, 0.3), 10, (0.01, 0.02, 0.03))
    assert estimate_seconds(steps, pace, TrainSettings(eval_every=5, eval_questions=0), 100) == (103.0, 309.0)
    assert estimate_seconds(steps, pace, TrainSettings(max_minutes=2), 0) == (100.0, 120.0)
