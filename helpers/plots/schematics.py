"""Schematics of the algebra, from a notebook's own arrays: attention, the state, a step, in-context learning in two."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.plots.drawing import (
    CHIP,
    MUTED,
    ROLES,
    SMALL,
    Area,
    arrow,
    cells,
    chip_width,
    chips,
    frame,
    heading,
    lines_of,
    reach,
    sheet,
    text,
)
from helpers.plots.page import INK, WIDTH, Title, in_style, show

SEEN = 0.9  # of a sum's numbers, the share that the scale of colours tells apart: single terms are small
THIRD = WIDTH / 3
TOP, ROW = 0.72, 0.25  # inches: where the tables of attention begin, and the height of a token's row
DOWN = 0.2  # from a table to the line on which its name stands


@in_style
def attention_flow(
    tokens: Sequence[str],
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    title: Title,
    reading: Literal["softmax", "linear"] = "softmax",
) -> None:
    """Causal attention from left to right: q, k [n d] and v [n m] of the tokens, their table, the last one's output."""
    soft = reading == "softmax"
    scores = q @ k.T / (q.shape[1] ** 0.5 if soft else 1)
    raised = np.exp(scores[-1] - scores[-1].max())
    weights = raised / raised.sum() if soft else scores[-1].copy()
    scores[np.triu_indices(len(q), 1)] = np.nan
    figures = [_vectors(tokens, q, k, v), _scores(scores, soft), _output(weights, v, soft)]
    alt = (
        f"{len(q)} tokens, a row each, with query, key and value; a table of their scores, the future left blank; "
        f"its last row, as weights {_listed(weights)}, beside the values; below, the output {_listed(weights @ v)}."
    )
    show(figures, title, alt)


