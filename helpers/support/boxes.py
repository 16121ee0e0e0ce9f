"""The boxes of the page: one look for exercises, predictions, verdicts, conclusions and recorded rows.

Only inline styles that JupyterLab keeps in notebooks it does not trust, and colours that are seen on light and dark.
"""

from typing import Literal

Kind = Literal["exercise", "predict", "passed", "failed", "crashed", "not yet", "may", "may not", "recorded"]

COLOURS: dict[Kind, tuple[int, int, int]] = {
    "exercise": (21, 101, 192),  # blue
    "predict": (123, 63, 160),  # violet
    "passed": (46, 125, 50),  # green
    "failed": (198, 40, 40),  # red
    "crashed": (230, 81, 0),  # orange
    "not yet": (117, 117, 117),  # grey
    "may": (0, 121, 107),  # teal
    "may not": (161, 98, 7),  # amber
    "recorded": (117, 117, 117),
}
MARKS: dict[Kind, str] = {
    "exercise": "✎",
    "predict": "?",
    "passed": "✓",
    "failed": "✗",
    "crashed": "⚠",
    "not yet": "○",
    "may": "✓",
    "may not": "✗",
    "recorded": "●",
}
SMALL = "font-size: 0.85em; opacity: 0.85"


def style(kind: Kind) -> str:
    """The inline style of a box: a bar at its left and a tint that lets the page's own background through."""
    red, green, blue = COLOURS[kind]
    return (
        f"border-left: 5px solid rgb({red}, {green}, {blue}); background-color: rgba({red}, {green}, {blue}, 0.12); "
        "padding: 8px 14px; border-radius: 4px; max-width: 46em; margin: 6px 0"
    )


def box(kind: Kind, title: str, *lines: str, small: str = "") -> str:
    """A box as html: its mark and bold title, a paragraph a line, small print below; all of it html already."""
    paragraphs = "".join(f'<div style="padding-top: 4px">{line}</div>' for line in lines if line)
    below = f'<div style="padding-top: 4px; {SMALL}">{small}</div>' if small else ""
    return f'<div style="{style(kind)}"><b>{MARKS[kind]} {title}</b>{paragraphs}{below}</div>'


def small_print(text: str) -> str:
    """Small print inside a box; nothing where there is no text."""
    return f'<span style="{SMALL}">{text}</span>' if text else ""


def markdown_box(kind: Kind, text: str) -> str:
    """A box in a markdown cell, around text that is markdown: blank lines let it be read as such."""
    return f'<div style="{style(kind)}">\n\n{text}\n\n</div>'


def dots(count: int, of: int = 5) -> str:
    """A rating, as ●●○○○."""
    return "●" * count + "○" * (of - count)
