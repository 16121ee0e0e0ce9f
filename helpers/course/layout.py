"""How JupyterLab opens the course: contents at the left, a column as wide as one reads. For this run only.

Its settings are defaults from a folder of the course's own: what readers set themselves wins, and none of it is
written to. Standard library only, like `make lab` itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from helpers.support import ROOT

SETTINGS = Path(__file__).with_name("jupyter")  # defaults, and an extension that needs no build
WORKSPACES = ROOT / "build" / "workspaces"  # which pages were open, and how they lay


def environment() -> dict[str, str]:
    """The variables with which JupyterLab finds them, after whatever the reader has set."""
    added = {name: _after(os.environ.get(name), SETTINGS) for name in ("JUPYTER_CONFIG_PATH", "JUPYTER_PATH")}
    return {"JUPYTERLAB_WORKSPACES_DIR": str(WORKSPACES)} | dict(os.environ) | added


def _after(known: str | None, folder: Path) -> str:
    return os.pathsep.join(filter(None, [known, str(folder)]))
