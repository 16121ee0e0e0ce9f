"""The dual form: a layer trained by gradient descent is its first weights plus attention to its training examples.

And back: attention to demonstrations is a layer whose weights they have updated. Irie et al. (2202.05798) after
Aizerman et al. (1964); Dai et al. (2212.10559), equations 7 to 12. Notation as in `helpers/attention.py`.
"""

from typing import Annotated

import torch
from annotated_types import Ge, Interval, doc
from jaxtyping import Float
from torch import Tensor

from helpers.support.shapes import checked

Inputs = Float[Tensor, "*batch n d"]
Errors = Targets = Float[Tensor, "*batch n m"]
Weights = Float[Tensor, "*batch m d"]
Input = Float[Tensor, "*batch d"]
Output = Float[Tensor, "*batch m"]
Rate = Annotated[float | int, Ge(0), doc("it says how far to go against the gradient")]


@checked
def weight_update(errors: Errors, inputs: Inputs) -> Weights:
    """(eq. 2.1): ΔW = Σ e_i ⊗ x_i."""
    return errors.mT @ inputs


@checked
def gradient_step(w: Weights, inputs: Inputs, targets: Targets, lr: Rate) -> tuple[Errors, Weights]:
    """(eq. 2.2): one step on ½ Σ ‖W x_i − y_i‖², a sum: errors e_i = lr (y_i − W x_i), and W + Σ e_i ⊗ x_i."""
    errors = lr * (targets - inputs @ w.mT)
    return errors, w + weight_update(errors, inputs)


@checked
def dual_forward(w0: Weights, errors: Errors, inputs: Inputs, x: Input) -> Output:
    """(eq. 2.3): W₀x + Σ e_i (x_i·x), attention from x to the training inputs; ΔW is never formed."""
    return (w0 @ x[..., None])[..., 0] + contributions(errors, inputs, x).sum(-2)


@checked
def unrolled_training(
    w0: Weights, inputs: Inputs, targets: Targets, lr: Rate, steps: Annotated[int, Ge(1)]
) -> tuple[Float[Tensor, "*batch steps_n m"], Float[Tensor, "*batch steps_n d"]]:
    """(eq. 2.4): errors and inputs of full-batch steps (eq. 2.2); `dual_forward` of them is the last step's layer."""
    errors, w = [], w0
    for _ in range(steps):
        step, w = gradient_step(w, inputs, targets, lr)
        errors.append(step)
    return torch.cat(errors, -2), torch.cat([inputs] * steps, -2)


@checked
def contributions(errors: Errors, inputs: Inputs, x: Input) -> Errors:
    """(eq. 2.5): e_i (x_i·x), each training example's share of the prediction's change from W₀x."""
    return errors * (inputs @ x[..., None])


@checked
def trained(
    w0: Weights,
    inputs: Inputs,
    targets: Targets,
    lr: Rate,
    steps: Annotated[int, Ge(0)],
    momentum: Annotated[float | int, Interval(ge=0, lt=1), doc("at 1 nothing is ever forgotten")] = 0.0,
    batch: Annotated[int, Ge(1)] | None = None,
    seed: int = 0,
) -> tuple[Errors, Weights]:
    """(eq. 2.6): descent in its dual form: each example's error signals, added up over all steps, and the layer.

    `batch` examples a step, drawn anew each time: the others' errors are 0. `momentum` β adds β of the last change of
    every error to the next. Raises ValueError where the rate makes the errors grow beyond all numbers.
    """
    errors, velocity, w = torch.zeros_like(targets), torch.zeros_like(targets), w0
    rng = torch.Generator().manual_seed(seed)
    for step in range(steps):
        now = gradient_step(w, inputs, targets, lr)[0]
        if batch is not None:
            others = torch.randperm(now.shape[-2], generator=rng)[batch:]
            now = now.index_fill(-2, others, 0)
        velocity = momentum * velocity + now
        errors = errors + velocity
        w = w0 + weight_update(errors, inputs)
        if not w.isfinite().all():
            stable = largest_rate(inputs).min().item()
            raise ValueError(
                f"trained: after {step + 1} steps the weights are no numbers any more. lr = {lr:.3g} is too high: "
                f"plain steps overshoot from {stable:.3g} on (`largest_rate`), minibatches with momentum sooner."
            )
    return errors, w


