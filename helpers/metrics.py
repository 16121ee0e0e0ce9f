"""Intervals for what was measured."""

import numpy as np
from scipy import stats


def bootstrap_interval(values: np.ndarray, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` [n], 10,000 resamples over n."""
    values = np.asarray(values, dtype=float)
    if np.ptp(values) == 0:  # every resample is the same
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(seed),
        batch=500,
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def accuracy_interval(right: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Wilson interval of a share: `right` [n] says of each query whether it was answered right."""
    right = np.asarray(right)
    found = stats.binomtest(int(right.sum()), len(right)).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)
