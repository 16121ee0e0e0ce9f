"""A causal language model of transformers, by name; and what it says of itself."""

import difflib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import is_offline_mode, try_to_load_from_cache
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from helpers import DEFAULT_MODEL, LARGER_MODEL
from helpers.gpt import momentum
from helpers.support import cache

KNOWN = {  # name: where it comes from; the default comes with set-up, the others from the hub
    DEFAULT_MODEL: "set-up",
    LARGER_MODEL: "KoboldAI/fairseq-dense-1.3B",  # the two models of Dai et al. (2022)
    "fairseq-2.7b": "KoboldAI/fairseq-dense-2.7B",
    "smollm2-1.7b": "HuggingFaceTB/SmolLM2-1.7B",
    "gpt2": "openai-community/gpt2",
}
FLOAT32 = 10  # free bytes a parameter: weights, a packed row and a finetuning in float32 (course.gpu_memory)


@dataclass(frozen=True)
class GPT:
    """A causal language model of transformers with its tokenizer."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    starts: bool = True  # every sequence starts with one BOS, as in the paper's code
    slow: bool = False  # score by whole passes, one for each answer

    @property
    def device(self) -> torch.device:
        return self.network.device

    @property
    def dtype(self) -> torch.dtype:
        return self.network.dtype

    @property
    def context(self) -> int | None:
        """How many tokens the model can read at once; None where its configuration sets no bound, as in BLOOM's."""
        config = self.network.config.get_text_config()
        return getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)

    @property
    def bos(self) -> list[int]:
        """The token that every sequence starts with; empty for a tokenizer without one."""
        start = self.tokenizer.bos_token_id
        return [start] if self.starts and start is not None else []

    @property
    def attention_shape(self) -> tuple[int, int, int]:
        """Layers, query heads a layer, and the width of one head."""
        config = self.network.config
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return config.num_hidden_layers, config.num_attention_heads, width

    def encode(self, text: str) -> list[int]:
        """Token ids of a piece of text, no special token added."""
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def fingerprint(self) -> str:
        """A hash of every bit of every weight: two are equal only if the weights are unchanged."""
        return bits(self.network.parameters())


def bits(tensors: Iterable[Tensor]) -> str:
    """A hash of every bit of every tensor."""
    seen = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        seen.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return seen.hexdigest()


@torch.inference_mode(False)  # weights made under inference mode could never be trained
def load(
    name: str = "auto", device: str = "auto", dtype: str | torch.dtype = "auto", attention: str = "softmax"
) -> GPT:
    """Load a causal language model: a name of `KNOWN`, a folder, or a hub name such as "org/model".

    "auto": on a GPU with room for it the paper's 1.3B model if this machine has it, else the default; float32 on a CPU.
    `attention="momentum"` gives every head an η to learn, from 0 (6.2; only in Llama's family, as the default is).
    Raises ValueError for an unknown name (with the nearest ones), FileNotFoundError if the weights aren't here.
    """
    if attention not in ("softmax", "momentum"):
        raise ValueError(f"There is no attention called {attention!r} for a real GPT. There are: softmax, momentum.")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    name = _choose(device) if name == "auto" else name
    source = source_of(name)
    if dtype == "auto":
        dtype = torch.float32 if _room(device, source) > FLOAT32 else torch.bfloat16
    elif isinstance(dtype, str):
        dtype = getattr(torch, dtype)
    logging.disable_progress_bar()
    tokenizer = pretrained(AutoTokenizer, source)
    network = pretrained(AutoModelForCausalLM, source, dtype=dtype, weights_only=True)
    network.to(device).eval().requires_grad_(False)
    if attention == "momentum":
        momentum.add_momentum(network)
    return GPT(network, tokenizer, name)


def pretrained(kind: type, source: str, **options: object) -> object:
    """A tokenizer, network or configuration; asks the hub only where HF_HUB_OFFLINE=0 allows it.

    Every call says so: transformers reads that variable once, which may have been before the course set it.
    """
    offline = is_offline_mode() or os.environ.get("HF_HUB_OFFLINE") != "0"
    todo = "Set HF_HUB_OFFLINE=0 before Python starts to let it be downloaded" if offline else "Check name and network"
    try:
        return kind.from_pretrained(source, local_files_only=offline, **options)
    except OSError as error:
        raise FileNotFoundError(
            f"{source} is not on this machine, or only in part.\n"
            f"{todo}, or use the course's own model: gpt.load({DEFAULT_MODEL!r})."
        ) from error


def _choose(device: str) -> str:
    """The largest model that needs no download and fits this device in float32, which the value update asks for."""
    source = KNOWN[LARGER_MODEL]
    here = isinstance(try_to_load_from_cache(source, "config.json"), str)
    return LARGER_MODEL if here and device.startswith("cuda") and _room(device, source) > FLOAT32 else DEFAULT_MODEL


def _room(device: str, source: str) -> float:
    """Free bytes on this device for each parameter that the model's configuration asks for."""
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(pretrained(AutoConfig, source))
    return free_memory(device) / network.num_parameters()


def free_memory(device: str) -> float:
    """Free memory in bytes; a CPU always takes float32, for half precision is slower there."""
    return float(torch.cuda.mem_get_info()[0]) if device.startswith("cuda") else float("inf")


def source_of(name: str) -> str:
    """Where the files of a model are: a folder or a hub name."""
    if name == DEFAULT_MODEL:
        here = cache.folder("models", DEFAULT_MODEL)
        if not here.exists():
            raise FileNotFoundError(
                f"The course's model is not here yet ({here}).\nFetch it once (93 MB): python -m helpers setup"
            )
        return str(here)
    if name in KNOWN:
        return KNOWN[name]
    if Path(name).is_dir() or "/" in name:
        return name
    near = difflib.get_close_matches(name.lower(), KNOWN, n=3, cutoff=0.3) or sorted(KNOWN)
    raise ValueError(
        f"There is no model called {name!r}. Nearest: {', '.join(near)}; or give a folder, or a hub name with a slash."
    )


@torch.no_grad()
def complete(model: GPT, prompt: str, tokens: int = 8) -> str:
    """What the model itself goes on with after `prompt`: its first choice, `tokens` times."""
    if not prompt.strip():
        raise ValueError("The prompt is empty: give the model something to go on with.")
    ids = torch.tensor([model.bos + model.encode(prompt)], device=model.device)
    ends = model.tokenizer.eos_token_id
    out = model.network.generate(
        ids, max_new_tokens=tokens, do_sample=False, attention_mask=torch.ones_like(ids), pad_token_id=ends
    )
    return model.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
