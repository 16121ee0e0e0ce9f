"""Intervals: known cases, and coverage by simulation."""

import numpy as np
import pytest

from helpers import metrics


def test_wilson_by_hand():
    """8 of 10: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n) with z = 1.96."""
    low, high = metrics.accuracy_interval(np.array([1] * 8 + [0] * 2))
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)


def test_wilson_of_none_right_is_not_empty():
    low, high = metrics.accuracy_interval(np.zeros(100))
    assert low == pytest.approx(0, abs=1e-12)
    assert high > 0.03


def test_bootstrap_agrees_with_the_normal_interval_and_its_seed():
    values = np.random.default_rng(0).normal(size=400)
    low, high = metrics.bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert (low, high) == metrics.bootstrap_interval(values)


def test_bootstrap_of_a_constant_is_the_constant():
    assert metrics.bootstrap_interval(np.ones(5)) == (1.0, 1.0)
