"""What several tests of the real GPT's machinery start from."""

import pytest
import torch
from tiny import tiny


@pytest.fixture
def folder(tmp_path):
    """A model in a folder."""
    model = tiny("llama", torch.float32)
    model.network.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)
