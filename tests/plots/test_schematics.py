"""Schematics: the notebook's own numbers are drawn, on scales that can be compared, with words that can be read."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh

from helpers import attention, dual
from helpers.plots import page, processes, schematics

RNG = np.random.default_rng(0)
Q, K, V = RNG.normal(size=(6, 4)), RNG.normal(size=(6, 4)), RNG.normal(size=(6, 3))
ERRORS, INPUTS = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 4))
UPDATE, ZERO_SHOT, QUERY = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4)), RNG.normal(size=4)
DEMOS = [("a long film that never ends, and then does", "negative"), ("good", "positive")] * 16
PLAIN, MOMENTUM = np.array([0, -1.6, -0.3, -0.7]), np.array([0, -2.1, 0.2, -0.1])
DRAW = {
    "softmax": lambda: schematics.attention_flow([f"token {i}" for i in range(6)], Q, K, V, "title"),
    "linear": lambda: schematics.attention_flow(list("abcdef"), Q, K, V, "title", reading="linear"),
    "state": lambda: schematics.state_written(K, V, "title", QUERY),
    "state of one token": lambda: schematics.state_written(K[:1], V[:1], "title"),
    "step": lambda: schematics.step_as_outer_products(ERRORS, INPUTS, "title"),
    "split": lambda: schematics.icl_split(UPDATE, ZERO_SHOT, QUERY, ["hope", "->"] * 8, ["go", "->"], "title"),
    "a head's split": lambda: schematics.icl_split(
        *RNG.normal(size=(2, 64, 64)), RNG.normal(size=64), ["hope"] * 30, ["go"], "title"
    ),
    "ways": lambda: processes.prompt_against_finetuning("SmolLM2-135M-Instruct", DEMOS, "so tired " * 9, "title"),
    "momentum": lambda: processes.momentum_across_layers(PLAIN, MOMENTUM, 0.3, -0.1, "title"),
}


@pytest.fixture
def drawn(monkeypatch):
    """Draws a schematic and gives its figures, and the words for those who can't see it."""
    shown = []
    for module in (schematics, processes):
        monkeypatch.setattr(module, "show", lambda figures, title, alt: shown.extend((figures, alt)))

    def draw(name):
        DRAW[name]()
        return shown

    yield draw
    plt.close("all")


def meshes(figure):
    return [mesh for axes in figure.axes for mesh in axes.collections if isinstance(mesh, QuadMesh)]


def numbers(mesh):
    return np.ma.filled(mesh.get_array(), np.nan)


@pytest.mark.parametrize("name", DRAW)
def test_all_words_are_on_the_sheet_and_large_enough_and_the_panels_fit_a_row(drawn, name):
    figures, alt = drawn(name)
    assert sum(figure.get_figwidth() for figure in figures) <= page.WIDTH + 1e-6
    assert 60 < len(alt) < 420
    for figure in figures:
        FigureCanvasAgg(figure).draw()
        for words in (text for axes in figure.axes for text in axes.texts if text.get_text()):
            ends = words.get_window_extent().get_points()
            assert words.get_fontsize() >= 8
            assert ((figure.bbox.get_points()[0] <= ends) & (ends <= figure.bbox.get_points()[1])).all(), (
                words.get_text()
            )


@pytest.mark.parametrize("reading", ["softmax", "linear"])
def test_attention_ends_in_the_last_token_s_output(drawn, reading):
    figures, _ = drawn(reading)
    true = getattr(attention, f"{reading}_attention")(*map(torch.tensor, (Q, K, V)))
    np.testing.assert_allclose(numbers(meshes(figures[2])[-1])[0], true[-1])
    table = numbers(meshes(figures[1])[0])
    assert np.array_equal(np.isnan(table), np.triu(np.ones((6, 6)), 1) == 1)


def test_the_state_is_written_and_read(drawn):
    figures, _ = drawn("state")
    outputs, state = attention.recurrent_linear_attention(
        torch.tensor(np.tile(QUERY, (6, 1))), *map(torch.tensor, (K, V))
    )
    np.testing.assert_allclose(numbers(meshes(figures[0])[-1]), state)
    np.testing.assert_allclose(numbers(meshes(figures[1])[-1])[:, 0], outputs[-1])


def test_a_step_s_matrices_share_a_scale_and_add_up(drawn):
    figures, _ = drawn("step")
    *terms, total = (next(mesh for mesh in meshes(figure) if numbers(mesh).shape == (3, 4)) for figure in figures)
    np.testing.assert_allclose(numbers(total), dual.weight_update(torch.tensor(ERRORS), torch.tensor(INPUTS)))
    np.testing.assert_allclose(sum(map(numbers, terms)), numbers(total))
    assert {mesh.get_clim() for mesh in terms} == {total.get_clim()}
    assert total.get_clim()[0] == -total.get_clim()[1]


def test_the_split_s_two_parts_share_a_scale_and_make_the_sum(drawn):
    (brought, own, together), _ = drawn("split")
    assert meshes(brought)[0].get_clim() == meshes(own)[0].get_clim()
    products = [numbers(meshes(figure)[-1])[:, 0] for figure in (brought, own, together)]
    np.testing.assert_allclose(products[0] + products[1], products[2])
    np.testing.assert_allclose(products[0], UPDATE @ QUERY)


def test_the_zero_shot_panel_has_no_demonstrations_and_only_finetuning_moves_weights(drawn):
    figures, _ = drawn("ways")
    words = [" ".join(text.get_text() for axes in figure.axes for text in axes.texts) for figure in figures]
    assert ["32 demonstrations" in said for said in words] == [False, True, True]
    assert ["unchanged" in said for said in words] == [True, True, False]
    assert ["32 steps" in said for said in words] == [False, False, True]


def test_momentum_is_drawn_as_it_was_measured(drawn):
    (_, chart), _ = drawn("momentum")
    _, plain, momentum = chart.axes[1].lines
    assert plain.get_xdata().tolist() == PLAIN.tolist()
    assert momentum.get_xdata().tolist() == MOMENTUM.tolist()
    added = [end[0] - start[0] for start, end in chart.axes[1].collections[0].get_segments()]
    np.testing.assert_allclose(added, [0, *0.3 * np.diff(MOMENTUM)])
