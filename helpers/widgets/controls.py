"""How a control looks and what it is called: a colour and a ✓ for what is chosen, a name for everything one can move.

ipywidgets gives sliders no name and buttons no pressed state that a screen reader could say. `PAGE`, which stands
beside every widget, adds them in the browser, for versions 7 and 8, from the label that is seen.
"""

import html
from collections.abc import Iterator, Sequence

from helpers.support.boxes import SMALL

CHOSEN = "background-color: #1558a8; color: #ffffff"  # 7 : 1, and far from what is not chosen, on light and dark
LIVE = "course-live"  # the class of a widget, by which the page finds it
SPOKEN = "course-spoken"  # the class of words that a screen reader says when they change
STYLE = f"""
.{LIVE} .widget-radio-box {{ display: flex; flex-flow: row wrap; gap: 6px; height: auto; width: auto }}
.{LIVE} .widget-radio {{ display: flex; flex-flow: row wrap; align-items: baseline; height: auto }}
.{LIVE} .widget-radio > .widget-label {{ text-align: right; margin-right: 8px }}
.{LIVE} .widget-radio-box label {{ position: relative; display: inline-flex; align-items: center; gap: 6px;
  width: auto; height: auto; margin: 0; padding: 2px 12px; border: 1px solid #767676; border-radius: 14px;
  cursor: pointer; line-height: 1.5; white-space: normal; overflow: visible }}
.{LIVE} .widget-radio-box input {{ position: absolute; inset: 0; width: 100%; height: 100%;
  margin: 0; opacity: 0; cursor: pointer }}
.{LIVE} .widget-radio-box label:has(input:checked) {{ {CHOSEN}; border-color: #1558a8 }}
.{LIVE} .widget-radio-box label:has(input:checked)::before, .{LIVE} .widget-toggle-button.mod-active::before,
.{LIVE} .widget-toggle-buttons .mod-active::before {{ content: "✓ "; content: "✓ " / "" }}
.{LIVE} .widget-toggle-button.mod-active, .{LIVE} .widget-toggle-buttons .mod-active {{ {CHOSEN} !important }}
.{LIVE} .widget-radio-box label:focus-within, .{LIVE} button:focus-visible, .{LIVE} .noUi-handle:focus-visible,
.{LIVE} .ui-slider-handle:focus-visible {{ outline: 3px solid #e69f00; outline-offset: 1px }}
"""
SCRIPT = f"""
(() => {{
  if (window.courseControls) return;
  window.courseControls = true;
  const FILM = {{ "fa-play": "play", "fa-pause": "pause", "fa-stop": "to the start", "fa-retweet": "play endlessly" }};
  let count = 0;
  const name = (label, box) => {{
    for (const part of box.querySelectorAll("[role=slider], .ui-slider-handle, select, input:not([type=radio])"))
      if (!part.labels?.length) part.setAttribute("aria-label", label);
    const readout = box.querySelector(".widget-readout");
    for (const handle of readout ? box.querySelectorAll("[role=slider], .ui-slider-handle") : []) {{
      handle.setAttribute("role", "slider");
      handle.setAttribute("aria-valuetext", readout.textContent);
      readout.setAttribute("role", "textbox");
      readout.setAttribute("aria-label", label + ", typed");
    }}
    for (const group of box.querySelectorAll(".widget-radio-box")) {{
      group.setAttribute("role", "radiogroup");
      group.setAttribute("aria-label", label);
    }}
    if (box.matches(".widget-toggle-buttons")) {{
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", label);
    }}
  }};
  const visit = widget => {{
    for (const label of widget.querySelectorAll(".widget-label"))
      if (label.textContent) name(label.textContent, label.parentElement);
    for (const button of widget.querySelectorAll("button.widget-toggle-button, .widget-toggle-buttons button"))
      button.setAttribute("aria-pressed", button.classList.contains("mod-active"));
    for (const box of widget.querySelectorAll(".widget-radio-box")) {{
      box.dataset.group ??= "course-" + ++count;
      for (const radio of box.querySelectorAll("input")) radio.name = box.dataset.group;  // one stop of the tab key
    }}
    for (const [icon, label] of Object.entries(FILM))
      for (const part of widget.querySelectorAll(".widget-play ." + icon)) part.parentElement.ariaLabel = label;
    for (const words of widget.querySelectorAll(".{SPOKEN}")) words.setAttribute("role", "status");
  }};
  const step = event => {{  // JupyterLab would take the arrows for its cells
    if (event.target.matches?.(".{LIVE} select")) event.stopPropagation();
    const group = event.target.closest?.(".{LIVE} .widget-radio-box");
    const all = [...(group?.querySelectorAll("input") ?? [])];
    const by = {{ ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }}[event.key];
    if (!all.length || !by || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const next = all[(all.indexOf(event.target) + by + all.length) % all.length];
    event.preventDefault();
    event.stopPropagation();
    next.focus();
    next.click();
  }};
  const watch = () => {{
    for (const widget of document.querySelectorAll(".{LIVE}:not([data-watched])")) {{
      widget.dataset.watched = true;
      visit(widget);
      const again = {{ childList: true, subtree: true, attributes: true, attributeFilter: ["class"] }};
      new MutationObserver(() => visit(widget)).observe(widget, again);
    }}
  }};
  watch();
  window.addEventListener("keydown", step, true);
  new MutationObserver(watch).observe(document.body, {{ childList: true, subtree: true }});
}})();
"""
PAGE = f"<style>{STYLE}</style><script>{SCRIPT}</script>"
LABEL, LAYOUT = {"description_width": "8.5em"}, {"width": "min(34em, 98%)"}


def slider(
    name: str, value: float | int, low: float | int, high: float | int, step: float | int = 1
) -> "ipywidgets.Widget":  # noqa: F821
    """A number between two; whole where the step is."""
    import ipywidgets  # a page without it still shows the picture

    kind = ipywidgets.IntSlider if isinstance(step, int) else ipywidgets.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=name, style=LABEL, layout=LAYOUT)


def stops(name: str, options: Sequence, value: object) -> "ipywidgets.Widget":  # noqa: F821
    """A slider over a few named places."""
    import ipywidgets

    return ipywidgets.SelectionSlider(options=options, value=value, description=name, style=LABEL, layout=LAYOUT)


def choice(name: str, options: Sequence, value: object) -> "ipywidgets.Widget":  # noqa: F821
    """One of a few, all of them in sight."""
    import ipywidgets

    layout = {"width": "auto", "max_width": "46em"}
    return ipywidgets.RadioButtons(options=options, value=value, description=name, style=LABEL, layout=layout)


def menu(name: str, options: Sequence, value: object) -> "ipywidgets.Widget":  # noqa: F821
    """One of many, in a list that opens."""
    import ipywidgets

    return ipywidgets.Dropdown(options=options, value=value, description=name, style=LABEL, layout=LAYOUT)


def words() -> "ipywidgets.HTML":  # noqa: F821
    """What is seen, in a sentence that a screen reader says whenever it changes."""
    import ipywidgets

    return ipywidgets.HTML().add_class(SPOKEN)


def said(sentence: str) -> str:
    """A sentence as `words` show it."""
    return f'<div style="{SMALL}; line-height: 1.4">In words: {html.escape(sentence)}.</div>'


def parts(widget: "ipywidgets.Widget") -> Iterator["ipywidgets.Widget"]:  # noqa: F821
    """A widget and all within it, in reading order."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)
