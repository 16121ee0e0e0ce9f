"""A still on the page and, where a kernel runs, a widget in its place; the still follows, and is what is saved.

Saved notebooks keep no widgets: opened without a kernel, on GitHub or in the book, they show what stood there last.
"""

import asyncio
import html
import re
from collections.abc import Callable

from IPython.display import display
from matplotlib.figure import Figure

from helpers.plots.page import frame
from helpers.support.boxes import SMALL
from helpers.support.jupyter import in_jupyter
from helpers.widgets import controls

# A still comes before the widget: a page where the widget lives hides it; one without a kernel hides what is left of
# the widget, which would say "model not found".
CELL = ".jp-OutputArea-child"
STYLESHEET = f"""<style>
{CELL}:has(.course-still):has(+ {CELL} .{controls.LIVE}),
{CELL}:has(.course-still) + {CELL} .jp-OutputArea-output:not(:has(*)) {{ display: none }}
</style>{controls.PAGE}"""
VIEW = "application/vnd.jupyter.widget-view+json"
MISSING = """Nothing can be moved here: the package ipywidgets is not installed.
Run `python -m helpers setup`, then restart the kernel and run this cell again."""
QUIET = 0.7  # seconds without a change, after which the still follows


def still_or_live(page: Figure | str, alt: str, hint: str, live: Callable[[], "ipywidgets.DOMWidget"]) -> None:  # noqa: F821
    """A figure or html, and in Jupyter a widget in its place, which it follows; elsewhere its words."""
    if not in_jupyter():
        print(f"{alt}\n{hint}")
        return
    still = page if isinstance(page, str) else frame(page, "", alt)
    place = display(_bundle(still, alt, hint), raw=True, display_id=True)
    try:
        widget = live().add_class(controls.LIVE)
    except ModuleNotFoundError as error:
        if error.name != "ipywidgets":
            raise
        print(MISSING)
        return
    view = {VIEW: widget.get_view_spec()}  # not _repr_mimebundle_, which ipywidgets 7 (Colab's) lacks
    display(view | {"text/html": "<!-- the picture is above -->", "text/plain": ""}, raw=True)
    _follow(widget, lambda: place.update(_bundle(seen := snapshot(widget), _plain(seen), hint), raw=True))


def _bundle(still: str, alt: str, hint: str) -> dict[str, str]:
    below = f'<div style="{SMALL}">{html.escape(hint)}</div>'
    return {"text/html": f'{STYLESHEET}<div class="course-still">{still}{below}</div>', "text/plain": f"{alt}\n{hint}"}


def _plain(page: str) -> str:
    """The words of a piece of html."""
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", page)).split())


def snapshot(widget: "ipywidgets.DOMWidget") -> str:  # noqa: F821
    """What a widget shows now, as html that needs no kernel: its html, and where its controls stand."""
    return "".join(_seen(part) for part in controls.parts(widget))


def _seen(part: "ipywidgets.Widget") -> str:  # noqa: F821
    """One part of a widget: html as it is, a choice with a ✓ among its options, any other control by its value."""
    import ipywidgets

    if isinstance(part, ipywidgets.HTML):
        return part.value
    value = getattr(part, "value", None)
    if isinstance(part, (ipywidgets.RadioButtons, ipywidgets.ToggleButtons)):
        labels = [option[0] if isinstance(option, tuple) else option for option in part.options]
        marked = (f"<b>✓ {html.escape(x)}</b>" if x == part.label else html.escape(x) for x in map(str, labels))
        value = " · ".join(marked)
    elif isinstance(part, (ipywidgets.Play, ipywidgets.Checkbox)) or value in (None, ""):  # html beside ticks says more
        return ""
    else:
        value = f"<b>{html.escape(str(getattr(part, 'label', value)))}</b>"
    name = f"{html.escape(part.description)}: " if part.description else ""
    return f'<div style="{SMALL}; display: inline-block; padding-right: 18px">{name}{value}</div>'


def _follow(widget: "ipywidgets.DOMWidget", update: Callable[[], None]) -> None:  # noqa: F821
    """Update once the widget rests for a moment: at once would double the work of a slider that is dragged."""
    waiting: list[asyncio.TimerHandle] = []

    def changed(_: object) -> None:
        while waiting:
            waiting.pop().cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel's loop runs, so nothing is dragged
            update()
        else:
            waiting.append(loop.call_later(QUIET, update))

    for part in controls.parts(widget):
        if part.has_trait("value"):
            part.observe(changed, "value")
