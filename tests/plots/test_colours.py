"""What is drawn together stays apart for people who confuse colours: simulated, and measured in CAM02-UCS.

A difference of 10 is several times the smallest that an eye with all its cones can see. Series beyond those measured
here, and colours that share a figure with them, differ in mark or dashes too: test_plots asks for that.
"""

from itertools import combinations

import numpy as np
import pytest
from colorspacious import cspace_convert, deltaE
from matplotlib.colors import to_rgb

from helpers.plots import curves, page

APART = 10
SIGHTS = ["all colours", "deuteranomaly", "protanomaly", "tritanomaly"]
TOGETHER = {
    "the three ways": page.COLOURS.values(),
    "four series": page.PALETTE[:4],
    "which weights, and the prompt": {*curves.PAIRED[:4], page.COLOURS["in context"]},
    "three measured, and two nulls": [*curves.BY_LAYER[:3], *(null["color"] for null in curves.NULLS[:2])],
    "two labels, two ways of descent": [page.BLUE, page.ORANGE],
    "right, wrong and framed": [page.BLUE, "#e3e3e3", page.ORANGE],
}


def seen(colour, sight):
    """A colour as it looks to someone with this sight, fully developed."""
    if sight == "all colours":
        return np.array(to_rgb(colour))
    simulated = {"name": "sRGB1+CVD", "cvd_type": sight, "severity": 100}
    return np.clip(cspace_convert(to_rgb(colour), simulated, "sRGB1"), 0, 1)


def apart(one, other, sight):
    return deltaE(seen(one, sight), seen(other, sight), input_space="sRGB1", uniform_space="CAM02-UCS")


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("name", TOGETHER)
def test_colours_alone_tell_apart(name, sight):
    assert min(apart(one, other, sight) for one, other in combinations(TOGETHER[name], 2)) > APART


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("markers", [page.MARKERS, page.PLAIN_MARKERS])
def test_up_to_twelve_series_of_one_mark_differ_in_colour(markers, sight):
    series = page.looks("abcdefghijkl", markers=markers).values()
    same = [(one, other) for one, other in combinations(series, 2) if one["marker"] == other["marker"]]
    assert len(same) == 4
    assert min(apart(one["color"], other["color"], sight) for one, other in same) > APART


@pytest.mark.parametrize("sight", SIGHTS)
def test_more_and_less_than_zero_stay_apart_on_a_signed_map(sight):
    assert all(apart(page.SIGNED(0.5 + d), page.SIGNED(0.5 - d), sight) > APART for d in (0.2, 0.3, 0.5))
