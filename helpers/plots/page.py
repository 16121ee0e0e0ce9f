"""From a figure to the page, one way for notebooks and widgets; the course's style, and a look for every series."""

import base64
import html
import io
import math
import re
from collections.abc import Iterable, Sequence, Sized
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from IPython.display import DisplayHandle, display
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from helpers.support import findings
from helpers.support.findings import Finding

Title = str | Finding
STYLE = {**mpl.rc_params_from_file(Path(__file__).with_name("course.mplstyle"), use_default_template=False)}
in_style = mpl.rc_context(STYLE)  # a decorator: matplotlib reads some sizes only when a text is set
PALETTE = sns.color_palette("colorblind")
MARKERS = "osD^vPX*"
PLAIN_MARKERS = "os^DvPX*"  # where three are compared, a triangle is clearer than a diamond
COLOURS = dict(zip(("zero-shot", "in context", "finetuned"), PALETTE, strict=False))
INK, BLUE, ORANGE = "#1c1c1c", *(mpl.colors.to_hex(colour) for colour in PALETTE[:2])
UNSIGNED = "Blues"  # of maps: the darker the more
_RED_BLUE = mpl.colormaps["RdBu_r"](np.linspace(0, 1, 9))
SIGNED = LinearSegmentedColormap.from_list("signed", [*_RED_BLUE[:4], "white", *_RED_BLUE[5:]], N=257)  # white at 0
WIDTH, HALF = 6.4, 3.2  # inches of one panel, with the card around it as wide as the text; of two in a row
PIXELS = 96  # of a page, an inch
LONGEST = 860  # pixels of panels in one line
SHARP = {"dpi": 2 * PIXELS}
FRAME = {"dpi": 110}  # of a picture that moves: drawn in half the time
CARD = (
    f"background-color: {mpl.colors.to_hex(STYLE['figure.facecolor'])}; color: #1c1c1c; border: 1px solid #d5d5d0; "
    "border-radius: 8px; padding: 10px 14px; margin: 6px 0"
)
EMBEDDED = re.compile(r'src="data:image/png;base64,([^"]+)"')  # a picture inside a page
WAITS = (
    '<span style="font-weight: normal; font-size: 0.85em; color: #6b6b6b">What this shows: predict first, above.</span>'
)


def png(figure: Figure, dpi: int) -> bytes:
    """A figure in few colours, which takes a third of the bytes; the one behind everything stays exactly as it is."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    few = picture.quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    colours, behind = few.getpalette(), few.getpixel((0, 0))
    colours[3 * behind : 3 * behind + 3] = (round(255 * part) for part in to_rgb(figure.get_facecolor()))
    few.putpalette(colours)
    written = io.BytesIO()
    few.save(written, "PNG")
    return written.getvalue()


def frame(figures: Figure | Sequence[Figure], title: Title, alt: str) -> str:
    """The card of a picture that moves, as html for light and dark pages, untrusted ones too: title, pictures, words.

    Panels stand in a row, and below each other where a page is narrow.
    """
    return _bundle(*_images(figures, alt, **FRAME), title, alt)["text/html"]


def show(figures: Figure | Sequence[Figure], title: Title, alt: str, into: DisplayHandle | None = None) -> None:
    """Display figures under their title, then close them; `into` is a `place()`, whose picture they take over.

    A finding whose question is open is kept back, and comes when that is answered.
    """
    images, width = _images(figures, alt, **SHARP)
    for figure in _several(figures):
        plt.close(figure)
    there = _put(_bundle(images, width, title, alt), into)
    if isinstance(title, Finding) and not title.is_open:
        findings.when_answered(title.key, lambda: _put(_bundle(images, width, title, alt), there))


def _put(bundle: dict[str, str], into: DisplayHandle | None) -> DisplayHandle | None:
    """Show it, in the place of what is there; where it stands, which is nowhere without a notebook."""
    if into is None:
        return display(bundle, raw=True, display_id=True)
    into.update(bundle, raw=True)
    return into


def _several(figures: Figure | Sequence[Figure]) -> list[Figure]:
    return [figures] if isinstance(figures, Figure) else list(figures)


def _images(figures: Figure | Sequence[Figure], alt: str, dpi: int) -> tuple[str, int]:
    """Every figure as an <img>, the first with the words for all; and the pixels of a line of them."""
    figures = _several(figures)
    words = [
        alt,
        *(f"Panel {place} of {len(figures)}, described with the first." for place in range(2, len(figures) + 1)),
    ]
    widths = [_pixels(figure) for figure in figures]
    images = (image(figure, said, dpi) for figure, said in zip(figures, words, strict=True))
    return "".join(images), _wide(widths)


def image(figure: Figure, alt: str, dpi: int) -> str:
    """A figure as an <img> of its size on the page, with its words."""
    return (
        f'<img alt="{html.escape(alt)}" width="{_pixels(figure)}" decoding="sync" '
        'style="max-width: 100%; vertical-align: top" '
        f'src="data:image/png;base64,{base64.b64encode(png(figure, dpi)).decode()}">'
    )


def _pixels(figure: Figure) -> int:
    return round(figure.get_figwidth() * PIXELS)


def _wide(widths: list[int]) -> int:
    """The pixels of the longest line of panels: all in one, or in lines of equally many."""
    each = math.ceil(len(widths) / math.ceil(sum(widths) / LONGEST))
    return max(sum(widths[start : start + each]) for start in range(0, len(widths), each))


def _bundle(images: str, width: int, title: Title, alt: str) -> dict[str, str]:
    heading = html.escape(str(title)) or (WAITS if isinstance(title, Finding) else "")
    above = f'<div style="font-weight: bold; padding-bottom: 6px">{heading}</div>' if heading else ""
    card = f'<div style="{CARD}; max-width: {width}px">{above}{images}</div>'
    return {"text/html": card, "text/plain": "\n".join(filter(None, (str(title), alt)))}


def place() -> DisplayHandle:
    """A place on the page for a figure that is drawn again and again."""
    return display({"text/plain": ""}, raw=True, display_id=True)


def canvas(
    width: float | int = WIDTH, height: float | int = 3.4, rows: int = 1, columns: int = 1, **options: object
) -> tuple[Figure, np.ndarray | Axes]:
    """An empty figure in the course's style, with a grid of panels."""
    with mpl.rc_context(STYLE):
        return plt.subplots(rows, columns, figsize=(width, height), **options)


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
