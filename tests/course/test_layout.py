"""What `make lab` hands to JupyterLab: defaults for this run, below what a reader has set. How it looks: browser/."""

import os
import re
import subprocess
import sys

from helpers.course import layout


def test_what_a_reader_has_set_comes_first(monkeypatch, tmp_path):
    for name in ("JUPYTER_CONFIG_PATH", "JUPYTER_PATH", "JUPYTERLAB_WORKSPACES_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    given = layout.environment()
    assert given["JUPYTER_PATH"] == f"{tmp_path / 'JUPYTER_PATH'}{os.pathsep}{layout.SETTINGS}"
    assert given["JUPYTER_CONFIG_PATH"].startswith(f"{tmp_path / 'JUPYTER_CONFIG_PATH'}{os.pathsep}")
    assert given["JUPYTERLAB_WORKSPACES_DIR"] == str(tmp_path / "JUPYTERLAB_WORKSPACES_DIR")


def test_a_readers_own_jupyter_is_left_alone(monkeypatch):
    monkeypatch.delenv("JUPYTERLAB_WORKSPACES_DIR", raising=False)
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", "/theirs")
    given = layout.environment()
    assert given["JUPYTERLAB_SETTINGS_DIR"] == "/theirs"
    assert given["JUPYTERLAB_WORKSPACES_DIR"] == str(layout.WORKSPACES)
    changed = {name for name, value in given.items() if os.environ.get(name) != value}
    assert changed == {"JUPYTER_CONFIG_PATH", "JUPYTER_PATH", "JUPYTERLAB_WORKSPACES_DIR"}


def test_jupyterlab_finds_the_extension():
    listing = [sys.executable, "-m", "jupyter", "labextension", "list"]
    done = subprocess.run(listing, env=layout.environment(), capture_output=True, text=True)
    assert re.search(r"icl-course v\S+ .*enabled", done.stdout + done.stderr)
