"""A picture, and where a kernel runs a widget in its place."""

from collections.abc import Callable

from IPython.display import display
from matplotlib.figure import Figure

from helpers.plots.page import FRAME, page_bundle
from helpers.support.jupyter import in_jupyter

# A still comes before the widget: a page where the widget lives hides it; one without a kernel hides what is left of
# the widget, which would say "model not found".
CELL = ".jp-OutputArea-child"
STYLESHEET = f"""<style>
{CELL}:has(.course-still):has(+ {CELL} .course-live),
{CELL}:has(.course-still) + {CELL} .jp-OutputArea-output:not(:has(*)) {{ display: none }}
</style>"""
VIEW = "application/vnd.jupyter.widget-view+json"
MISSING = """Nothing can be moved here: the package ipywidgets is not installed.
Run `python -m helpers setup`, then restart the kernel and run this cell again."""


def still_or_live(figure: Figure, alt: str, hint: str, live: Callable[[], "ipywidgets.DOMWidget"]) -> None:  # noqa: F821
    """A picture, and in Jupyter a widget in its place; without a kernel the picture stays, elsewhere its words."""
    if not in_jupyter():
        print(f"{alt}\n{hint}")
        return
    still = page_bundle(figure, alt, **FRAME)
    still["text/html"] = f'{STYLESHEET}<div class="course-still">{still["text/html"]}<br><small>{hint}</small></div>'
    display(still, raw=True)
    view = widget_view(lambda: live().add_class("course-live"))
    if view:
        display(view | {"text/html": "<!-- the picture is above -->", "text/plain": ""}, raw=True)


def widget_view(make: Callable[[], "ipywidgets.DOMWidget"]) -> dict[str, object]:  # noqa: F821
    """A widget as the page displays it; nothing, and a message, where ipywidgets is not installed."""
    try:
        return {VIEW: make().get_view_spec()}  # not _repr_mimebundle_, which ipywidgets 7 (Colab's) lacks
    except ModuleNotFoundError as error:
        if error.name != "ipywidgets":
            raise
        print(MISSING)
        return {}
