"""A student's JupyterLab shows nothing of the graders, though their packages are there."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from helpers.course import extensions

JUPYTER = [sys.executable, "-m", "jupyter"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """The environment's Jupyter settings as its packages wrote them, and then set-up; goes before the environment's."""
    prefix = tmp_path_factory.mktemp("prefix")
    shutil.copytree(
        Path(sys.prefix) / "etc" / "jupyter" / "jupyter_server_config.d", prefix / "etc/jupyter/jupyter_server_config.d"
    )
    extensions.switch_off(prefix)
    nobody = {"JUPYTER_CONFIG_DIR": str(prefix / "user"), "JUPYTER_CONFIG_PATH": str(prefix / "etc" / "jupyter")}
    return os.environ | nobody | {"JUPYTER_RUNTIME_DIR": str(prefix / "runtime")}


def test_every_extension_of_the_graders_is_off(settings):
    listing = [*JUPYTER, "labextension", "list"]
    done = subprocess.run(listing, env=settings, capture_output=True, text=True)
    found = dict(re.findall(r"^\s+(\S+) v\S+ \W*\d*m?(enabled|disabled)", done.stdout + done.stderr, re.M))
    assert {name for name, state in found.items() if state == "disabled"} == set(extensions.LAB)
    assert found["@jupyter-widgets/jupyterlab-manager"] == "enabled"


def test_the_server_starts_without_them(settings, tmp_path):
    """Neither a word of them in the log, nor are they in what JupyterLab loads."""
    start = [*JUPYTER, "lab", "--no-browser", "--port=0", "--allow-root", "--IdentityProvider.token=t"]
    log = tmp_path / "log"
    with log.open("w") as out, subprocess.Popen(start, env=settings, cwd=tmp_path, stderr=out) as server:
        try:
            page = urllib.request.urlopen(address(log), timeout=30).read().decode()
        finally:
            server.terminate()
    told = json.loads(re.search(r'<script id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    assert set(extensions.LAB) <= set(told["disabledExtensions"])
    assert "jupyterlab | extension was successfully loaded" in log.read_text()
    assert not re.search(r"nbgrader|notebook \| extension|Error|Traceback", log.read_text())


def address(log: Path) -> str:
    """Where the server says that it can be reached."""
    for _ in range(300):
        if found := re.search(r"http://localhost:\d+/lab\?token=", log.read_text()):
            return found[0] + "t"
        time.sleep(0.1)
    pytest.fail(log.read_text())


def test_what_else_is_set_stays(tmp_path):
    file = tmp_path / "etc" / "jupyter" / "jupyter_server_config.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"ServerApp": {"port": 1, "jpserver_extensions": {"mine": True}}}))
    extensions.switch_off(tmp_path)
    kept = json.loads(file.read_text())["ServerApp"]
    assert kept == {"port": 1, "jpserver_extensions": {"mine": True} | dict.fromkeys(extensions.SERVER, False)}
