"""In a real browser, by `make lab`: notebook 00 as a student meets it, then on a phone; the microscope by keyboard."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import nbformat
import psutil
import pytest
from playwright.sync_api import sync_playwright

from helpers.support import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.real, pytest.mark.notebook]

MICROSCOPE = "from helpers.widgets import microscope, toy_head\nmicroscope({'toy': toy_head()})"

NOTEBOOK = "notebooks/00_start_here.ipynb"
CHROMIUMS = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync")  # what a test's browser does without
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page, also those far below
}
SERVER = {  # an orphan, left by a test that was killed, ends by itself
    "MappingKernelManager": {"cull_idle_timeout": 300, "cull_interval": 30},
    "ServerApp": {"shutdown_no_activity_timeout": 300},
}
DONE = """() => {
  const prompts = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')].map(x => x.innerText);
  return /[0-9]/.test(prompts[0]) && !prompts.some(text => text.includes('*'));
}"""
FAULTS = """cells => cells.flatMap((cell, place) => {
  const all = selector => [...cell.querySelectorAll(selector)], faults = {
    'an error or stderr': all('[data-mime-type$="jupyter.error"], [data-mime-type$="jupyter.stderr"]').length,
    'not executed': cell.matches('.jp-CodeCell') && !/[0-9]/.test(cell.querySelector('.jp-InputPrompt').innerText),
    'an image without alt': all('img').some(x => /^(|image|no description.*)$/i.test(x.alt.trim())),
    'an image that is not seen': all('img').some(x => !x.naturalWidth || !x.offsetWidth || !x.offsetHeight),
    'maths that is not rendered': all('.jp-RenderedMarkdown').some(x => x.innerText.includes('$$')),
    'wider than the page': all('.jp-RenderedMarkdown, .jp-OutputArea-output').concat(cell)
      .some(x => x.scrollWidth > x.clientWidth + 2),
  };
  return Object.keys(faults).filter(name => faults[name]).map(name => `cell ${place}: ${name}`);
})"""
SPILLS = """images => images.filter(image => {
  const seen = image.getBoundingClientRect();
  const room = image.closest('.jp-OutputArea-output, .jp-Cell').getBoundingClientRect();
  return !seen.width || seen.right > Math.min(room.right, window.innerWidth) + 1;
}).map(image => image.alt)"""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: where it is, and the word that lets one in."""

    address: str
    token: str

    def ask(self, path):
        """What the server's API answers."""
        with urllib.request.urlopen(f"{self.address}/api/{path}?token={self.token}", timeout=10) as answer:
            return json.load(answer)


def until(true, seconds, what):
    """Wait for something to become true; it may fail to answer until then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if true():
                return
        except OSError:
            pass
        time.sleep(0.25)
    pytest.fail(f"{what}: not within {seconds} s")


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settle(folder):
    """Private settings, and a copy of the notebook for JupyterLab to save into; the environment that points there."""
    copy, config = folder / "content" / NOTEBOOK, folder / "config" / "jupyter_server_config.json"
    settings = {folder / "settings" / "@jupyterlab" / f"{k}.jupyterlab-settings": v for k, v in SETTINGS.items()}
    settings[config] = SERVER | {"AsyncLargeFileManager": {"root_dir": str(folder / "content")}}
    for path, value in settings.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    copy.parent.mkdir(parents=True)
    shutil.copy(ROOT / NOTEBOOK, copy)
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTERLAB_SETTINGS_DIR": "settings"}
    places |= {"JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    return dict(os.environ) | {name: str(folder / place) for name, place in places.items()}


def end(process):
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


@contextmanager
def make_lab(folder):
    """JupyterLab as `make lab` starts it, without opening a browser; gone when the block ends."""
    environment, port, token = settle(folder), free_port(), secrets.token_hex(16)
    command = [sys.executable, "-m", "helpers", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    server = Lab(f"http://127.0.0.1:{port}", token)
    with (folder / "lab.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            until(lambda: process.poll() is not None or server.ask("status"), 120, "JupyterLab's start")
            assert process.poll() is None, (folder / "lab.log").read_text()[-2000:]
            yield server
        finally:
            end(process)


@pytest.fixture(scope="session")
def chromium():
    """Where Chromium is; CI installs it on the way, elsewhere the test says what is missing."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if not found and os.environ.get("CI") == "true" and shutil.which("apt-get") and os.geteuid() == 0:
        for step in (["update", "-qq"], ["install", "-y", "-qq", "chromium"]):
            subprocess.run(["apt-get", *step], check=True, env=dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"})
        found = shutil.which("chromium")
    if not found:
        pytest.skip("no browser: install Chromium (Debian: apt-get install chromium) or set CHROMIUM to its path")
    return found


@pytest.fixture
def page(chromium):
    """A new page in a new browser."""
    with sync_playwright() as play:
        flags = ["--no-first-run", *(f"--disable-{name}" for name in QUIET)]
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        yield browser.new_page(viewport={"width": 1200, "height": 1000})
        browser.close()


def idle(server):
    """Whether a kernel is connected and idle by the server's own word; the page's indicator says so too early."""
    kernels = [session["kernel"] for session in server.ask("sessions") if session["kernel"]]
    return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)


