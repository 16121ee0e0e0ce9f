"""A student's JupyterLab shows nothing of the graders: what their packages add to it starts switched off.

Standard library only: set-up runs this with the environment's Python, before the packages come.
"""

import contextlib
import importlib.util
import json
import sys
from pathlib import Path

LAB = ("@jupyter/nbgrader", "@jupyter-notebook/lab-extension", "ipylab")
SERVER = (
    "nbgrader.server_extensions.assignment_list",
    "nbgrader.server_extensions.course_list",
    "nbgrader.server_extensions.formgrader",
    "nbgrader.server_extensions.validate_assignment",
    "notebook",
)


def switch_off(prefix: Path) -> None:
    """Write it into an environment's own Jupyter settings; `jupyter labextension enable` takes it back."""
    settings = prefix / "etc" / "jupyter"
    _merge(settings / "labconfig" / "page_config.json", ("disabledExtensions",), dict.fromkeys(LAB, True))
    _merge(settings / "jupyter_server_config.json", ("ServerApp", "jpserver_extensions"), dict.fromkeys(SERVER, False))


def _merge(file: Path, names: tuple[str, ...], values: dict[str, bool]) -> None:
    """Put values into a JSON file under these names; all else in it stays."""
    whole = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    part = whole
    for name in names:
        part = part.setdefault(name, {})
    part.update(values)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if importlib.util.find_spec("nbgrader") is None:  # who has it already may want to see it
        with contextlib.suppress(OSError, ValueError):  # for looks: no reason to stop a set-up
            switch_off(Path(sys.prefix))
