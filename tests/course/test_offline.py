"""With the cache present and a network namespace that is really empty: doctor, JupyterLab, kernels, notebook 00."""

import json
import os
import socket
import subprocess
import sys
import textwrap

import pytest
from no_network import refused, without_network

from helpers.course import setup
from helpers.support import ROOT


@pytest.fixture(scope="module")
def alone():
    """A function that runs Python with these arguments where there is no network, and returns what came of it."""
    reason = refused()
    if reason:
        pytest.skip(reason)

    def run(*arguments, **environment):
        inside = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | environment
        command = without_network(sys.executable, *arguments)
        return subprocess.run(command, cwd=ROOT, env=inside, capture_output=True, text=True, timeout=600)

    return run


REACHED = textwrap.dedent("""
    import errno, json, socket, sys
    def trouble(address, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            probe.settimeout(5)
            return errno.errorcode.get(probe.connect_ex(address))
    with socket.create_server(("127.0.0.1", 0)) as own:
        loopback = trouble(own.getsockname())
    addresses = [("192.0.2.1", 443), ("8.8.8.8", 53), ("1.1.1.1", 443), ("10.0.0.1", 80), ("169.254.1.1", 80)]
    print(json.dumps({
        "interfaces": [name for _, name in socket.if_nameindex()],
        "loopback": loopback,
        "outside": sorted({trouble(a, kind=k) for a in addresses for k in (socket.SOCK_STREAM, socket.SOCK_DGRAM)}),
        "outside, version 6": trouble(("2001:db8::1", 443), socket.AF_INET6),
        "the test's own server": trouble(("127.0.0.1", int(sys.argv[1]))),
    }))
""")


def test_there_is_really_no_network(alone):
    """No address answers, not even this test's own server, which does answer where the test runs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        done = alone("-c", REACHED, str(port))
    assert json.loads(done.stdout or "null") == {
        "interfaces": ["lo"],
        "loopback": None,
        "outside": ["ENETUNREACH"],
        "outside, version 6": "ENETUNREACH",
        "the test's own server": "ECONNREFUSED",
    }, done.stderr


def test_the_doctor_finds_everything(alone):
    done = alone("-m", "helpers", "doctor")
    assert (done.returncode, "STOP" in done.stdout) == (0, False), done.stdout + done.stderr


LAB = textwrap.dedent("""
    import os, re, signal, subprocess, sys, time, urllib.request
    def page(address, tries=240):
        try:
            return urllib.request.urlopen(address, timeout=60)
        except OSError:  # the server tells its address before it listens there
            if not tries:
                raise
        time.sleep(0.25)
        return page(address, tries - 1)
    command = [sys.executable, "-m", "helpers", "lab", "--no-browser", "--ip=127.0.0.1"]
    lab = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        log = []
        for line in lab.stderr:
            log.append(line)
            if found := re.search(r"http://127\\.0\\.0\\.1:\\d+(/\\S*)[?]token=\\w+", line):
                with page(found[0]) as answer:
                    print(found[1], answer.status, "jupyter-config-data" in answer.read().decode())
                break
        else:
            sys.exit("".join(log))
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
""")


def test_jupyterlab_starts_and_answers(alone, tmp_path):
    """By the same verb as `make lab`."""
    if not setup.ready():
        pytest.skip("set-up has not ended here, so `make lab` would begin with it")
    folders = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "RUNTIME", "DATA")}
    done = alone("-c", LAB, **folders, JUPYTERLAB_WORKSPACES_DIR=str(tmp_path / "workspaces"))
    assert done.stdout.splitlines()[-1:] == ["/lab/tree/notebooks/00_start_here.ipynb 200 True"], done.stderr


CELL = textwrap.dedent("""
    import nbformat
    from nbclient import NotebookClient
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(6 * 7)")])
    print(NotebookClient(made, timeout=300, kernel_name="python3").execute().cells[0].outputs[0].text)
""")


def test_a_kernel_runs(alone):
    done = alone("-c", CELL)
    assert done.stdout.split() == ["42"], done.stderr


FIRST = textwrap.dedent("""
    from helpers.course import build
    build.execute(build.notebook(build.sources(["00"])[0], solved=True))
    print("executed")
""")


@pytest.mark.real
@pytest.mark.notebook
def test_notebook_00_runs(alone):
    done = alone("-c", FIRST)
    assert done.stdout.split() == ["executed"], done.stderr[-3000:]