def open_landing_page(page, server):
    """Follow the server's own address to where it leads, until a notebook is there and its kernel is ready."""
    page.goto(f"{server.address}/?token={server.token}")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=120_000)
    until(lambda: idle(server), 120, "an idle kernel")
    page.wait_for_timeout(2000)


def run_all_cells(page, server):
    """Run > Run All Cells, to the end."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(DONE, timeout=600_000, polling=500)
    until(lambda: idle(server), 60, "an idle kernel after the last cell")
    page.wait_for_timeout(2000)


def on_a_phone(page):
    """The same page at a phone's width, its file browser folded away as one has to there."""
    page.keyboard.press("ControlOrMeta+b")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(2000)
    assert page.locator(".jp-Notebook").bounding_box()["width"] > 195, "the notebook has less than half of the page"


@pytest.mark.timeout(900)
def test_notebook_00_runs_in_a_browser_and_fits_a_phone(page, tmp_path):
    with make_lab(tmp_path) as server:
        assert [entry["path"] for entry in server.ask("contents")["content"]] == ["notebooks"]  # the copy, not ours
        open_landing_page(page, server)
        assert urlsplit(page.url).path.endswith(f"/lab/tree/{NOTEBOOK}")
        run_all_cells(page, server)
        assert page.locator(".jp-Notebook .jp-Cell").evaluate_all(FAULTS) == []
        assert page.locator(".jp-Notebook img").count() > 0
        on_a_phone(page)
        assert page.locator(".jp-Notebook img").evaluate_all(SPILLS) == []


def seen(page):
    """What outputs say and which pictures they have: all are there, with words of their own, and nothing is missing."""
    pictures = page.locator(".jp-OutputArea img:visible")
    pictures.first.wait_for(timeout=60_000)
    page.wait_for_timeout(3000)
    assert pictures.evaluate_all("all => all.every(x => x.complete && x.naturalWidth > 0 && x.alt)")
    assert "not found" not in page.locator("body").inner_text()
    return page.locator(".jp-OutputArea").inner_text(), pictures.evaluate_all("all => all.map(x => x.src)")


@pytest.mark.timeout(300)
def test_the_microscope_moves_by_keyboard_and_stays_a_picture_without_its_kernel(page, tmp_path):
    with make_lab(tmp_path) as server:
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(MICROSCOPE)])
        made.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        nbformat.write(made, tmp_path / "content" / "notebooks" / "microscope.ipynb")
        page.goto(f"{server.address}/lab/tree/notebooks/microscope.ipynb?token={server.token}")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=120_000)
        until(lambda: idle(server), 120, "an idle kernel")
        page.wait_for_timeout(2000)
        run_all_cells(page, server)
        words, first = seen(page)
        assert "6 of 6" in words
        page.get_by_role("slider", name="demonstrations").press("ArrowLeft")
        page.get_by_role("status").filter(has_text="5 of 6").wait_for(timeout=30_000)
        page.get_by_role("radio", name="relaxed").press("ArrowRight")
        page.get_by_role("status").filter(has_text="Softmax attention").wait_for(timeout=30_000)
        assert page.get_by_role("radio", name="softmax", checked=True).count() == 1
        words, moved = seen(page)
        assert "5 of 6" in words
        assert len(moved) == 2 == len(set(moved) - set(first))
        page.keyboard.press("ControlOrMeta+s")
        page.wait_for_timeout(3000)
        page.reload()
        seen(page)  # its kernel still runs
        kernel = server.ask("sessions")[0]["kernel"]["id"]
        address = f"{server.address}/api/kernels/{kernel}/restart?token={server.token}"
        urllib.request.urlopen(urllib.request.Request(address, method="POST"), timeout=60)
        page.reload()
        words, left = seen(page)  # and now it knows nothing of the widget
        assert "demonstrations: 5" in words
        assert "✓ softmax" in words
        assert left == moved
