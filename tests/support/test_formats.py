"""Numbers are shown alike on every machine."""

import pytest
import torch

from helpers.support import formats


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "< 1e-12"), (3e-11, "< 1e-10"), (3e-13, "< 1e-12"), (0.5, "< 1e0"), (2.0, "< 1e1"), (1e9, "< 1e99")],
)
def test_rounding(value, said):
    assert formats.rounding(torch.tensor([[0.0, -value]], dtype=torch.float64)) == said


@pytest.mark.parametrize(("value", "shown"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_what_is_not_finite_is_below_no_power_of_ten(value, shown):
    assert formats.rounding(torch.tensor([0.0, value])) == shown


def test_nothing_has_no_largest_difference():
    with pytest.raises(ValueError, match=r"no numbers in a tensor of shape \[0, 3\]"):
        formats.rounding(torch.zeros(0, 3))


def test_rounding_is_not_finer_than_the_numbers_are():
    assert formats.rounding(torch.tensor([1e-9])) == "< 1e-4"
    assert formats.rounding(torch.tensor([1e-9], dtype=torch.bfloat16)) == "< 1e-2"


@pytest.mark.parametrize(("time", "said"), [(2.345, "2.35 s"), (0.012345, "12.3 ms"), (4.2e-5, "42 µs")])
def test_seconds(time, said):
    assert formats.seconds(time) == said
