"""Training digits taken away: shares sum to the prediction, losses are torch's, trained without them."""

import re

import pytest
import torch
from sklearn.datasets import load_digits

from helpers import widgets
from helpers.support import CourseError
from helpers.widgets import live
from helpers.widgets.digits import Case, Picture, Ticks

N, LR, WRONG, RIGHT = 200, 0.02, 1, 8


@pytest.fixture(scope="module")
def arrays():
    """Some digits, as notebook 02 prepares them; an 8 that is asked about."""
    digits = load_digits()
    labels, images = torch.tensor(digits.target), torch.tensor(digits.images)
    pixels = torch.tensor(digits.data)
    pixels = pixels - pixels[:N].mean(0)
    pixels = pixels / pixels[:N].norm(dim=1).mean()
    start = 0.02 * torch.randn(10, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    asked = pixels[N:][labels[N:] == RIGHT][0]
    return images[:N], pixels[:N], labels[:N], start, asked, WRONG, RIGHT, LR


@pytest.fixture
def ticks(arrays):
    return Ticks(Picture(Case(*arrays)), [], 50)


def torchs_lead(arrays, without, steps):
    """The lead of the wrong answer over the right one in a layer that torch trains without these."""
    _, inputs, labels, start, x, wrong, right, lr = arrays
    kept = [place for place in range(N) if place not in without]
    layer = torch.nn.Linear(64, 10, bias=False, dtype=torch.float64)
    layer.weight.data.copy_(start)
    sgd = torch.optim.SGD(layer.parameters(), lr=lr)
    for _ in range(steps):
        sgd.zero_grad()
        targets = torch.nn.functional.one_hot(labels[kept], 10).double()
        (0.5 * (layer(inputs[kept]) - targets).square().sum()).backward()
        sgd.step()
    scores = layer(x).detach()
    return (scores[wrong] - scores[right]).item()


def signed(number):
    return f"{number:+.3f}".replace("-", "−")


@pytest.mark.parametrize("steps", [1, 10, 50])
def test_what_is_lost_is_what_torch_loses_without_them(ticks, arrays, steps):
    ticks.steps.value = steps
    gone = [*ticks.case.sides[WRONG][:3], ticks.case.sides[RIGHT][0]]
    for place in gone:
        ticks.ticks[place].value = False
    before, after = (torchs_lead(arrays, without, steps) for without in ([], gone))
    assert f"4 training digits taken away: shares {signed(ticks.case.shares(steps)[gone].sum())}" in ticks.words.value
    assert f"really lost {signed(before - after)}" in ticks.words.value
    assert f"goes from {signed(before)} to {signed(after)}" in ticks.words.value
    assert f"really lost {signed(before - after)}" in ticks.image.value


def test_shares_sum_to_the_lead_and_are_the_losses_after_one_step_only(arrays):
    case = Case(*arrays)
    w0 = case.lead(case.start @ case.x)
    for steps in (1, 50):
        assert case.shares(steps).sum().item() + w0 == pytest.approx(torchs_lead(arrays, [], steps))
    torch.testing.assert_close(case.lost_alone(1), case.shares(1)[case.shown])
    assert (case.lost_alone(50).abs() < 0.5 * case.shares(50)[case.shown].abs()).all()


def test_every_tick_has_a_name_and_moves_picture_words_and_still(ticks):
    place = ticks.case.sides[RIGHT][2]
    label = int(ticks.case.labels[place])
    name = f"training digit {place}, a{'n' * (label == 8)} {label}, share {signed(ticks.case.shares(50)[place])}"
    assert re.sub("<[^>]*>", "", ticks.ticks[place].description) == name
    assert ticks.ticks[place].value
    before = ticks.image.value
    ticks.ticks[place].value = False
    assert "1 training digit taken away" in ticks.words.value
    assert ticks.image.value != before
    still = live.snapshot(ticks.box)
    assert still.count("☐") == 1
    assert still.count("☑") == 15
    ticks.back.click()
    assert ticks.image.value == before
    assert all(tick.value for tick in ticks.ticks.values())


def test_without_a_kernel_there_are_digits_and_picture_and_in_a_terminal_their_names(arrays, monkeypatch, capsys):
    widgets.leave_out(*arrays, without=[], steps=3)
    text = capsys.readouterr().out
    assert text.count("training digit ") == 16
    assert "3 steps, 0 training digits taken away: shares +0.000, really lost +0.000. Retrained" in text
    shown = []
    monkeypatch.setattr(live, "in_jupyter", lambda: True)
    monkeypatch.setattr(live, "display", lambda bundle, **_: shown.append(bundle))
    widgets.leave_out(*arrays)
    assert shown[0]["text/html"].count("<img") == 16 + 3
    assert shown[0]["text/html"].count("☐") == 8


def test_what_cannot_be_shown_is_refused(arrays):
    with pytest.raises(ValueError, match=r"no choice here.\nIt is one of 1, 3, 10, 50"):
        widgets.leave_out(*arrays, steps=2)
    with pytest.raises(ValueError, match="not all of them are shown"):
        widgets.leave_out(*arrays, without=[N])
    with pytest.raises(CourseError, match="Both answers are 1"):
        widgets.leave_out(*arrays[:6], WRONG, LR)
