"""How sure a number is: confidence intervals that respect images, and paired tests.

Questions about one picture are right or wrong together, so we resample pictures, each with all its questions (the
cluster bootstrap). An interval from resampling single questions would be too narrow.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
CHUNK_DRAWS = 2_000_000  # random numbers in memory at once, some 50 MB

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its confidence interval, over `n` questions about `images` images; `method` names the method."""

    value: float
    low: float
    high: float
    n: int
    images: int
    method: str

    @property
    def span(self) -> str:
        """`0.9938-0.9968`."""
        return f"{self.low:.4f}-{self.high:.4f}"

    @property
    def signed_span(self) -> str:
        """`-0.0012 to +0.0030`, for a difference."""
        return f"{self.low:+.4f} to {self.high:+.4f}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self)


def mean_interval(
    values: Sequence[float] | Floats,
    images: Sequence[Any] | npt.NDArray[Any],
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean of `values`, (n,), with an interval from resampling the `images`, (n,), that the values belong to.

    Percentile bootstrap: draws as many images as there are, with replacement, `resamples` times. If all images have the
    same mean, resampling shows no spread, although the next image may differ; then the interval extends as far as an
    exact binomial (Clopper-Pearson) bound on the share of images that may differ allows, within `bounds`.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size == 0:
        raise ValueError("no values to average")
    _, codes = np.unique(np.asarray(images), return_inverse=True)
    sums: Floats = np.bincount(codes, weights=numbers).astype(np.float64)  # (images,)
    counts: Floats = np.bincount(codes).astype(np.float64)  # (images,)
    mean = float(sums.sum() / counts.sum())
    tail = (1 - confidence) / 2
    if np.ptp(sums / counts) < 1e-12:
        differing = 1 - tail ** (1 / counts.size)  # upper bound on the share, having seen 0 of `counts.size`
        low = mean - differing * (mean - bounds[0])
        high = mean + differing * (bounds[1] - mean)
        method = "exact binomial on images"
    else:
        low, high = np.quantile(_resampled_means(sums, counts, resamples, seed), [tail, 1 - tail])
        method = "cluster bootstrap by image"
    return Interval(mean, float(low), float(high), int(numbers.size), int(counts.size), method)


def paired_difference(
    a: Sequence[float] | Floats, b: Sequence[float] | Floats, images: Sequence[Any] | npt.NDArray[Any], **options: Any
) -> Interval:
    """The mean of a - b over the same questions, resampled together; options as in `mean_interval`."""
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return mean_interval(difference, images, bounds=(-1.0, 1.0), **options)


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test, from the numbers of questions that only one of the two gets right.

    It treats questions as independent, which questions about one image are not: `paired_difference` is stricter.
    """
    from scipy.special import bdtr  # takes a fifth of the time and memory of scipy.stats

    # a fair coin has two equal tails
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def _resampled_means(sums: Floats, counts: Floats, resamples: int, seed: int) -> Floats:
    """Means of `resamples` draws with replacement of as many images as there are, (resamples,).

    Images with the same sum and count are interchangeable, so we draw how often each such kind occurs, a multinomial:
    thousands of images with right or wrong answers have only some dozens of kinds.
    """
    random = np.random.default_rng(seed)
    kinds, sizes = np.unique(np.stack([sums, counts]), axis=1, return_counts=True)  # (2, kinds), (kinds,)
    means = np.empty(resamples)
    step = max(1, CHUNK_DRAWS // sizes.size)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = random.multinomial(counts.size, sizes / counts.size, size=stop - start)  # (step, kinds)
        means[start:stop] = (drawn @ kinds[0]) / (drawn @ kinds[1])
    return means
