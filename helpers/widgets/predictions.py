"""Predictions: a question before an experiment, and its answer, which waits until the reader has chosen or skipped."""

import html
import string
from collections.abc import Callable

from IPython.display import display

from helpers.support import boxes, findings, progress
from helpers.support.jupyter import in_jupyter
from helpers.support.typeset import in_html
from helpers.widgets.live import still_or_live

ASKED: dict[str, list[str]] = {}  # the options of every question on this page
SKIP = "skip"
FIRST = "Predict first: choose an answer above, or skip the question. Then this place says what happens."
AFTER = "Predict first: an explanation follows here."
LATE = "The answer is on the page already: this is kept beside what you chose before."
COLUMN = "display: inline-block; vertical-align: top; width: 20em; max-width: 100%; padding: 4px 14px 0 0"


def predict(key: str, question: str = "", options: list[str] | None = None, choose: str | int | None = None) -> None:
    """Ask for a prediction and keep it; without buttons, `choose` an option by its letter or text, or "skip".

    Raises ValueError where `choose` is no option of the question last asked under this key, or none was asked.
    """
    options = ASKED.get(key, []) if options is None else options
    if not options:
        raise ValueError(f"No question {key!r} was asked on this page yet.\nRun the cell that asks it first.")
    ASKED[key] = options
    if choose is not None:
        print(_keep(key, _chosen(choose, options)))
        return
    lettered = dict(zip(string.ascii_uppercase, options, strict=False))
    plain = "  ".join([f"Predict first. {question}", *(f"({letter}) {option}" for letter, option in lettered.items())])
    listed = "<br>".join(f"<b>{letter}</b> · {in_html(option)}" for letter, option in lettered.items())
    still = boxes.box("predict", f"Predict first. {in_html(question)}", listed)
    hint = f"Without buttons: predict({key!r}, choose='A'), or choose={SKIP!r}"
    still_or_live(still, plain, hint, lambda: _form(key, question, options))


def _chosen(choose: str | int, options: list[str]) -> str:
    """The option that was named; "" for none of them."""
    letters = string.ascii_uppercase[: len(options)]
    if choose == SKIP:
        return ""
    if choose in options:
        return choose
    if isinstance(choose, str) and len(choose) == 1 and choose.upper() in letters:
        return options[letters.index(choose.upper())]
    raise ValueError(
        f"choose={choose!r} is none of the answers: {', '.join(map(repr, options))}.\n"
        f"Give one of them, or its letter from 'A' to {letters[-1]!r}, or {SKIP!r}."
    )


def _keep(key: str, chosen: str, reason: str = "") -> str:
    """Keep a choice, open what waited for it, and say what was done."""
    if not progress.predict(key, chosen, reason):
        return "Not kept: `python -m helpers doctor` says why."
    findings.open_all(key)
    said = f"Kept: {chosen}." if chosen else "Skipped."
    return f"{said} {LATE}" if _kept(key).get("later") == chosen else said


def _kept(key: str) -> dict:
    """What was chosen under this key so far; empty where nothing was."""
    return progress.read()["predictions"].get(key, {})


def _form(key: str, question: str, options: list[str]) -> "ipywidgets.Widget":  # noqa: F821
    """The options as radio buttons, a line for the reason, and a button for those who want to skip."""
    import ipywidgets  # a page without it still shows the question

    before = _kept(key)
    asked = ipywidgets.HTML(boxes.box("predict", f"Predict first. {in_html(question)}"))
    labels = [(f"{letter} · {option}", option) for letter, option in zip(string.ascii_uppercase, options, strict=False)]
    chosen = before.get("chosen") if before.get("chosen") in options else None
    choice = ipywidgets.RadioButtons(options=labels, value=chosen, layout={"width": "auto", "max_width": "46em"})
    reason = ipywidgets.Text(
        value=before.get("reason", ""), placeholder="because … (one sentence)", layout={"width": "min(36em, 95%)"}
    )
    skip = ipywidgets.Button(description="Skip: show me", tooltip="Show what happens without a prediction")
    kept = ipywidgets.HTML()

    def keep(_: object) -> None:
        if choice.value is not None:
            kept.value = f'<small role="status">{html.escape(_keep(key, choice.value, reason.value))}</small>'

    def pass_over(_: object) -> None:
        kept.value = f'<small role="status">{html.escape(_keep(key, ""))}</small>'

    choice.observe(keep, "value")
    reason.observe(keep, "value")
    skip.on_click(pass_over)
    return ipywidgets.VBox([asked, choice, reason, skip, kept])


def reveal(key: str, right: str | int = 1, because: str | int = 1, **values: int | float | str) -> None:
    """Show what happens beside the prediction kept under `key`, once there is one; `values` fill in the braces.

    `right` is the option that turned out right, `because` a sentence; a student's notebook leaves both to be looked up.
    """
    answer, reason = findings.lookup(key, "right", right), findings.lookup(key, "reveal", because, **values)
    waits = {"text/html": boxes.box("not yet", FIRST), "text/plain": FIRST}
    _show(answer, lambda: _revealed(answer, reason.text), waits)


def explain(key: str, number: int = 1) -> None:
    """Show a paragraph that waits for the question `key`."""
    kept = findings.lookup(key, "explanation", number)
    waits = {"text/html": f'<div style="{boxes.SMALL}">{AFTER}</div>', "text/plain": AFTER}
    _show(kept, lambda: {"text/markdown": kept.text, "text/plain": kept.text}, waits)


def _show(kept: findings.Finding, made: Callable[[], dict[str, str]], waits: dict[str, str]) -> None:
    """What was kept back, where it may be seen; else a note in its place, until it may."""
    if not in_jupyter():
        print((made() if kept.is_open else waits)["text/plain"])
        return
    place = display(made() if kept.is_open else waits, raw=True, display_id=True)
    if not kept.is_open:
        findings.when_answered(kept.key, lambda: place.update(made(), raw=True))


def _revealed(answer: findings.Finding, because: str) -> dict[str, str]:
    """A prediction beside what happens: right or wrong where there is one, nothing of it where there is none."""
    kept = _kept(answer.key)
    if kept:
        progress.seen(answer.key)
    chosen = kept.get("chosen", "")
    right = chosen == answer.text
    title = ("As you predicted" if right else "Not as you predicted") if chosen else "What happens"
    yours, happens = _yours(kept, right), f"{answer.text}. {because}"
    lines = [f"{title}.", f"You predicted: {yours}" if yours else "", f"What happens: {happens}"]
    return {"text/html": _columns(title, yours, happens), "text/plain": "\n".join(filter(None, lines))}


def _yours(kept: dict, right: bool) -> str:
    """What was predicted, why, and what was chosen after the answer was seen; "" for nothing."""
    chosen, reason, later = (kept.get(name, "") for name in ("chosen", "reason", "later"))
    parts = [
        f"{'✓' if right else '✗'} {chosen}" if chosen else "",
        f"because {reason.removeprefix('because ')}" if chosen and reason else "",
        f"after the answer was seen: {later}" if later else "",
    ]
    return "; ".join(filter(None, parts))


def _columns(title: str, yours: str, happens: str) -> str:
    """The two side by side, one above the other where the page is narrow; what happens alone, where that is all."""
    if not yours:
        return boxes.box("predict", title, in_html(happens))
    parts = ("You predicted", yours), ("What happens", happens)
    cells = (f'<div style="{COLUMN}"><small>{name}</small><br>{in_html(text)}</div>' for name, text in parts)
    return boxes.box("predict", title, "".join(cells))
