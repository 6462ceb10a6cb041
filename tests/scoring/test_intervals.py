import time

import numpy as np
import pytest

from vqa_core.scoring.intervals import mcnemar, mean_interval, paired_difference


def clustered(images: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong for about five questions an image; the images' own accuracies spread by `spread` round 0.8."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 10, images)
    chances = np.clip(0.8 + spread * random.standard_normal(images), 0, 1)
    ids = np.repeat(np.arange(images), counts)
    return (random.random(ids.size) < chances[ids]).astype(float), ids


def test_the_interval_has_the_width_of_the_ratio_estimators_standard_error() -> None:
    values, images = clustered(3000, 0.2, seed=1)
    interval = mean_interval(values, images)
    sums, counts = np.bincount(images, weights=values), np.bincount(images)
    error = np.sqrt(np.sum((sums - interval.value * counts) ** 2)) / values.size
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.08)
    assert (interval.n, interval.images) == (values.size, 3000)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    population, _ = clustered(100_000, 0.3, seed=0)
    covered, narrow = 0, 0
    for seed in range(1, 201):
        values, images = clustered(150, 0.3, seed)
        interval = mean_interval(values, images, resamples=500, seed=seed)
        covered += interval.low <= population.mean() <= interval.high
        half = 1.96 * np.sqrt(values.mean() * (1 - values.mean()) / values.size)  # as if questions were independent
        narrow += abs(values.mean() - population.mean()) <= half
    assert covered >= 180  # 95 % of 200 is 190
    assert narrow < covered


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_where_images_do_not_differ_the_interval_still_has_a_width_that_shrinks_with_images(value: float) -> None:
    pairs = [mean_interval(np.tile([value, value], count), np.repeat(np.arange(count), 2)) for count in (1, 10, 1000)]
    widths = [interval.high - interval.low for interval in pairs]
    assert widths[0] > widths[1] > widths[2] > 0
    assert all(interval.method == "exact binomial on images" for interval in pairs)
    assert all(0 <= interval.low <= value <= interval.high <= 1 for interval in pairs)


def test_all_right_on_1000_images_is_above_0_996_however_many_questions_there_were() -> None:
    for questions in (1, 9):
        interval = mean_interval(np.ones(1000 * questions), np.tile(np.arange(1000), questions))
        assert interval.low == pytest.approx(0.025 ** (1 / 1000))  # Clopper-Pearson for 1000 of 1000
        assert interval.high == 1.0


def test_the_same_seed_gives_the_same_interval_in_whatever_order_the_questions_come() -> None:
    values, images = clustered(200, 0.2, seed=3)
    order = np.random.default_rng(0).permutation(values.size)
    names = np.array([f"img_{image:04d}" for image in images])
    assert mean_interval(values, images) == mean_interval(values[order], list(names[order]))
    assert mean_interval(values, images, seed=1) != mean_interval(values, images)


def test_a_paired_difference_is_narrower_than_two_runs_that_err_together_apart() -> None:
    a, images = clustered(400, 0.3, seed=5)
    b = a.copy()
    b[::40] = 1 - b[::40]
    difference = paired_difference(a, b, images)
    apart = sum(of.high - of.low for of in (mean_interval(a, images), mean_interval(b, images)))
    assert difference.value == pytest.approx(a.mean() - b.mean())
    assert difference.high - difference.low < apart / 2
    assert paired_difference(b, a, images).value == -difference.value


def test_two_runs_that_never_differ_are_tied_with_a_margin_for_the_images_not_seen() -> None:
    values, images = clustered(50, 0.3, seed=6)
    difference = paired_difference(values, values, images)
    assert difference.low < 0 < difference.high
    assert difference.high == pytest.approx(1 - 0.025 ** (1 / 50))


@pytest.mark.parametrize(
    ("only_a", "only_b", "p_value"),
    [(0, 0, 1.0), (5, 5, 1.0), (5, 15, 0.04138947), (15, 5, 0.04138947), (0, 10, 2 / 1024), (1, 0, 1.0)],
)
def test_mcnemars_p_value_is_the_exact_binomial_one(only_a: int, only_b: int, p_value: float) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(p_value)


def test_a_test_set_of_dacons_size_takes_less_than_three_seconds() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 12_000, 40_000)
    start = time.perf_counter()
    mean_interval(random.random(40_000) < 0.7, images)
    assert time.perf_counter() - start < 3


def test_an_empty_set_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no values"):
        mean_interval([], [])


def test_drawing_how_often_each_kind_of_image_comes_up_is_drawing_images() -> None:
    values, ids = clustered(300, 0.3, seed=8)
    sums, counts = np.bincount(ids, weights=values), np.bincount(ids)
    drawn = np.random.default_rng(1).integers(0, 300, (20_000, 300))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    interval = mean_interval(values, ids, resamples=20_000)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.001)
