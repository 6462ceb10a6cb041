"""What goes wrong with one question or picture is its own failure; what concerns all of them ends the whole."""

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.support.tiny import tiny_examples, tiny_picture, tiny_vlm, write_pictures
from vqa_core.commands import log_to
from vqa_core.config import PredictSettings
from vqa_core.files import InputError
from vqa_core.inference import engine as engine_module
from vqa_core.inference.beam_search import find_likeliest
from vqa_core.inference.decoding import answer_packed
from vqa_core.inference.engine import Engine
from vqa_core.inference.generation import Batch
from vqa_core.inference.retrying import FIRST, Failure, first_line, may_pass
from vqa_core.model.vlm import Vlm
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction

EXAMPLES = tiny_examples(8)
WAY = "vqa_core.inference.engine.answer_packed"
Fails = Callable[[Sequence[Example]], BaseException | None]


class PanicException(BaseException):
    """As a tokeniser written in Rust raises it."""


@pytest.fixture(scope="module")
def vlm() -> Vlm:
    return tiny_vlm()


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_pictures(folder, EXAMPLES)
    return folder


def make_engine(vlm: Vlm, data_root: Path, **settings: Any) -> Engine:
    return Engine(vlm, PredictSettings(max_new_tokens=5, **settings), data_root, fallback=lambda _: "guess")


def by_id(predictions: Any) -> dict[str, Prediction]:
    return {prediction.question_id: prediction for prediction in predictions}


def fail_for(monkeypatch: pytest.MonkeyPatch, fails: Fails) -> list[list[str]]:
    """Have the way of answering raise what `fails` returns for a batch; the ids of each batch that was tried."""
    tried: list[list[str]] = []

    def answer(vlm: Vlm, batch: Batch, pictures: list[Any], *rest: Any) -> Any:
        tried.append([example.question_id for example in batch.examples])
        if error := fails(batch.examples):
            raise error
        return answer_packed(vlm, batch, pictures, *rest)

    monkeypatch.setattr(WAY, answer)
    return tried


