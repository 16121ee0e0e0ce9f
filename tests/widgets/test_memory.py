"""Pairs written against recall: curves, letters and words are those of what the page's function writes and reads."""

import math
import re

import pytest
import torch

from helpers import widgets
from helpers.support import CourseError
from helpers.widgets import live
from helpers.widgets.memory import DRAWS, PAIRS, Curves, Sliders


def remember(count, width, seed=0):
    """As notebook 01 has it: random letters under random keys, what is read under each key."""
    rng = torch.Generator().manual_seed(seed)
    keys = torch.nn.functional.normalize(torch.randn(count, width, generator=rng), dim=1)
    letters = torch.randint(26, (count,), generator=rng)
    state = torch.eye(26)[letters].T @ keys
    return letters, keys @ state.T


def by_hand(count, width, seed):
    """The same memory pair by pair: how many letters come back, and the mean error."""
    rng = torch.Generator().manual_seed(seed)
    keys = torch.randn(count, width, generator=rng).double()
    keys = keys / keys.square().sum(1, keepdim=True).sqrt()
    letters = torch.randint(26, (count,), generator=rng).tolist()
    right, error = 0, 0.0
    for key, letter in zip(keys, letters, strict=True):
        read = [0.0] * 26
        for other, written in zip(keys, letters, strict=True):
            read[written] += (other @ key).item()
        right += max(range(26), key=read.__getitem__) == letter
        error += math.dist(read, [float(i == letter) for i in range(26)])
    return right, error / count


@pytest.mark.parametrize(("width", "pairs", "draw"), [(64, 96, 1), (16, 32, 3), (8, 48, 10)])
def test_sliders_say_what_the_sum_over_pairs_gives(width, pairs, draw):
    sliders = Sliders(Curves(remember), 64, 8)
    for control, value in ((sliders.width, width), (sliders.pairs, pairs), (sliders.seed, draw)):
        assert control.description
        assert control.continuous_update
        control.value = value
    right, error = by_hand(pairs, width, draw - 1)
    said = f"{pairs} pairs in a state of width {width}: {right} of {pairs} letters come back. "
    assert f"In words: {said}A reading is off by {error:.2f} lengths of a value." in sliders.words.value
    assert f'alt="{said}' in sliders.image.value
    assert sliders.letters.value.count("<b ") == sliders.letters.value.count("^") == pairs - right


def test_the_curve_is_the_mean_over_the_draws_and_the_point_one_of_them():
    curves = Sliders(Curves(remember), 16, 32).curves
    means = torch.tensor([by_hand(32, 16, seed) for seed in range(DRAWS)]).mean(0)
    (error, _, point), (share, _, _) = curves.lines
    here = PAIRS.index(32)
    assert error.get_ydata()[here] == pytest.approx(means[1].item(), rel=1e-4)
    assert share.get_ydata()[here] == pytest.approx(means[0].item() / 32)
    assert point.get_ydata()[0] == pytest.approx(by_hand(32, 16, 0)[1], rel=1e-4)


def test_what_the_page_writes_is_what_is_seen():
    """Keys at right angles do not overlap: all comes back."""

    def at_right_angles(count, width, seed):
        letters = torch.randint(26, (count,), generator=torch.Generator().manual_seed(seed))
        return letters, torch.eye(26)[letters]

    sliders = Sliders(Curves(at_right_angles), 64, 96)
    assert "96 of 96 letters come back. A reading is off by 0.00" in sliders.words.value


def test_without_a_kernel_there_are_picture_and_letters_and_in_a_terminal_the_words(monkeypatch, capsys):
    widgets.memory(remember, width=8, pairs=16)
    text = capsys.readouterr().out
    written, read, marks = re.search("wrote (.*)\nread  (.*)\n      (.*)\n", text).groups()
    assert written == "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i] for i in remember(16, 8)[0])
    assert [mark == "^" for mark in marks.ljust(16)] == [a != b for a, b in zip(written, read, strict=True)]
    assert "Without sliders: memory(remember, width=16, pairs=8)" in text
    shown = []
    monkeypatch.setattr(live, "in_jupyter", lambda: True)
    monkeypatch.setattr(live, "display", lambda bundle, **_: shown.append(bundle))
    widgets.memory(remember)
    assert shown[0]["text/html"].count("<img") == 2
    assert "<pre" in shown[0]["text/html"]


def test_what_is_no_memory_or_no_place_is_refused():
    for wrong in (lambda *_: (1.0, 0.5), lambda *_: None, lambda count, *_: remember(count + 1, 8)):
        with pytest.raises(CourseError, match=r"did not return 96 letters(.|\n)*return letters, keys @ state.T"):
            widgets.memory(wrong)
    for choice in ({"width": 65}, {"pairs": 0}):
        with pytest.raises(ValueError, match=r"no place of this slider.\nIt has"):
            widgets.memory(remember, **choice)