@checked
def largest_rate(inputs: Inputs) -> Float[Tensor, "*batch"]:
    """2 / λ_max(Σ x_i ⊗ x_i): with a larger lr each step (eq. 2.2) makes some error larger; inf if all inputs are 0."""
    return 2 / torch.linalg.matrix_norm(inputs, 2) ** 2


@checked
def meta_gradient(w_v: Float[Tensor, "m e"], w_k: Float[Tensor, "d e"], demos: Float[Tensor, "*batch n e"]) -> Weights:
    """(eq. 3.2): ΔW_ICL = Σ W_V x'_i ⊗ W_K x'_i, values in the place of errors, keys in that of inputs."""
    return weight_update(demos @ w_v.mT, demos @ w_k.mT)


@checked
def icl_decomposition(
    w_v: Float[Tensor, "m e"],
    w_k: Float[Tensor, "d e"],
    demos: Float[Tensor, "*batch n_demos e"],
    context: Float[Tensor, "*batch n e"],
    query: Input,
) -> tuple[Output, Output]:
    """(eq. 3.3): the two parts of relaxed attention over demonstrations and the query's own text: W_ZSL q, ΔW_ICL q."""
    parts = meta_gradient(w_v, w_k, context), meta_gradient(w_v, w_k, demos)
    return tuple((part @ query[..., None])[..., 0] for part in parts)


@checked
def softmax_decomposition(
    q: Input, k: Float[Tensor, "*batch n d"], v: Float[Tensor, "*batch n m"], demos: Annotated[int, Ge(1)]
) -> tuple[Float[Tensor, "*batch"], Output, Output]:
    """(eq. 3.4): softmax attention of one query is (1 − α) F_ZSL + α μ_D exactly: α, F_ZSL, μ_D.

    The first `demos` of n keys are the demonstrations'; α is their share of the softmax weight, and each part is a
    softmax attention of its own. Raises ValueError where no key is left for the query's own text.
    """
    if demos >= k.shape[-2]:
        raise ValueError(f"softmax_decomposition: demos is {demos} of {k.shape[-2]} keys; the query's own need one.")
    scores = (k @ q[..., None])[..., 0] / q.shape[-1] ** 0.5
    sizes = (demos, k.shape[-2] - demos)
    parts = list(zip(scores.split(sizes, -1), v.split(sizes, -2), strict=True))
    from_demos, zero_shot = ((part.softmax(-1)[..., None, :] @ values)[..., 0, :] for part, values in parts)
    shown, own = (part.logsumexp(-1) for part, _ in parts)
    return (shown - own).sigmoid(), zero_shot, from_demos


@checked
def delta_rule(
    q: Float[Tensor, "*batch n d"], k: Float[Tensor, "*batch n d"], v: Float[Tensor, "*batch n m"], lr: Rate
) -> Float[Tensor, "*batch n m"]:
    """(eq. 3.5): S_t = S_{t−1} + lr (v_t − S_{t−1} k_t) ⊗ k_t, o_t = S_t q_t: a step (eq. 2.2) a token, from S₀ = 0.

    Schlag et al. (2102.11174) after Widrow and Hoff (1960): here what is written is an error, not the value.
    """
    state, outputs = q.new_zeros(*q.shape[:-2], v.shape[-1], q.shape[-1]), []
    for q_t, k_t, v_t in zip(*(x.split(1, -2) for x in (q, k, v)), strict=True):
        state = gradient_step(state, k_t, v_t, lr)[1]
        outputs.append(q_t @ state.mT)
    return torch.cat(outputs, -2) if q.shape[-2] else torch.zeros_like(v)


@checked
def rank_one_patch(w: Weights, before: Input, after: Input) -> Weights:
    """(eq. 3.8): ΔW = W (after − before) ⊗ before / ‖before‖²: (W + ΔW) before = W after (Dherin et al. 2507.16003).

    Raises ValueError where `before` is 0.
    """
    length = before.square().sum(-1, keepdim=True)
    if not length.all():
        raise ValueError("rank_one_patch: before is 0, which every layer maps to 0: no change of weights moves it.")
    moved = (w @ (after - before)[..., None])[..., 0]
    return moved[..., :, None] * (before / length)[..., None, :]
