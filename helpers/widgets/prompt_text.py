"""A prompt as text, its tokens tinted by a query's attention: strength by strength, sign by colour."""

import html

import matplotlib as mpl

from helpers.plots.page import SIGNED
from helpers.support.boxes import SMALL
from helpers.widgets.head import View, look, short

DEEPEST = 0.26  # of the map, from white: dark ink is read on it
ABSENT = "color: #6b6b6b; text-decoration: line-through"
LATER = "color: #6b6b6b"
FRAMED = "border: 2px solid #1c1c1c; border-radius: 4px; padding: 0 2px; font-weight: bold"
PROMPT = "font-family: monospace; font-size: 14px; line-height: 1.75; white-space: pre-wrap; margin: 0"


def tint(share: float | int) -> str:
    """The colour of a share from −1 to 1 of the strongest attention; beyond, the strongest colour."""
    return mpl.colors.to_hex(SIGNED(0.5 + DEEPEST * max(-1.0, min(1.0, share))))


def strongest(view: View) -> float:
    """The most attention that a demonstration's token gets with all demonstrations in context: the scale of tints."""
    weights = look(view.head, len(view.head.demos), view.query, view.reading).weights
    return max(weights[i].abs().item() for demo in view.head.demos for i in demo) or 1.0


def prompt_text(view: View) -> str:
    """The prompt as html: tinted, demonstrations not in context struck, the query token framed, its lines kept."""
    most, head = strongest(view), view.head
    demo_of = {i: number for number, demo in enumerate(head.demos) for i in demo}
    text = ""
    for i, token in enumerate(head.tokens):
        style = _style(view, i, demo_of.get(i, -1) >= view.count, most)
        shown = html.escape(token).replace("↵", '<span style="opacity: 0.6">↵</span>')
        weight, end = short(view.weights[i].item()), "\n" * token.endswith("↵")
        text += f'<span style="{style}" title="{weight}">{shown}</span>{end}'
    return f'<div style="{PROMPT}">{text}</div>{_key(view, most)}'


def _style(view: View, place: int, absent: bool, most: float) -> str:
    if absent:
        return ABSENT
    last = view.head.queries[view.query]
    if place > last:
        return LATER
    frame = f"; {FRAMED}" if place == last else ""
    return f"background-color: {tint(view.weights[place].item() / most)}; border-radius: 3px{frame}"


def _key(view: View, most: float) -> str:
    """What the colours mean, and on which scale."""
    unit = "softmax weight" if view.reading == "softmax" else "k·q"
    ends = (0.0, most) if view.reading == "softmax" else (-most, 0.0, most)
    steps = "".join(
        f'<span style="background-color: {tint(end / most)}; padding: 1px 8px">{short(end)}</span>' for end in ends
    )
    more = " or more" if view.reading == "softmax" else " and beyond"
    marks = "Framed: the query token."
    if view.count < len(view.head.demos):
        marks += "<br>Struck through: not in context."
    return f'<div style="{SMALL}; padding-top: 6px">{unit} {steps}{more}<br>{marks}</div>'
