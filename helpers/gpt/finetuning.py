"""Finetuning: which weights move, one step down a loss, and every bit given back."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.gpt.loading import GPT
from helpers.gpt.watching import Attended, watch

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}

PROJECTIONS = ("k_proj", "v_proj", "c_attn")  # c_attn: GPT-2's fused queries, keys and values


def language_model_loss(model: GPT, ids: list[int]) -> Float[Tensor, ""]:
    """Mean −log p of the tokens `ids` [n], each given all before and one BOS."""
    sequence = torch.tensor([model.bos + ids], device=model.device)
    logits = model.network(sequence).logits[0, :-1].float()
    return nn.functional.cross_entropy(logits, sequence[0, 1:])


def key_and_value_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of all key and value projections, biases too, in layer order."""
    found = {name: p for name, p in network.named_parameters() if any(part in PROJECTIONS for part in name.split("."))}
    if not found:
        raise ValueError(
            f"{type(network).__name__} has no key and value projections known here ({', '.join(PROJECTIONS)})."
        )
    return found


@contextmanager
def restored(weights: Iterable[nn.Parameter]) -> Iterator[None]:
    """Give these weights back to the last bit, whatever happens."""
    saved = [(weight, weight.detach().clone()) for weight in weights]
    try:
        yield
    finally:
        for weight, before in saved:
            weight.data.copy_(before)


@contextmanager
def trainable(network: nn.Module, weights: dict[str, nn.Parameter]) -> Iterator[None]:
    """Let only these weights learn, a fused one's query part not; restore every bit at the end, whatever happens.

    Gradients flow also where they are switched off around it. Raises ValueError under inference mode, which has none.
    """
    if torch.is_inference_mode_enabled() or any(weight.is_inference() for weight in weights.values()):
        raise ValueError(
            "Under torch.inference_mode() there are no gradients: nothing made or used there can be finetuned.\n"
            "Load the model and finetune it outside; torch.no_grad() may stay, or torch.set_grad_enabled(False)."
        )
    everything = dict(network.named_parameters())
    asked = {name: weight.requires_grad for name, weight in everything.items()}
    fused = [weight for name, weight in weights.items() if ".c_attn." in name and len(weights) < len(everything)]
    hooks = []
    with restored(weights.values()), torch.enable_grad():
        try:
            for name, weight in everything.items():
                weight.requires_grad_(name in weights)
            hooks += [weight.register_hook(_without_queries) for weight in fused]
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for name, weight in everything.items():
                weight.grad = None
                weight.requires_grad_(asked[name])


def _without_queries(gradient: Tensor) -> Tensor:
    """GPT-2 keeps queries, keys and values in one weight [e, 3e] and bias [3e]: its first third is the queries'."""
    return torch.cat(
        [torch.zeros_like(gradient[..., : gradient.shape[-1] // 3]), gradient[..., gradient.shape[-1] // 3 :]], dim=-1
    )


def stepper(weights: list[nn.Parameter], optimizer: str, lr: float) -> Callable[[Tensor], None]:
    """A function that takes one step down a loss.

    Half-precision weights are stepped as float32 copies, for a small update would be rounded away, and float16
    gradients are taken of a scaled loss, for they would fall below its smallest number.
    """
    copies = [w if w.dtype.itemsize > 2 else w.detach().float() for w in weights]
    update = OPTIMIZERS[optimizer](copies, lr=lr)
    scale = 1024 if any(w.dtype == torch.float16 for w in weights) else 1

    def step(loss: Float[Tensor, ""]) -> None:
        (loss * scale).backward()
        for weight, copy in zip(weights, copies, strict=True):
            if copy is not weight:
                copy.grad = weight.grad.float() / scale
        update.step()
        for weight, copy in zip(weights, copies, strict=True):
            if copy is not weight:
                weight.data.copy_(copy)
            weight.grad = None

    return step


def watch_training(model: GPT, kept: Float[Tensor, "tokens layers heads d_head"]) -> AbstractContextManager:
    """Fill `kept` with the query vectors of one training example's tokens, without its BOS's."""
    places = range(len(model.bos), len(model.bos) + len(kept))

    def keep(layer: int, attended: Attended) -> None:
        kept[:, layer] = attended.queries.cpu()

    return watch(model, places, keep)