def fails_with(ids: set[str], error: Callable[[], BaseException]) -> Fails:
    return lambda examples: error() if ids & {example.question_id for example in examples} else None


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (lambda: KeyError("pixel_values"), "KeyError: 'pixel_values'"),
        (lambda: IndexError("index out of range in self"), "IndexError: index out of range in self"),
        (lambda: RuntimeError("shapes differ\nat ..."), "RuntimeError: shapes differ"),
        (
            lambda: RecursionError("maximum recursion depth exceeded"),
            "RecursionError: maximum recursion depth exceeded",
        ),
        (lambda: ValueError("<Image at 0x7f32a1b2c3d4>"), "ValueError: <Image at 0x...>"),
        (lambda: AssertionError(), "AssertionError"),
        (lambda: InputError("This question is too long."), "This question is too long."),
        (lambda: PanicException("called `Option::unwrap()` on a `None` value"), "PanicException: called"),
        (lambda: TypeError("x" * 1_000_000), "TypeError: " + "x" * 300 + "..."),
    ],
)
def test_a_question_that_fails_gets_a_status_and_the_others_their_answers(
    error: Callable[[], BaseException], detail: str, vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = by_id(make_engine(vlm, data_root).generate(EXAMPLES))
    bad = {EXAMPLES[3].question_id, EXAMPLES[-1].question_id}
    tried = fail_for(monkeypatch, fails_with(bad, error))
    found = by_id(make_engine(vlm, data_root).generate(EXAMPLES))
    assert found.keys() == expected.keys()
    for question_id, prediction in found.items():
        if question_id in bad:
            assert (prediction.status, prediction.answer, prediction.generated) == ("error", "guess", "")
            assert prediction.detail.startswith(detail)
            assert len(prediction.detail) < 400
        else:
            same = expected[question_id]
            assert (prediction.answer, prediction.status) == (same.answer, same.status)
            assert prediction.probability == pytest.approx(same.probability, rel=1e-3, abs=2e-6)
    assert all(tried.count([question_id]) == 1 for question_id in bad)
    assert len(tried) < 2 * len(EXAMPLES)


def test_a_single_question_is_tried_once_more_and_no_more(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = EXAMPLES[0].question_id
    expected = by_id(make_engine(vlm, data_root, batch_questions=1).generate(EXAMPLES))
    errors = [RuntimeError("for a moment")]
    tried = fail_for(monkeypatch, lambda _: errors.pop() if errors else None)
    assert by_id(make_engine(vlm, data_root, batch_questions=1).generate(EXAMPLES)) == expected
    assert len(tried) == len(EXAMPLES) + 1
    tried = fail_for(monkeypatch, fails_with({bad}, lambda: RuntimeError("for good")))
    found = by_id(make_engine(vlm, data_root, batch_questions=1).generate(EXAMPLES))
    assert found[bad].status == "error"
    assert tried.count([bad]) == 2
    assert {key: value for key, value in found.items() if key != bad} == {
        key: value for key, value in expected.items() if key != bad
    }


def test_a_run_that_goes_on_ends_with_the_same_predictions(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {example.question_id for example in EXAMPLES[::5]}
    fail_for(monkeypatch, fails_with(bad, lambda: KeyError("gone")))
    whole = list(make_engine(vlm, data_root, batch_questions=6).generate(EXAMPLES))
    for stopped in (1, 5, 12, len(whole) - 1):
        before = whole[:stopped]
        answered = any(not prediction.is_fallback for prediction in before)
        done = [prediction.question_id for prediction in before]
        rest = make_engine(vlm, data_root, batch_questions=6).generate(EXAMPLES, done, answered=answered)
        assert by_id([*before, *rest]) == by_id(whole)


# what concerns every question


def test_an_error_that_a_harmless_question_meets_too_ends_the_whole_with_nothing_written(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = fail_for(monkeypatch, lambda _: KeyError("the model lacks a part"))
    with pytest.raises(KeyError, match="lacks a part"):
        next(make_engine(vlm, data_root).generate(EXAMPLES))
    assert len(tried) < 12


def test_an_error_that_answered_questions_meet_now_ends_the_whole(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Prediction] = []
    tried = fail_for(monkeypatch, lambda _: RuntimeError("the driver is gone") if len(tried) > 3 else None)
    with pytest.raises(RuntimeError, match="driver is gone"):
        given.extend(make_engine(vlm, data_root, batch_questions=4).generate(EXAMPLES))
    assert 0 < len(given) < len(EXAMPLES)
    assert {"error", "oom"}.isdisjoint(prediction.status for prediction in given)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: unspecified launch failure",
    ],
)
def test_an_unusable_gpu_ends_the_whole_with_a_sentence_and_keeps_the_answers(
    text: str, vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(vlm, data_root, batch_questions=4)
    batches = [[example.question_id for example in batch.examples] for batch in engine.plan(EXAMPLES)]
    tried = fail_for(monkeypatch, fails_with(set(batches[2]), lambda: RuntimeError(text)))
    given: list[Prediction] = []
    with pytest.raises(InputError, match=r"The answers before them are kept.*CUDA_LAUNCH_BLOCKING") as raised:
        given.extend(make_engine(vlm, data_root, batch_questions=4).generate(EXAMPLES))
    assert batches[2][0] in str(raised.value)
    assert text.splitlines()[0] in str(raised.value)
    assert [prediction.question_id for prediction in given] == batches[0] + batches[1]
    assert tried == batches[:3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_and_the_end_of_the_process_pass(
    error: type[BaseException], vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = fail_for(monkeypatch, fails_with({EXAMPLES[0].question_id}, error))
    with pytest.raises(error):
        list(make_engine(vlm, data_root).generate(EXAMPLES))
    assert len(tried) == 1


def many(count: int) -> list[Example]:
    return [Example(f"q{number}", "", EXAMPLES[number % 8].image, f"is it {number}?") for number in range(count)]


def test_if_all_of_the_first_questions_fail_alike_no_answer_is_written(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = many(3 * FIRST)
    ids = {example.question_id for example in examples}
    given: list[Prediction] = []
    fail_for(monkeypatch, fails_with(ids, lambda: KeyError("of every one of them")))
    with pytest.raises(
        InputError, match=f"None of the first {FIRST} questions could be answered .*of every one of them"
    ):
        given.extend(make_engine(vlm, data_root).generate(examples))
    assert not given


def test_bad_questions_first_are_held_back_until_one_is_answered(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = many(FIRST + 8)
    engine = make_engine(vlm, data_root, batch_questions=4)
    order = [example.question_id for batch in engine.plan(examples) for example in batch.examples]
    bad = set(order[: FIRST - 1])
    fail_for(monkeypatch, fails_with(bad, lambda: KeyError("early")))
    found = list(make_engine(vlm, data_root, batch_questions=4).generate(examples))
    assert [prediction.question_id for prediction in found] == order
    assert {prediction.question_id for prediction in found if prediction.status == "error"} == bad
    few = examples[:5]
    fail_for(monkeypatch, fails_with({example.question_id for example in few}, lambda: KeyError("all of few")))
    assert {prediction.status for prediction in make_engine(vlm, data_root).generate(few)} == {"error"}
    tail = [example for example in examples if example.question_id in bad]
    fail_for(monkeypatch, fails_with(bad, lambda: KeyError("late")))
    rest = make_engine(vlm, data_root).generate([*tail, *many(3 * FIRST)[2 * FIRST :]], answered=True)
    assert sum(prediction.status == "error" for prediction in rest) == len(bad)


# pictures


def preprocess_with(monkeypatch: pytest.MonkeyPatch, fails: Callable[[Image.Image], BaseException | None]) -> None:
    original = Vlm.preprocess

    def preprocess(self: Vlm, image: Image.Image) -> Any:
        if error := fails(image):
            raise error
        return original(self, image)

    monkeypatch.setattr(Vlm, "preprocess", preprocess)


def test_a_picture_that_preprocessing_fails_on_is_its_own_failure(
    vlm: Vlm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path, EXAMPLES)
    tiny_picture(0).resize((33, 44)).save(tmp_path / EXAMPLES[-1].image)
    expected = by_id(make_engine(vlm, tmp_path).generate(EXAMPLES))
    preprocess_with(monkeypatch, lambda image: IndexError("list index") if image.size == (33, 44) else None)
    found = by_id(make_engine(vlm, tmp_path).generate(EXAMPLES))
    for example in EXAMPLES:
        prediction = found[example.question_id]
        if example.image == EXAMPLES[-1].image:
            assert (prediction.status, prediction.detail) == ("error", "IndexError: list index")
        else:
            assert prediction.answer == expected[example.question_id].answer
    preprocess_with(monkeypatch, lambda _: IndexError("of any picture"))
    with pytest.raises(IndexError, match="of any picture"):
        list(make_engine(vlm, tmp_path).generate(EXAMPLES))


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), MemoryError(), RuntimeError("for a moment")]
)
def test_a_picture_is_loaded_again_where_that_may_help(
    error: BaseException, vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = by_id(make_engine(vlm, data_root).generate(EXAMPLES))
    original, errors = engine_module.open_image, [error]

    def open_image(*args: Any, **options: Any) -> Image.Image:
        if errors:
            raise errors.pop()
        return original(*args, **options)

    monkeypatch.setattr(engine_module, "open_image", open_image)
    assert by_id(make_engine(vlm, data_root).generate(EXAMPLES)) == expected


def test_what_a_second_look_can_change_and_what_not() -> None:
    assert may_pass(OSError(errno.EIO, "Input/output error"))
    assert may_pass(KeyError("a"))
    assert not may_pass(FileNotFoundError(errno.ENOENT, "No such file"))
    assert not may_pass(OSError("image file is truncated"))
    assert not may_pass(InputError("is damaged"))
    wrapped = InputError("cannot be read")
    wrapped.__cause__ = OSError(errno.ESTALE, "Stale file handle")
    assert may_pass(wrapped)


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 300 + ".png", "\udcff\ud800.png", "image", "../image", "."])
def test_a_name_that_no_picture_can_have_is_a_bad_image(name: str, vlm: Vlm, data_root: Path) -> None:
    examples = [*EXAMPLES, Example("odd", "odd", name, "is it red?")]
    found = by_id(make_engine(vlm, data_root).generate(examples))
    failed = [name for name, prediction in found.items() if prediction.status in ("bad_image", "error", "oom")]
    assert failed == ["odd"]


# questions


ODD = [
    "", " ", "\n", "\0", "a\0b", "\ud800", "is it \udc80\ud83d?", "\ufeff", "\u202e\u2066", "e" + "\u0301" * 5000,
    "😀" * 300, "<image>", "<|im_end|>", "</s>" * 40, "\x1b[31m", "%s %d {}", "ﷺ" * 200, "\U0010ffff", "원" * 500,
    "a" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("way", ["shared", "naive", "hf_batch"])
def test_a_question_of_any_text_is_answered_or_has_a_status(way: str, vlm: Vlm, data_root: Path) -> None:
    expected = by_id(make_engine(vlm, data_root, engine=way).generate(EXAMPLES))
    odd = [Example(f"odd{number}", "", EXAMPLES[0].image, text) for number, text in enumerate(ODD)]
    odd += [Example("c", "", EXAMPLES[0].image, "\ud800", choices=("\udfff", "b\0", ""), answer_form="A")]
    found = by_id(make_engine(vlm, data_root, engine=way, batch_questions=5).generate([*EXAMPLES, *odd]))
    assert len(found) == len(EXAMPLES) + len(odd)
    for question_id, prediction in expected.items():
        assert (found[question_id].answer, found[question_id].status) == (prediction.answer, prediction.status)


def test_choices_of_which_some_have_no_probability_are_an_error_of_that_question(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        Example(f"c{number}", "", EXAMPLES[number].image, f"which {number}?", choices=("red", "blue"), answer_form="A")
        for number in range(4)
    ]

    def answer(vlm: Vlm, batch: Batch, *rest: Any) -> Any:
        found = answer_packed(vlm, batch, *rest)
        for example, generated in zip(batch.examples, [each for group in found for each in group], strict=True):
            if example.question_id == "c2":
                generated.options[1] = float("nan")
        return found

    monkeypatch.setattr(WAY, answer)
    found = by_id(make_engine(vlm, data_root).generate(asked))
    assert [found[f"c{number}"].status for number in range(4)] == ["ok", "ok", "error", "ok"]


# in the page, and the log


def test_asking_and_streaming_give_a_status_and_the_likeliest_answers_of_the_others(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, image = make_engine(vlm, data_root), tiny_picture(1)
    questions = ["is it red?", "BAD", "what is it?"]
    expected = engine.ask(image, [questions[0], questions[2]])
    original = vlm.prompt.branch_ids

    def branch_ids(question: str, *rest: Any, **options: Any) -> Any:
        if question == "BAD":
            raise KeyError("no such text")
        return original(question, *rest, **options)

    monkeypatch.setattr(vlm.prompt, "branch_ids", branch_ids)
    asked = engine.ask(image, questions)
    assert [each.status == "error" for each in asked] == [False, True, False]
    assert [asked[0].answer, asked[2].answer] == [each.answer for each in expected]
    streamed: list[list[Prediction]] = []

    def stream() -> Iterator[Any]:
        streamed.append((yield from engine.stream(image, questions)))

    partial = list(stream())
    assert streamed == [asked]
    assert [text for text, _ in partial[-1]] == [each.answer for each in asked]
    likeliest = find_likeliest(engine, image, questions, 2)
    assert [bool(found) for found in likeliest] == [True, False, True]
    monkeypatch.setattr(vlm.prompt, "branch_ids", lambda *_, **__: (_ for _ in ()).throw(KeyError("of any text")))
    with pytest.raises(KeyError, match="of any text"):
        engine.ask(image, questions)


def test_a_picture_that_can_t_be_asked_about_is_a_sentence(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(vlm, data_root)
    with pytest.raises(InputError, match="300 times as high as wide"):
        engine.ask(Image.new("RGB", (1, 300)), ["is it red?"])
    preprocess_with(monkeypatch, lambda _: IndexError("list index"))
    with pytest.raises(InputError, match=r"can't take this picture \(IndexError: list index\)"):
        next(engine.stream(tiny_picture(0), ["is it red?"]))


def test_the_log_has_one_trace_of_each_kind_and_the_terminal_none(
    vlm: Vlm, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger("vqa"), "handlers", [])
    log_to(tmp_path / "log.txt")
    bad = {example.question_id for example in EXAMPLES[::2]}
    fail_for(monkeypatch, fails_with(bad, lambda: KeyError("of this test")))
    list(make_engine(vlm, data_root).generate(EXAMPLES))
    said, log = capsys.readouterr().err, (tmp_path / "log.txt").read_text()
    assert log.count("Traceback") == 1
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1
    assert "KeyError: 'of this test'" in said


def test_an_error_keeps_no_tensors_in_memory() -> None:
    def fail() -> None:
        tensor = torch.zeros(3)
        raise RuntimeError(f"{tensor.shape}")

    try:
        fail()
    except RuntimeError as error:
        failure = Failure.of(error)
    trace = failure.error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    assert trace
    assert "tensor" not in trace.tb_frame.f_locals
    assert first_line(failure.error) == "torch.Size([3])"
