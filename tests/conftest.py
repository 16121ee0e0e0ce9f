"""Shapes in annotations are checked while the tests run: an annotation that lies fails a test."""

from jaxtyping import install_import_hook

install_import_hook("helpers", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402
from tiny import FAMILIES, tiny  # noqa: E402

from helpers import gpt  # noqa: E402
from helpers.support import cache  # noqa: E402


@pytest.fixture(scope="session")
def real():
    """The course's own GPT, loaded once."""
    return gpt.load()


@pytest.fixture(params=FAMILIES)
def model(request):
    """A tiny random model of each family, in float32."""
    return tiny(request.param, torch.float32)


@pytest.fixture(autouse=True)
def fresh_evaluations(request, tmp_path, monkeypatch):
    """Unit tests never read what an earlier run remembered; notebooks and the real model do."""
    if not request.node.get_closest_marker("real") and not request.node.get_closest_marker("notebook"):
        folder = tmp_path / "evaluations"
        monkeypatch.setattr(cache, "evaluation", lambda key: folder / f"{cache.digest(*key)}.safetensors")
