"""The formulas against the figures that the design was decided on, and against docs/benchmarks.md."""

import re

import pytest

from vqa_core import ROOT
from vqa_core.benchmarks.floors import DACON_TEST, DACON_TRAIN, ModelShape, Workload, transformer_encode_flops

VICUNA = ModelShape(linear=6_476_005_376, layers=32, width=4096, vocabulary=32_000, encode_flops=155e9)
SMOLLM2 = ModelShape(linear=106_168_320, layers=30, width=576, vocabulary=49_152, encode_flops=12.2e9)
DOCS = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")


def uniform(mean: float) -> Workload:
    return Workload.uniform(images=1000, questions=round(1000 * mean))


@pytest.mark.parametrize(("mean", "speedup"), [(1, 1.00), (2, 1.87), (3.4, 2.90), (5, 3.89), (10, 6.09)])
def test_sharing_saves_as_many_tokens_as_the_formula_says(mean: float, speedup: float) -> None:
    by_formula = mean * (286 + 20 + 2) / (286 + mean * (20 + 2))
    assert uniform(mean).speedup == pytest.approx(by_formula)
    assert round(by_formula, 2) == speedup


def test_the_docs_table_has_the_formulas_figures() -> None:
    rows = re.findall(r"^\| ([\d.]+) \| ([\d.]+)x \|$", DOCS, re.MULTILINE)
    assert len(rows) == 5
    assert [f"{uniform(float(mean)).speedup:.2f}" for mean, _ in rows] == [speedup for _, speedup in rows]


def test_dacons_tokens_are_those_of_the_docs() -> None:
    assert (round(DACON_TEST.separate_tokens / 1e6, 2), round(DACON_TEST.shared_tokens / 1e6, 2)) == (12.47, 4.30)
    assert (round(DACON_TRAIN.separate_tokens / 1e6, 2), round(DACON_TRAIN.shared_tokens / 1e6, 2)) == (110.73, 38.58)
    text = " ".join(DOCS.split())
    for figures in ("12.47 M tokens one by one and 4.30 M together", "110.73 M and 38.58 M"):
        assert figures in text


def test_questions_and_answers_of_unequal_length_add_up() -> None:
    work = Workload.of(prefix=10, groups=[[(3, 1), (5, 2)], [(4, 0)]])
    assert (work.images, work.questions, work.head_rows) == (2, 3, 3 + 3)
    assert work.separate_tokens == (10 + 3 + 1) + (10 + 5 + 2) + (10 + 4)
    assert work.shared_tokens == (10 + 3 + 1 + 5 + 2) + (10 + 4)
    assert (work.encodes(shared=True), work.encodes(shared=False)) == (2, 3)


@pytest.mark.parametrize(
    ("shape", "separate", "shared"), [(VICUNA, 1.69e17, 5.81e16), (SMOLLM2, 3.29e15, 1.12e15)], ids=["7B", "135M"]
)
def test_flops_of_answering_dacons_test_set(shape: ModelShape, separate: float, shared: float) -> None:
    assert shape.answer_flops(DACON_TEST, shared=False) == pytest.approx(separate, rel=0.01)
    assert shape.answer_flops(DACON_TEST, shared=True) == pytest.approx(shared, rel=0.01)


def test_flops_of_an_epoch_of_projector_training() -> None:
    assert VICUNA.train_flops(DACON_TRAIN, shared=True) == pytest.approx(1.02e18, rel=0.02)
    assert VICUNA.train_flops(DACON_TRAIN, shared=False) == pytest.approx(2.91e18, rel=0.02)


def test_attention_is_under_a_hundredth_of_the_7b_work() -> None:
    part = VICUNA.attention_flops(DACON_TEST, shared=True) / VICUNA.answer_flops(DACON_TEST)
    assert 0.006 < part < 0.008


def test_flops_of_encoding_a_picture() -> None:
    clip = transformer_encode_flops(linear=23 * 12 * 1024**2, layers=23, width=1024, tokens=257)
    assert clip == pytest.approx(155e9, rel=0.01)
    dinov2 = transformer_encode_flops(linear=12 * 12 * 384**2, layers=12, width=384, tokens=257)
    assert dinov2 == pytest.approx(12.2e9, rel=0.01)
