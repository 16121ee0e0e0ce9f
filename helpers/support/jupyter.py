"""Whether a page is there, and how to show a thing on it."""

from IPython import get_ipython
from IPython.display import display

from helpers.support import replace_unprintable


def in_jupyter() -> bool:
    """Whether a page is there to show more than text."""
    return hasattr(get_ipython(), "kernel")


def show(thing: object) -> None:
    """In Jupyter as it likes, elsewhere as text."""
    if in_jupyter():
        display(thing)
    else:
        replace_unprintable()
        print(thing)


def show_html(html: str, text: str) -> None:
    """In Jupyter the html, with the text for front ends that show none; elsewhere the text."""
    if in_jupyter():
        display({"text/html": html, "text/plain": text}, raw=True)
    else:
        replace_unprintable()
        print(text)
