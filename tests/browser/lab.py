"""JupyterLab in a real browser, as `make lab` starts it, and a notebook's page as a reader handles it."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Locator, Page

from helpers.support import ROOT

STUDENT = sorted((ROOT / "notebooks").glob("0*.ipynb"))
SETTINGS = {"windowingMode": "none"}  # every cell is in the page, also those far below
SERVER = {  # an orphan, left by a test that was killed, ends by itself
    "MappingKernelManager": {"cull_idle_timeout": 300, "cull_interval": 30},
    "ServerApp": {"shutdown_no_activity_timeout": 300},
    "LabApp": {"expose_app_in_browser": True},
}
CELLS = "window.jupyterapp.shell.currentWidget.content.widgets.map(x => x.model)"
DONE = f"() => {CELLS}.every(x => x.type !== 'code' || x.executionState === 'idle')"
UNRUN = (
    f"() => {CELLS}.map((x, place) => x.type === 'code' && !x.executionCount && `cell ${{place}}: not executed`)"
    ".filter(found => found)"
)


def until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for something to become true; it may fail to answer until then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):
            if true():
                return
        time.sleep(0.25)
    pytest.fail(f"{what}: not within {seconds} s")


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: where it is, the word that lets one in, and the folder whose `content` it serves."""

    address: str
    token: str
    folder: Path

    def ask(self, path: str, method: str = "GET"):
        """What the server's API answers."""
        request = urllib.request.Request(f"{self.address}/api/{path}?token={self.token}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def kernels(self) -> list[dict]:
        return [session["kernel"] for session in self.ask("sessions") if session["kernel"]]

    def idle(self) -> bool:
        """Whether a kernel is connected and idle by the server's own word; the page's indicator says so too early."""
        return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in self.kernels())

    def end_kernels(self) -> None:
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")

    def add(self, name: str, notebook: dict | Path) -> str:
        """Put a notebook into the folder that is served; its path there."""
        path = self.folder / "content" / "notebooks" / name
        text = notebook.read_text(encoding="utf-8") if isinstance(notebook, Path) else json.dumps(notebook)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return f"notebooks/{name}"


def settle(folder: Path) -> dict[str, str]:
    """Private settings, and copies of the notebooks for JupyterLab to save into; the environment that points there."""
    tracker = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    config = folder / "config" / "jupyter_server_config.json"
    served = {"AsyncLargeFileManager": {"root_dir": str(folder / "content")}}
    for path, value in {tracker: SETTINGS, config: SERVER | served}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    (folder / "content" / "notebooks").mkdir(parents=True)
    for notebook in STUDENT:
        shutil.copy(notebook, folder / "content" / "notebooks")
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTERLAB_SETTINGS_DIR": "settings"}
    places |= {"JUPYTERLAB_WORKSPACES_DIR": "workspaces", "COURSE_PROGRESS": "progress.json"}
    return dict(os.environ) | {name: str(folder / place) for name, place in places.items()}


def end(process: subprocess.Popen) -> None:
    """End the server and all below it; kernels are in sessions of their own, so a process group would miss them."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
        for member in psutil.wait_procs(family, timeout=20)[1]:
            member.kill()
    process.wait(10)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def make_lab(folder: Path) -> Iterator[Lab]:
    """JupyterLab as `make lab` starts it, without opening a browser; gone when the block ends."""
    environment, port, token = settle(folder), free_port(), secrets.token_hex(16)
    command = [sys.executable, "-m", "helpers", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"]
    server = Lab(f"http://127.0.0.1:{port}", token, folder)
    with (folder / "lab.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            until(lambda: process.poll() is not None or server.ask("status"), 120, "JupyterLab's start")
            assert process.poll() is None, (folder / "lab.log").read_text()[-2000:]
            yield server
        finally:
            end(process)


@dataclass(frozen=True)
class Notebook:
    """A notebook that is open in the browser."""

    page: Page
    lab: Lab
    path: str

    def open(self, kernel: bool = True) -> "Notebook":
        """Go to it, in a workspace without a past, until its cells are there and its kernel is ready."""
        workspace = f"{self.lab.address}/lab/workspaces/{secrets.token_hex(4)}"
        self.page.goto(f"{workspace}/tree/{self.path}?token={self.lab.token}")
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=120_000)
        if kernel:
            until(self.lab.idle, 120, "an idle kernel")
        self.page.wait_for_timeout(2000)
        return self

    def menu(self, *names: str) -> None:
        for name in names:
            self.page.get_by_role("menuitem", name=name, exact=True).click()

    def run_all(self, seconds: int = 600) -> None:
        """Run > Run All Cells, to the end."""
        self.menu("Run", "Run All Cells")
        self.finished(seconds)
        self.page.wait_for_timeout(2000)

    def finished(self, seconds: int = 60) -> None:
        """Wait until nothing runs any more, and what came out is drawn."""
        self.page.wait_for_timeout(300)
        self.page.wait_for_function(DONE, timeout=seconds * 1000, polling=200)
        until(self.lab.idle, 60, "an idle kernel after the last cell")
        self.page.wait_for_timeout(700)

    def cell(self, text: str) -> Locator:
        """The first code cell that says this in its code."""
        return (
            self.page.locator(".jp-Notebook .jp-CodeCell")
            .filter(has=self.page.locator(".jp-InputArea-editor", has_text=text))
            .first
        )

    def write(self, cell: Locator, code: str) -> None:
        """Write code into a cell in place of what is there, by keyboard, and run it."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("ControlOrMeta+Enter")
        self.finished()

    def command(self, name: str, **arguments) -> None:
        """One of JupyterLab's own commands, as a menu or a key would give it."""
        self.page.evaluate("([name, given]) => window.jupyterapp.commands.execute(name, given)", [name, arguments])

    def save(self) -> None:
        self.command("docmanager:save")
        self.page.wait_for_timeout(1000)

    def theme(self, name: str) -> None:
        """Light or Dark."""
        self.command("apputils:change-theme", theme=f"JupyterLab {name}")
        self.page.wait_for_timeout(1000)

    def width(self, pixels: int) -> None:
        self.page.set_viewport_size({"width": pixels, "height": 900})
        self.page.wait_for_timeout(1000)

    def unrun(self) -> list[str]:
        """The code cells that were not executed, folded ones too."""
        return self.page.evaluate(UNRUN)

    def all(self, script: str):
        """What a script finds among all cells."""
        return self.page.locator(".jp-Notebook .jp-Cell").evaluate_all(script)
