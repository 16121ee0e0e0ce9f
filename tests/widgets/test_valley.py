"""The valley: its descents are torch's, its words what torch's descents do, its map what theory says."""

import re

import pytest
import torch

from helpers import widgets
from helpers.widgets import live
from helpers.widgets.valley import CURVATURES, ETAS, LONG, RATES, START, Picture, Sliders, descent, losses


def torchs(rate, eta, steps):
    """Places [steps+1 2] of torch's own descent, and its losses, over the first."""
    w = START.clone().requires_grad_()
    sgd, places, loss = torch.optim.SGD([w], lr=rate, momentum=eta), [], []
    for _ in range(steps + 1):
        places.append(w.detach().clone())
        sgd.zero_grad()
        now = 0.5 * (w[0] ** 2 + 20 * w[1] ** 2)
        now.backward()
        loss.append(now.item())
        sgd.step()
    return torch.stack(places), torch.tensor(loss).double() / loss[0]


@pytest.mark.parametrize(("rate", "eta"), [(0.045, 0.0), (0.045, 0.8), (0.13, 0.4), (0.15, 0.2)])
def test_a_descent_is_torchs(rate, eta):
    """(eq. 6.1)."""
    places, loss = torchs(rate, eta, 30)
    ours = descent(*torch.tensor([rate, eta], dtype=torch.float64), 30)
    torch.testing.assert_close(ours, places)
    torch.testing.assert_close(losses(ours) / losses(START), loss)


def test_the_map_converges_where_theory_says():
    """Heavy ball converges where the roots of r² − (1 + η − rate λ) r + η lie within the unit circle, for every λ."""
    middle = 1 + ETAS - RATES[:, None, None] * CURVATURES[:, None]  # [rates λ etas]
    step = torch.stack(
        [torch.stack([middle, -ETAS.expand_as(middle)], -1), torch.tensor([1.0, 0]).expand(*middle.shape, 2)], -2
    )
    slowest = torch.linalg.eigvals(step).abs().amax((1, -1))
    converges = Picture().needed.isfinite()
    assert not (converges & (slowest > 1 + 1e-9)).any()
    assert converges[slowest < 0.98].all()
    assert converges.double().mean() < 0.8  # both kinds are on the map


def place(sliders, rate, eta, step):
    for control, value in ((sliders.rate, rate), (sliders.eta, eta), (sliders.step, step)):
        control.value = value
    return sliders.words.value, sliders.image.value


def test_the_words_are_what_torchs_descent_does():
    sliders = Sliders(Picture(), 0.045, 0.8, 12)
    words, picture = place(sliders, 0.13, 0.4, 5)
    places, loss = torchs(0.13, 0.4, LONG)
    last_above = (loss > 0.01).nonzero().max().item()
    assert f"swings, and converges: loss below 1 % from step {last_above + 1} on" in words
    assert "Plain descent (η = 0) diverges" in words
    assert f"After 5 steps the distance from the lowest place is {places[5].norm():.1f} with η = 0.4 and" in words
    assert re.search(f'alt="Rate 0.13, η = 0.4: .*step {last_above + 1} on', picture)
    needed = {eta: (torchs(0.13, eta, 100)[1] > 0.01).nonzero().max().item() + 1 for eta in ETAS.tolist() if eta > 0.3}
    best = min(needed, key=needed.get)
    assert f"The best η at this rate is {best:g}: below 1 % from step {needed[best]} on" in words


@pytest.mark.parametrize(
    ("rate", "eta", "verdict"),
    [
        (0.005, 0.0, "Rate 0.005, η = 0: converges"),
        (0.15, 0.2, "Rate 0.15, η = 0.2: diverges"),
        (0.1, 0.0, "Rate 0.1, η = 0: comes to no rest: its loss is 54 %"),  # exactly at the limit
    ],
)
def test_every_kind_of_descent_has_its_word(rate, eta, verdict):
    assert verdict in place(Sliders(Picture(), 0.045, 0.8, 12), rate, eta, 20)[0]


def test_each_slider_moves_the_picture_and_play_moves_the_step():
    sliders = Sliders(Picture(), 0.045, 0.8, 12)
    seen = {sliders.image.value}
    for control, value in ((sliders.rate, 0.09), (sliders.eta, 0.5), (sliders.step, 3)):
        assert control.description
        assert control.continuous_update
        control.value = value
        seen.add(sliders.image.value)
    assert len(seen) == 4


def test_without_a_kernel_there_is_its_picture_and_in_a_terminal_its_words(monkeypatch, capsys):
    widgets.valley(rate=0.1, eta=0.5)
    assert "Rate 0.1, η = 0.5: swings, and converges" in capsys.readouterr().out
    shown = []
    monkeypatch.setattr(live, "in_jupyter", lambda: True)
    monkeypatch.setattr(live, "display", lambda bundle, **_: shown.append(bundle))
    widgets.valley()
    assert 'alt="Rate 0.045, η = 0.8' in shown[0]["text/html"]
    assert shown[0]["text/html"].count("<img") == 3


@pytest.mark.parametrize("wrong", [{"rate": 0.3}, {"rate": 0.0}, {"eta": 1.0}, {"step": 61}, {"eta": float("nan")}])
def test_a_place_that_no_slider_has_is_refused(wrong):
    with pytest.raises(ValueError, match=r"no place of this slider.\nIt goes from"):
        widgets.valley(**wrong)