def _vectors(tokens: Sequence[str], q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Figure:
    """Every token with its query, key and value."""
    figure, axes = _panel("1 · Each token gives a query, a key, a value", len(q), 0.2)
    for place, token in enumerate(tokens):
        chips(axes, [token], Area(0.06, TOP + ROW * place + 0.03, 1, ROW), MUTED)
    left = 0.2 + max(map(chip_width, tokens))
    cell = (THIRD - left - 0.3) / (2 * q.shape[1] + v.shape[1])
    for name, table in (("q", q), ("k", k), ("v", v)):
        area = Area(left, TOP, cell * table.shape[1], ROW * len(q))
        cells(axes, table, area, reach(q, k, v), ROLES[name])
        text(axes, area.x, TOP - 0.12, f"${name}$", ROLES[name], 11)
        left = area.right + 0.1
    return figure


def _scores(scores: np.ndarray, soft: bool) -> Figure:
    """The table: a row for every query, a column for every key up to it."""
    n = len(scores)
    figure, axes = _panel("2 · Each query meets the keys up to its own", n, 0.36)
    area = Area(0.14, TOP, THIRD - 0.28, ROW * n)
    cells(axes, scores, area, reach(scores), MUTED, numbers=".1f" if n < 8 else "")
    text(axes, area.x, TOP - 0.12, r"$k_i \cdot q_t\,/\sqrt{d}$" if soft else r"$k_i \cdot q_t$", size=10)
    frame(axes, Area(area.left, area.bottom - ROW, area.width, ROW), ROLES["q"], 2.4)
    text(axes, area.left, area.bottom + DOWN, "the last token’s row", ROLES["q"], SMALL, ha="left")
    return figure


def _output(weights: np.ndarray, v: np.ndarray, soft: bool) -> Figure:
    """The last row, turned upright beside the values, and what the two make."""
    n, kind = len(v), "mean" if soft else "sum"
    figure, axes = _panel(f"3 · That row, turned, weighs the values: a {kind}", n, 0.6)
    column = Area(0.24, TOP, 0.5, ROW * n)
    cells(axes, weights[:, None], column, 1.0 if soft else reach(weights), ROLES["q"], numbers=".2f" if soft else ".1f")
    text(axes, column.x, TOP - 0.12, "softmax" if soft else "row", ROLES["q"], SMALL)
    text(axes, column.right + 0.15, column.y, "×", size=13)
    values = Area(column.right + 0.3, TOP, 0.9, ROW * n)
    cells(axes, v, values, reach(v), ROLES["v"])
    text(axes, values.x, TOP - 0.12, "$v$", ROLES["v"], 11)
    output = Area(values.left, values.bottom + 0.26, values.width, ROW)
    arrow(axes, (values.x, values.bottom + 0.03), (values.x, output.top - 0.03))
    cells(axes, (weights @ v)[None], output, reach(v))
    text(axes, output.left - 0.08, output.y, f"output $o_{{{n}}}$", ha="right")
    return figure


def _panel(words: str, rows: int, below: float) -> tuple[Figure, Axes]:
    """One of three panels of a row, with room for a token a line and, in inches, for what is below."""
    figure, axes = sheet(THIRD, TOP + ROW * rows + below)
    heading(axes, words, 25)
    return figure, axes


@in_style
def state_written(k: np.ndarray, v: np.ndarray, title: Title, query: np.ndarray | None = None) -> None:
    """The state S [m d] while tokens write it, keys k [n d] and values v [n m]; with a query [d], read at the end."""
    outer = np.einsum("tm,td->tmd", v, k)
    states = np.concatenate([np.zeros_like(outer[:1]), outer.cumsum(0)])
    most = reach(outer, states, share=SEEN)
    figures = [_writing(k, v, outer, states, most)]
    alt = (
        f"In each line the state, a matrix of {v.shape[1]} by {k.shape[1]}, plus the outer product of one token's "
        f"value and key is the next state, up to token {len(k)}."
    )
    if query is not None:
        figures.append(_reading(states, query, most))
        alt += f" Beside it the last state times the query is {_listed(states[-1] @ query)}."
    show(figures, title, alt)


def _writing(k: np.ndarray, v: np.ndarray, outer: np.ndarray, states: np.ndarray, most: float) -> Figure:
    """A line for the first tokens and the last: state before, plus what the token writes, is the state after."""
    lines = sorted({1, min(2, len(k)), len(k)})
    wide, tall = _size(outer[0])
    figure, axes = sheet(3.7, 0.36 + (tall + 0.68) * len(lines))
    heading(axes, "Write: each token adds an outer product", 60)
    apart = 1.16 + wide / 4
    for place, t in enumerate(lines):
        area = Area((3.7 - wide) / 2, 0.66 + (tall + 0.68) * place, wide, tall)
        _outer_product(axes, v[t - 1], k[t - 1], area, most, (ROLES["v"], ROLES["k"]))
        _named(axes, area, rf"$v_{{{t}}} \otimes k_{{{t}}}$")
        for number, side in ((t - 1, -1), (t, 1)):
            beside = Area(area.left + side * apart, area.top, wide, tall)
            cells(axes, states[number], beside, most, ROLES["state"])
            _named(axes, beside, f"$S_{{{number}}}$")
        text(axes, area.x - apart / 2 - 0.08, area.y, "+", size=13)
        text(axes, area.x + apart / 2, area.y, "=", size=13)
    return figure


def _reading(states: np.ndarray, query: np.ndarray, most: float) -> Figure:
    """The state times a query, upright, is the output."""
    state, n = states[-1], len(states) - 1
    (wide, tall), beside = _size(state), _height(state, query)
    figure, axes = sheet(WIDTH - 3.7, beside + 1.3)
    heading(axes, "Read: one product", 60)
    area = Area(0.24, 0.5 + (beside - tall) / 2, wide, tall)
    cells(axes, state, area, most, ROLES["state"])
    asked, answer = _times(axes, area, state, query, reach(state @ query))
    for place, name in ((area, f"$S_{{{n}}}$"), (asked, "$q$"), (answer, "$o$")):
        _named(axes, place, name)
    text(axes, 0.24, beside + 1, "No token is looked at again.", MUTED, SMALL, ha="left")
    return figure


@in_style
def step_as_outer_products(errors: np.ndarray, inputs: np.ndarray, title: Title) -> None:
    """A gradient step ΔW [m d]: outer products of errors [n m] and inputs [n d], one an example, adding up."""
    outer = np.einsum("nm,nd->nmd", errors, inputs)
    most = reach(outer, outer.sum(0), share=SEEN)
    wide, tall = _size(outer[0], min(0.75, max(0.5, WIDTH / (len(outer) + 1) - 0.46)))
    figures = []
    for place, (error, example) in enumerate(zip(errors, inputs, strict=True), 1):
        figure, axes = sheet(wide + 0.47, tall + 0.62)
        area = Area(0.44, 0.28, wide, tall)
        _outer_product(axes, error, example, area, most, (ROLES["error"], ROLES["k"]))
        _named(axes, area, rf"$e_{{{place}}} \otimes x_{{{place}}}$")
        text(axes, 0.09, area.y, "+" if place > 1 else "", size=13)
        figures.append(figure)
    figure, axes = sheet(wide + 0.4, tall + 0.62)
    area = cells(axes, outer.sum(0), Area(0.26, 0.28, wide, tall), most, ROLES["state"])
    _named(axes, area, r"$\Delta W$")
    text(axes, 0.1, area.y, "=", size=13)
    alt = (
        f"{len(outer)} matrices of {errors.shape[1]} by {inputs.shape[1]}, each the outer product of an example's "
        "error, at its left, and its input, above it. Added up they are the update ΔW."
    )
    show([*figures, figure], title, alt)


@in_style
def icl_split(
    update: np.ndarray,
    zero_shot: np.ndarray,
    query: np.ndarray,
    demos: Sequence[str],
    context: Sequence[str],
    title: Title,
) -> None:
    """(eq. 3.3) in two: ΔW_ICL [m d], from the demonstrations' tokens, and W_ZSL [m d], from the query's own."""
    brought, own = update @ query, zero_shot @ query
    scales = reach(update, zero_shot), reach(brought, own, brought + own)
    lines = max(len(lines_of(words, THIRD - 0.24)) for words in (demos, context))
    height = 0.46 + CHIP * lines + 0.4 + _height(update, query) + 0.4
    figures = [
        _part("Demonstrations write ΔW", demos, update, query, height, scales, "demonstrations"),
        _part("The query’s text writes W", context, zero_shot, query, height, scales, "query"),
        _sum(brought, own, height, scales[1]),
    ]
    alt = (
        f"{len(demos)} tokens of the demonstrations write ΔW_ICL; times q it is {_listed(brought)}. {len(context)} "
        f"of the query's own text write W_ZSL; times q it is {_listed(own)}. Their sum is {_listed(brought + own)}."
    )
    show(figures, title, alt)


def _part(
    words: str,
    tokens: Sequence[str],
    table: np.ndarray,
    query: np.ndarray,
    height: float,
    scales: tuple[float, float],
    role: str,
) -> Figure:
    """Which tokens write a matrix, the matrix, and what it makes of the query; scales: of matrices and of products."""
    figure, axes = sheet(THIRD, height)
    heading(axes, words, 60)
    wide, tall = _size(table)
    area = Area(0.16, height - 0.34 - (_height(table, query) + tall) / 2, wide, tall)
    chips(axes, tokens, Area(0.1, 0.4, THIRD - 0.24, 1), ROLES[role])
    below = 0.4 + CHIP * len(lines_of(tokens, THIRD - 0.24))
    arrow(axes, (area.x, below), (area.x, area.top - 0.05), ROLES[role])
    cells(axes, table, area, scales[0], ROLES[role])
    asked, _ = _times(axes, area, table, query, scales[1], ROLES[role])
    _named(axes, area, r"$\Delta W_\mathrm{ICL}$" if role == "demonstrations" else r"$W_\mathrm{ZSL}$")
    _named(axes, asked, "$q$")
    return figure


def _sum(brought: np.ndarray, own: np.ndarray, height: float, most: float) -> Figure:
    """The two products, added up."""
    figure, axes = sheet(THIRD, height)
    heading(axes, "Attention over all: the sum", 60)
    wide, tall = _size(np.zeros((len(own), 1)))
    middle = height - 0.34 - 0.375
    names = (r"$\Delta W_\mathrm{ICL}\,q$", r"$W_\mathrm{ZSL}\,q$", "$F(q)$")
    shown = zip((brought, own, brought + own), names, ("demonstrations", "query", "state"), strict=True)
    for place, (vector, name, role) in enumerate(shown):
        area = Area(0.3 + 0.66 * place, middle - tall / 2, wide, tall)
        cells(axes, vector[:, None], area, most, ROLES[role])
        _named(axes, area, name)
        text(axes, area.right + 0.24, area.y, "+= "[place], size=13)
    return figure


def _size(table: np.ndarray, most: float = 0.75) -> tuple[float, float]:
    """Width and height of a matrix on the sheet: square cells, the longer side `most` inches, or less if small."""
    cell = min(0.2, most / max(table.shape))
    return max(cell, 0.1) * table.shape[1] if table.shape[1] == 1 else cell * table.shape[1], cell * table.shape[0]


def _outer_product(
    axes: Axes, column: np.ndarray, row: np.ndarray, area: Area, most: float, colours: tuple[str, str]
) -> None:
    """A matrix of rank one, with the column and the row that make it at its left and above it."""
    thick = max(area.width / len(row), 0.1)
    cells(axes, np.outer(column, row), area, most, MUTED)
    left = Area(area.left - thick - 0.06, area.top, thick, area.height)
    cells(axes, column[:, None], left, reach(column), colours[0])
    cells(axes, row[None], Area(area.left, area.top - thick - 0.06, area.width, thick), reach(row), colours[1])


def _times(
    axes: Axes, area: Area, table: np.ndarray, query: np.ndarray, most: float, colour: str = INK
) -> tuple[Area, Area]:
    """To the right of a matrix the query as a column, and their product: the areas of both."""
    cell = area.height / len(table)
    asked = Area(area.right + 0.26, area.y - cell * len(query) / 2, max(cell, 0.1), cell * len(query))
    product = Area(asked.right + 0.34, area.top, max(cell, 0.1), area.height)
    cells(axes, query[:, None], asked, reach(query), ROLES["q"])
    cells(axes, (table @ query)[:, None], product, most, colour)
    text(axes, area.right + 0.13, area.y, "·", size=15)
    text(axes, asked.right + 0.17, area.y, "=", size=13)
    return asked, product


def _height(table: np.ndarray, query: np.ndarray) -> float:
    """The height of a matrix and the query beside it."""
    tall = _size(table)[1]
    return max(tall, tall * len(query) / len(table))


def _named(axes: Axes, area: Area, name: str) -> None:
    """A name below a table."""
    text(axes, area.x, area.bottom + DOWN, name, va="baseline")


def _listed(vector: np.ndarray) -> str:
    """A short vector's numbers; of a long one its length."""
    if len(vector) > 12:
        return f"a vector of length {np.linalg.norm(vector):.2f}"
    return f"({', '.join(f'{number:.2f}' for number in vector)})".replace("-", "−")
