"""From a figure to the page, one way for notebooks and widgets; the course's style, and a look for every series."""

import base64
import html
import math
from collections.abc import Iterable, Sequence, Sized

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from IPython.core.pylabtools import print_figure
from IPython.display import DisplayHandle, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PALETTE = sns.color_palette("colorblind")
MARKERS = "osD^vPX*"
PLAIN_MARKERS = "os^DvPX*"  # where three are compared, a triangle is clearer than a diamond
COLOURS = dict(zip(("zero-shot", "in context", "finetuned"), PALETTE, strict=False))
STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 200,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
}
SHARP = {"dpi": 200, "bbox_inches": "tight"}
FRAME = {"dpi": 110, "bbox_inches": None}  # of a picture that moves: drawn in half the time, and of one size


def png(figure: Figure, **quality: object) -> bytes:
    """A figure on white; `quality` is SHARP or FRAME."""
    return print_figure(figure, facecolor="white", metadata={"Software": None}, **quality)


def page_bundle(figure: Figure, alt: str, **quality: object) -> dict[str, str]:
    """A figure for light and dark and for untrusted notebooks: html with its text alternative, PNG, and the text."""
    picture = base64.b64encode(png(figure, **quality)).decode()
    width = round(figure.get_figwidth() * 96)
    image = (
        f'<img alt="{html.escape(alt)}" width="{width}" decoding="sync" style="max-width: 100%" '
        f'src="data:image/png;base64,{picture}">'
    )
    return {"text/html": image, "image/png": picture, "text/plain": alt}


def show(figure: Figure, alt: str, into: DisplayHandle | None = None) -> None:
    """Display a figure with its text alternative, then close it; `into` is a `place()`, whose picture it takes over."""
    bundle = page_bundle(figure, alt, **SHARP)
    plt.close(figure)
    (into.update if into else display)(bundle, raw=True)


def place() -> DisplayHandle:
    """A place on the page for a figure that is drawn again and again."""
    return display({"text/plain": ""}, raw=True, display_id=True)


def canvas(
    width: float | int = 8, height: float | int = 3.4, rows: int = 1, columns: int = 1, **options: object
) -> tuple[Figure, np.ndarray | Axes]:
    """An empty figure in the course's style, with a grid of panels."""
    with plt.rc_context(STYLE):
        return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **options)


def check_any(series: Sized) -> None:
    """Raises ValueError where there is nothing to draw."""
    if not len(series):
        raise ValueError("There is nothing to draw: no series was given.\nGive at least one.")


def looks(names: Iterable[str], colours: Sequence = PALETTE, markers: str = MARKERS) -> dict[str, dict]:
    """A colour and a marker for every series, no two pairs alike. Raises ValueError for none or too many."""
    names, most = list(names), math.lcm(len(colours), len(markers))
    check_any(names)
    if len(names) > most:
        raise ValueError(
            f"{len(names)} series are more than can be told apart in one figure.\nDraw at most {most} at a time."
        )
    return {
        name: {"color": colours[i % len(colours)], "marker": markers[i % len(markers)]} for i, name in enumerate(names)
    }


def legend_at_right(axes: Axes, **options: object) -> None:
    """The series' names beside the panel, where they hide nothing."""
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), **options)
