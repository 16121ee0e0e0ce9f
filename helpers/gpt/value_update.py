"""What finetuning writes into every value projection, exactly: the dual form on a real GPT."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from helpers.gpt.finetuning import key_and_value_weights, language_model_loss, stepper, trainable
from helpers.gpt.loading import GPT
from helpers.gpt.watching import Attended, watch


@dataclass(frozen=True)
class ValueUpdate:
    """What finetuning wrote into every value projection, exactly: W_after − W_before = Σ errors_i ⊗ inputs_i."""

    errors: Float[Tensor, "tokens layers m"]  # −lr × the loss's gradient at the projection's output, token by token
    inputs: Float[Tensor, "tokens layers e"]
    own: Bool[Tensor, " tokens"]  # a demonstration's own token, not the BOS before it
    change: Float[Tensor, "layers m e"]  # W_after − W_before
    attended: Float[Tensor, "n layers heads e"]  # Σ_j a_j x_j over the query's tokens, by the finetuned attention a

    def attention(self) -> Float[Tensor, "n layers heads tokens"]:
        """(eq. 4.8): what finetuning makes each head attend to: x_i · Σ_j a_j x_j for every training token i.

        Its attention pattern held fixed, a finetuned head's output changes by ΔW Σ_j a_j x_j, which is the sum of the
        errors under these weights: linear attention to the training tokens, nothing relaxed.
        """
        layers = range(self.inputs.shape[1])
        return torch.stack([self.attended[:, i] @ self.inputs[:, i].T for i in layers], 1)


def compute(model: GPT, demos: list[list[int]], prompts: list[list[int]], lr: float) -> dict[str, Tensor]:
    """The fields of a `ValueUpdate`, from token ids: finetune on the demonstrations, then read the prompts."""
    weights = key_and_value_weights(model.network)
    values = [module for name, module in model.network.named_modules() if name.endswith("v_proj")]
    if not values:
        raise ValueError(f"{type(model.network).__name__} keeps values and keys in one weight: no value projection.")
    before = [module.weight.detach().clone() for module in values]
    lengths = [len(model.bos) + len(demo) for demo in demos]
    errors, inputs = (torch.zeros(sum(lengths), len(values), width, dtype=model.dtype) for width in before[0].shape)
    with trainable(model.network, weights):
        step = stepper(list(weights.values()), "sgd", lr)
        for demo, its_inputs, its_errors in zip(demos, inputs.split(lengths), errors.split(lengths), strict=True):
            with _inputs_and_gradients(values) as (x, gradients):
                step(language_model_loss(model, demo))
            its_inputs.copy_(torch.stack(x, 1).cpu())
            its_errors.copy_(-lr * torch.stack(gradients, 1).cpu())
        change = torch.stack([(m.weight - w).detach() for m, w in zip(values, before, strict=True)])
        attended = torch.stack([_attended_inputs(model, ids, values) for ids in prompts])
    own = torch.cat([torch.arange(length) >= len(model.bos) for length in lengths])
    return {"errors": errors, "inputs": inputs, "own": own, "change": change.cpu(), "attended": attended}


@contextmanager
def _inputs_and_gradients(modules: list[nn.Module]) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """The inputs [n e] of these modules during a pass, and after `backward` the gradients [n m] at their outputs."""
    inputs, gradients = [torch.empty(0)] * len(modules), [torch.empty(0)] * len(modules)

    def keep(place: int, x: Tensor, out: Tensor) -> None:
        inputs[place] = x[0].detach()
        if out.requires_grad:
            out.register_hook(lambda gradient: gradients.__setitem__(place, gradient[0]))

    hooks = [m.register_forward_hook(lambda _, x, out, place=i: keep(place, x[0], out)) for i, m in enumerate(modules)]
    try:
        yield inputs, gradients
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _attended_inputs(model: GPT, ids: list[int], values: list[nn.Module]) -> Float[Tensor, "layers heads e"]:
    """What the last token's heads gather of the value projections' inputs: Σ_j a_j x_j."""
    patterns = [torch.empty(0)] * len(values)

    def keep(layer: int, attended: Attended) -> None:
        patterns[layer] = attended.scores[:, 0].softmax(-1)

    last = [len(ids) - 1]
    with watch(model, last, keep), _inputs_and_gradients(values) as (inputs, _):
        model.network.base_model(torch.tensor([ids], device=model.device))
    return torch.stack([pattern.to(x.dtype) @ x for pattern, x in zip(patterns, inputs, strict=True)]).cpu()
