"""A model by name: no hub unless allowed, sizes from configurations, weights that can learn."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch

from helpers import gpt
from helpers.gpt import loading
from helpers.support import ROOT


@pytest.fixture
def hub():
    """A hub on this machine that has nothing, and notes who asked."""
    asked = []

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    Thread(target=server.serve_forever, daemon=True).start()
    server.asked = asked
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("allowed", [None, "1", "0"])
@pytest.mark.parametrize("first", ["import transformers", "import helpers"])
def test_the_hub_is_asked_only_where_it_is_allowed(hub, tmp_path, first, allowed):
    """Whatever is imported first: transformers reads the environment when it is imported."""
    code = f"{first}; from helpers import gpt; gpt.load('gpt2')"
    inside = os.environ | {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path)}
    inside = {name: value for name, value in inside.items() if name != "HF_HUB_OFFLINE"}
    inside |= {"HF_HUB_OFFLINE": allowed} if allowed else {}
    done = subprocess.run([sys.executable, "-c", code], env=inside, cwd=ROOT, capture_output=True, text=True)
    message = "\n".join(done.stderr.splitlines()[-2:])
    assert message.startswith("FileNotFoundError: openai-community/gpt2 is not on this machine"), done.stderr
    assert bool(hub.asked) == (allowed == "0")
    assert ("Set HF_HUB_OFFLINE=0 before Python starts" in message) == (allowed != "0")
    assert "gpt.load('smollm2-135m')" in message


@pytest.mark.parametrize(("each", "dtype"), [(11, torch.float32), (9, torch.bfloat16)])
def test_the_dtype_is_chosen_by_the_model_s_own_size(folder, monkeypatch, each, dtype):
    """The room that a device has, for a model of any name."""
    size = gpt.load(folder).network.num_parameters()
    monkeypatch.setattr(loading, "free_memory", lambda device: each * size)
    assert gpt.load(folder).dtype == dtype


@pytest.mark.parametrize("attention", ["softmax", "momentum"])
def test_a_model_loaded_in_inference_mode_can_learn(folder, attention):
    with torch.inference_mode():
        model = gpt.load(folder, attention=attention)
    assert not any(weight.is_inference() for weight in model.network.parameters())
    with gpt.trainable(model.network, dict(model.network.named_parameters())):
        gpt.language_model_loss(model, model.encode("abc")).backward()
