"""What a reader can touch. Without widgets every one of them is a call with an argument, and says so."""

import html

from IPython.display import display

from helpers.support import progress
from helpers.support.jupyter import in_jupyter, show
from helpers.widgets.live import widget_view

ASKED: dict[str, list[str]] = {}  # the options of every question on this page


def predict(key: str, question: str = "", options: list[str] | None = None, choose: str | int | None = None) -> None:
    """Ask for a prediction and keep it; without buttons, `choose` an option, by its text or its number from 1.

    Raises ValueError where `choose` is no option of the question last asked under this key, or none was asked.
    """
    options = ASKED.get(key, []) if options is None else options
    if not options:
        raise ValueError(f"No question {key!r} was asked on this page yet.\nRun the cell that asks it first.")
    ASKED[key] = options
    if choose is not None:
        chosen = _chosen(choose, options)
        if progress.predict(key, chosen):
            print(f"Kept: {chosen}")
        return
    listed = "".join(f"<li>{html.escape(option)}</li>" for option in options)
    still = f"<b>Predict first.</b> {html.escape(question)}<ol>{listed}</ol>"
    plain = f"Predict first. {question} " + "  ".join(f"({i}) {o}" for i, o in enumerate(options, 1))
    hint = f"Without buttons: predict({key!r}, choose=1)"
    if not in_jupyter():
        print(f"{plain}\n{hint}")
        return
    page = {"text/html": f"{still}<small>{html.escape(hint)}</small>", "text/plain": f"{plain}\n{hint}"}
    display(widget_view(lambda: _buttons(key, question, options)) | page, raw=True)


def _chosen(choose: str | int, options: list[str]) -> str:
    if choose in options:
        return choose
    if isinstance(choose, int) and not isinstance(choose, bool) and 1 <= choose <= len(options):
        return options[choose - 1]
    raise ValueError(
        f"choose={choose!r}: one of {', '.join(map(repr, options))}, or a number from 1 to {len(options)}."
    )


def _buttons(key: str, question: str, options: list[str]) -> "ipywidgets.Widget":  # noqa: F821
    import ipywidgets  # a page without it still shows the question

    asked = ipywidgets.HTML(f"<b>Predict first.</b> {html.escape(question)}")
    wide = {"width": "max-content"}
    choice = ipywidgets.ToggleButtons(options=options, value=None, style={"button_width": "auto"}, layout=wide)
    reason = ipywidgets.Text(placeholder="because … (one sentence)", layout={"width": "min(36em, 95%)"})
    kept = ipywidgets.HTML()

    def keep(_: object) -> None:
        if choice.value is not None:
            done = progress.predict(key, choice.value, reason.value)
            message = (
                "Kept. You may change it until you know better."
                if done
                else "Not kept: `python -m helpers doctor` says why."
            )
            kept.value = f"<small>{message}</small>"

    choice.observe(keep, "value")
    reason.observe(keep, "value")
    return ipywidgets.VBox([asked, choice, reason, kept])


class Revealed:
    """A prediction together with what happens."""

    def __init__(self, predicted: dict, happens: str) -> None:
        self.predicted, self.happens = predicted, happens

    def lines(self) -> list[str]:
        chosen, reason = self.predicted.get("chosen"), self.predicted.get("reason")
        because = f", because {reason.removeprefix('because ')}" if reason else ""
        prediction = f"{chosen}{because}" if chosen else "nothing (no prediction made)"
        return [f"You predicted: {prediction}", f"What happens: {self.happens}"]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        (you, yours), (what, happens) = (map(html.escape, line.split(": ", 1)) for line in self.lines())
        rows = f"<tr><td><b>{you}</b></td><td>{yours}</td></tr><tr><td><b>{what}</b></td><td>{happens}</td></tr>"
        return f"<table>{rows}</table>"


def reveal(key: str, happens: str) -> None:
    """Show the prediction kept under `key` beside what happens."""
    show(Revealed(progress.read()["predictions"].get(key, {}), happens))
