"""The exercises of notebook 03 on attention: as an update, softmax exactly, the delta rule."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from helpers import dual
from helpers.check.claims import Claim, Mistakes, equals, holds, is_number, is_pair, is_tensor
from helpers.check.engine import Attempt, exercise
from helpers.check.exercises.notebook_02 import draw


def meta_mistakes(values: Tensor, keys: Tensor) -> Mistakes:
    total = values.T @ keys
    return {
        "Divided by the number of tokens: a sum is asked for, not a mean.": lambda: total / len(keys),
        "Divided by √d: relaxed attention has no scale.": lambda: total / keys.shape[1] ** 0.5,
        "The sign: values are added as they are, no loss turns them round.": lambda: -total,
        "Summed too early: multiply each value with its own key, then add.": lambda: torch.outer(
            values.sum(0), keys.sum(0)
        ),
        "Only the last token is left: add the outer products up.": lambda: torch.outer(values[-1], keys[-1]),
        "A softmax is in there: keys enter as they are.": lambda: values.T @ keys.softmax(-1),
    }


@exercise(
    "3.1",
    module=dual,
    may_use=("weight_update",),
    task="Return the update ΔW_ICL [m d] that demonstrations write: values times keys, added up over the tokens.",
    equation="ΔW_ICL = Σ_i (W_V x'_i) ⊗ (W_K x'_i)",
    minutes=10,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "Compare (eq. 3.2) with (eq. 2.1), letter by letter: what stands in the place of e_i, what in that of x_i?",
        "First make all values [n m] and all keys [n d] from the rows of `demos`: for rows, `v = x @ w_v.T`.",
        "Then it is exercise 2.1: a sum over tokens of value ⊗ key is one matrix product, with the n in the middle.",
    ),
    passed="What demonstrations write into attention has the form of a gradient step's update, with values as errors.",
)
def meta_gradient(attempt: Attempt) -> Iterator[Claim]:
    for seed, (n, e, d, m) in enumerate(((5, 4, 3, 2), (3, 5, 2, 4), (1, 4, 2, 3))):
        w_v, w_k, demos = draw((m, e), (d, e), (n, e), seed=seed)
        out = attempt(w_v, w_k, demos)
        shapes = {
            (d, m): "Values and keys have changed places, or it is transposed: a row for each entry of a value.",
            (m, e): "The keys are missing: W_K x'_i, not x'_i itself, stands in the place of inputs.",
            (e, d): "The values are missing: W_V x'_i, not x'_i itself, stands in the place of errors.",
            (e, e): "The projections are missing: values are W_V x'_i, keys W_K x'_i.",
            (n, m, d): "The outer products still have to be added up, over the tokens.",
        }
        yield is_tensor(out, m, d, shapes=shapes)
        values, keys = demos @ w_v.T, demos @ w_k.T
        yield equals(out, values.T @ keys, f"ΔW_ICL of {n} random tokens", meta_mistakes(values, keys))


def relaxed_mistakes(w_v: Tensor, w_k: Tensor, tokens: Tensor, query: Tensor) -> Mistakes:
    """Mistakes in reading tokens with a query, whichever tokens they are."""
    values, scores = (tokens @ w_v.T).T, tokens @ w_k.T @ query
    scale = len(query) ** 0.5
    return {
        "A softmax is still in there: relaxed attention has none.": lambda: values @ scores.softmax(0),
        "This is softmax attention: drop the softmax and the √d.": lambda: values @ (scores / scale).softmax(0),
        "Divided by √d: relaxed attention has no scale.": lambda: values @ scores / scale,
        "Divided by the number of tokens: a sum is asked for, not a mean.": lambda: values @ scores / len(tokens),
    }


@exercise(
    "3.2",
    module=dual,
    may_use=("meta_gradient", "weight_update", "dual_forward", "contributions"),
    task="Split relaxed attention's answer to `query` [m] into what `context` alone gives and what `demos` add.",
    equation="F̃_ICL(q) = W_ZSL q + ΔW_ICL q",
    minutes=15,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "The sentence above (eq. 3.3): from which tokens is W_ZSL made, and by which rule?",
        "Both matrices are made by exercise 3.1's function; only the tokens differ.",
        "Call `meta_gradient` twice, with `context` and with `demos`; each matrix acts on `query`. Zero-shot first.",
    ),
    passed="Relaxed attention over a prompt is what it was without demonstrations, plus an update of its weights.",
)
def icl_decomposition(attempt: Attempt) -> Iterator[Claim]:
    sizes = (5, 3, 6, 4, 2), (2, 6, 3, 4, 5), (3, 1, 5, 2, 4), (1, 2, 5, 4, 3)
    for seed, (n_demos, n, e, d, m) in enumerate(sizes):
        w_v, w_k, demos, context, query = draw((m, e), (d, e), (n_demos, e), (n, e), (d,), seed=seed)
        zsl, icl = dual.icl_decomposition(w_v, w_k, demos, context, query)
        result = attempt(w_v, w_k, demos, context, query)
        yield is_pair(result, "zero_shot", "update")
        zero_shot, update = result
        joint = (torch.cat([demos, context]) @ w_k.T @ query).softmax(0)
        both = "One softmax runs over both texts: relaxed attention has none; its parts know nothing of each other."
        matrix = {(m, d): "This is the matrix: let it act on the query, `@ query`."}
        yield is_tensor(zero_shot, m, name="the zero-shot part", shapes=matrix)
        mistakes = {
            "The two have changed places: zero-shot comes from `context`, the update from `demos`.": icl.clone,
            "Zero-shot sees the demonstrations: it is made of `context` alone.": (zsl + icl).clone,
            both: ((context @ w_v.T).T @ joint[n_demos:]).clone,
        }
        mistakes |= relaxed_mistakes(w_v, w_k, context, query)
        yield equals(zero_shot, zsl, f"W_ZSL q from {n} random tokens of context", mistakes)
        yield is_tensor(update, m, name="the update", shapes=matrix)
        mistakes = {
            "This is the sum: the update is ΔW_ICL q alone.": (zsl + icl).clone,
            "Both parts come from `context`: the update is made of `demos`.": zsl.clone,
            "The sign: the update is what is added to zero-shot.": icl.neg,
            "This is the difference of the two: the update is ΔW_ICL q itself.": (icl - zsl).clone,
            both: ((demos @ w_v.T).T @ joint[:n_demos]).clone,
        }
        mistakes |= relaxed_mistakes(w_v, w_k, demos, query)
        yield equals(update, icl, f"ΔW_ICL q from {n_demos} random demonstration tokens", mistakes)


def softmax_parts(q: Tensor, k: Tensor, v: Tensor, demos: int) -> dict[str, Tensor]:
    """Everything that a right or a wrong split may be made of, by name."""
    raw = k @ q
    scores = raw / len(q) ** 0.5
    weights, unscaled = scores.softmax(0), raw.softmax(0)
    alpha = weights[:demos].sum()
    shown, own = (part.softmax(0) for part in (scores[:demos], scores[demos:]))
    return {
        "alpha": alpha,
        "alpha unscaled": unscaled[:demos].sum(),
        "zero-shot": own @ v[demos:],
        "zero-shot unscaled": raw[demos:].softmax(0) @ v[demos:],
        "zero-shot relaxed": raw[demos:] @ v[demos:],
        "from demos": shown @ v[:demos],
        "from demos unscaled": raw[:demos].softmax(0) @ v[:demos],
        "from demos relaxed": raw[:demos] @ v[:demos],
        "all": weights @ v,
    }


def share_mistakes(part: dict[str, Tensor], demos: int, n: int) -> Mistakes:
    alpha = part["alpha"]
    return {
        "This is the share of the query's own text: α is the demonstrations'.": lambda: 1 - alpha,
        "The scores are divided by √d before the softmax.": lambda: part["alpha unscaled"],
        "Tokens are counted, not weighed: α is the softmax weight on the demonstrations.": lambda: (
            alpha * 0 + demos / n
        ),
        "This is the ratio of the two shares: α is the demonstrations' share of the whole.": lambda: (
            alpha / (1 - alpha)
        ),
        "This is the mean weight of a demonstration: α is their sum.": lambda: alpha / demos,
    }


def half_mistakes(part: dict[str, Tensor], name: str, values: Tensor, share: Tensor) -> Mistakes:
    """Mistakes in one of the two attentions; `share` is its share of the weight."""
    other = {"zero-shot": "from demos", "from demos": "zero-shot"}[name]
    return {
        "It is scaled by its share already: each part is an attention whose own weights sum to 1.": lambda: (
            share * part[name]
        ),
        "The two parts have changed places: `zero_shot`, then `from_demos`.": lambda: part[other],
        "This is attention over all keys: each part sees its own keys only.": lambda: part["all"],
        "The scores are divided by √d in the parts, too.": lambda: part[f"{name} unscaled"],
        "The softmax is missing in the part: it is a softmax attention of its own.": lambda: part[f"{name} relaxed"],
        "This is the plain mean of its values: weigh them by a softmax over the part's own scores.": lambda: (
            values.mean(0)
        ),
    }


@exercise(
    "3.3",
    module=dual,
    task="Split one query's softmax attention over all keys into the demonstrations' share and two attentions.",
    equation="F_ICL = (1 − α) F_ZSL + α μ_D, exactly",
    minutes=15,
    difficulty=3,
    importance=5,
    core=True,
    hints=(
        "Softmax is exp over a sum. The sum has two parts, one over the demonstrations, one over the query's own keys.",
        "α is the softmax weight that falls on the first `demos` keys. Within each part the weights, divided by their "
        "sum, are a softmax over that part's scores alone.",
        "Compute the scores once, `k @ q` over √d. α: softmax of all of them, summed over the first `demos`. "
        "Each part: softmax of its slice of the scores, times its slice of `v`.",
    ),
    passed="Softmax attention with demonstrations is a weighted mean of zero-shot and the demonstrations' own answer.",
)
def softmax_decomposition(attempt: Attempt) -> Iterator[Claim]:
    for seed, (demos, own, d, m) in enumerate(((4, 2, 3, 2), (2, 3, 4, 5), (1, 4, 2, 3), (3, 1, 5, 2))):
        q, k, v = draw((d,), (demos + own, d), (demos + own, m), seed=seed)
        out = attempt(q, k, v, demos)
        three = isinstance(out, tuple) and len(out) == 3
        yield holds(
            three, "the result has three parts", "Three results are asked for, `return alpha, zero_shot, from_demos`."
        )
        part, says = softmax_parts(q, k, v, demos), f"{demos} of {demos + own} random keys"
        alpha, zero_shot, from_demos = out
        yield is_number(alpha, "alpha")
        alpha = torch.as_tensor(alpha, dtype=torch.float64)
        yield equals(alpha, part["alpha"], f"α of {says}", share_mistakes(part, demos, demos + own))
        for given, name, values, share in (
            (zero_shot, "zero-shot", v[demos:], 1 - part["alpha"]),
            (from_demos, "from demos", v[:demos], part["alpha"]),
        ):
            yield is_tensor(given, m, name=f"the part {name}")
            yield equals(given, part[name], f"the part {name} of {says}", half_mistakes(part, name, values, share))


def written(q: Tensor, k: Tensor, v: Tensor, error: Callable, before: bool = False) -> Tensor:
    """What is read from a state to which each token adds error(S, q_t, k_t, v_t) ⊗ k_t."""
    state, outputs = torch.zeros(v.shape[1], k.shape[1], dtype=v.dtype), []
    for q_t, k_t, v_t in zip(q, k, v, strict=True):
        after = state + torch.outer(error(state, q_t, k_t, v_t), k_t)
        outputs.append((state if before else after) @ q_t)
        state = after
    return torch.stack(outputs)


def delta_mistakes(q: Tensor, k: Tensor, v: Tensor, lr: float) -> Mistakes:
    """Every mistake is another error, or another time to read."""
    errors = {
        "The value is written whatever S says: the error is v_t − S k_t.": lambda s, q, k, v: lr * v,
        "This is linear attention: write the error v_t − S k_t, times lr.": lambda s, q, k, v: v,
        "The learning rate is missing.": lambda s, q, k, v: v - s @ k,
        "The learning rate stands before the whole error, not before the value alone.": lambda s, q, k, v: (
            lr * v - s @ k
        ),
        "The learning rate stands before the whole error, not before S k_t alone.": lambda s, q, k, v: v - lr * s @ k,
        "The sign: the error is v_t − S k_t, what is still missing.": lambda s, q, k, v: lr * (s @ k - v),
        "Added, not subtracted: what S says already is taken off the value.": lambda s, q, k, v: lr * (v + s @ k),
        "The error asks S with the query: it is the key's answer, S k_t, that is corrected.": lambda s, q, k, v: (
            lr * (v - s @ q)
        ),
        "A 2 too many: the loss has a ½, so that its gradient has none.": lambda s, q, k, v: 2 * lr * (v - s @ k),
        "Divided by ‖k‖²: the rule takes keys as they are.": lambda s, q, k, v: lr * (v - s @ k) / (k @ k),
    }
    made = {says: (lambda error=error: written(q, k, v, error)) for says, error in errors.items()}
    early = "Token t reads before it has written: o_t = S_t q_t, after the step."
    late = "Every token reads the last state: o_t = S_t q_t, the state as it was at t."
    asked = "The state is read with the keys: o_t = S_t q_t."
    right = errors["The learning rate is missing."]
    step = lambda s, q, k, v: lr * right(s, q, k, v)  # noqa: E731
    last = lambda: torch.stack([written(x.expand_as(k), k, v, step)[-1] for x in q])  # noqa: E731
    return made | {
        early: lambda: written(q, k, v, step, before=True),
        late: last,
        asked: lambda: written(k, k, v, step),
    }


@exercise(
    "3.4",
    module=dual,
    may_use=("gradient_step", "weight_update"),
    task="Write and read a state by the delta rule: each token corrects what the state says to its key.",
    equation="S_t = S_{t−1} + lr (v_t − S_{t−1} k_t) ⊗ k_t, o_t = S_t q_t",
    minutes=15,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "Start from exercise 1.3, the recurrence: one line of it changes.",
        "Before a token writes, ask the state what it says to this key. Write only what is missing, times lr.",
        "In the loop: first the error [m], lr times what `v[t]` is ahead of the state's answer to `k[t]`. Its outer "
        "product with the key goes into the state, in the place of the value's. Then read with `q[t]`, as before.",
    ),
    passed="One gradient step a token: what is written is an error, the difference between a value and S's answer.",
)
def delta_rule(attempt: Attempt) -> Iterator[Claim]:
    for seed, (n, d, m, lr) in enumerate(((5, 3, 2, 0.3), (4, 2, 4, 0.7), (1, 3, 2, 0.5))):
        q, k, v = draw((n, d), (n, d), (n, m), seed=seed)
        out = attempt(q, k, v, lr)
        yield is_tensor(out, n, m, shapes={(m, d): "This is the state: what it answers to every query is asked for."})
        says = f"the delta rule at rate {lr} on {n} random token{'s' * (n > 1)}"
        yield equals(out, dual.delta_rule(q, k, v, lr), says, delta_mistakes(q, k, v, lr))
