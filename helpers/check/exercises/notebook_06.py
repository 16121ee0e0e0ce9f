"""The exercises of notebook 06: momentum as a buffer, in attention, as a running sum, and where the steps are."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from helpers import attention, dual, regression
from helpers.check import seeds
from helpers.check.claims import EXACT, Claim, Mistakes, close, equals, holds, is_number, is_tensor
from helpers.check.engine import Attempt, exercise
from helpers.check.exercises.notebook_01 import draw, masked, softmax_mistakes
from helpers.support.typeset import number

SIZES = ((5, 3, 2, 0.6), (6, 2, 4, 0.9), (1, 3, 2, 0.5))  # tokens, width, value width, η: one token alone has no past
ZERO = "with η = 0 (0 to a negative power is inf, and 0 · inf is nan) the result"


def weighed(x: Tensor, weight: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Σ_i weight(t, i) x_i for every t."""
    t = torch.arange(len(x), dtype=x.dtype)
    return weight(t[:, None], t).to(x.dtype) @ x


def in_float64(out: Tensor, expected: Tensor) -> Claim:
    """What is right to float32's seven digits says where they came from."""
    nearly = close(out, expected, 1e-6) and not close(out, expected, EXACT)
    off = number((out - expected).abs().max().item(), ".0e")
    why = (
        f"Nearly: off by {off}, as float32 is. A number to the power of whole numbers, "
        "`eta ** torch.arange(n)`, is float32: make the exponents float64, `torch.arange(n, dtype=v.dtype)`."
    )
    return holds(not nearly, "powers of η are computed in float64", why)


def buffer_mistakes(g: Tensor, eta: float) -> Mistakes:
    u = attention.momentum_gradients(g, eta)
    return {
        "The gradient is weighed with 1 − η, as in an average: it enters whole.": lambda: (1 - eta) * u,
        "This is an average that starts with g_1 and weighs the others with 1 − η: gradients enter whole.": lambda: (
            weighed(g, lambda t, i: (i <= t) * eta ** (t - i) * (1 - eta * (i > 0)))
        ),
        "Divided by the sum of the weights, as Adam does: nothing is normalised here.": lambda: (
            u / weighed(torch.ones_like(g), lambda t, i: (i <= t) * eta ** (t - i))
        ),
        "η stands at the gradient: it belongs to the buffer, g_t + η u_(t−1).": lambda: eta * g.cumsum(0),
        "η multiplies the gradient too: only the old buffer fades, g_t + η u_(t−1).": lambda: eta * u,
        "This is Nesterov's g_t + η u_t: the buffer itself is asked for.": lambda: g + eta * u,
        "Only the gradient just before is remembered: add η times the last buffer, not the last gradient.": lambda: (
            weighed(g, lambda t, i: (i == t) + eta * (i == t - 1))
        ),
        "These are the gradients as they came: is the buffer set to zero in every step, or never read?": lambda: g,
        "Nothing fades: η is missing before u_(t−1).": lambda: g.cumsum(0),
        "The step's own gradient is missing: this is η u_(t−1) alone.": lambda: u - g,
        "Each buffer is kept before its gradient is in it: first u = g + η u, then keep it.": lambda: (u - g) / eta,
        "Time runs backwards: u_t gathers gradients up to t, not from t on.": lambda: weighed(
            g, lambda t, i: (i >= t) * eta ** abs(t - i)
        ),
        "The powers count from the first gradient: the exponent is the age, t − i.": lambda: weighed(
            g, lambda t, i: (i <= t) * eta**i
        ),
        "The sign: the buffer gathers the gradients as they are; a step goes against it later.": lambda: -u,
        "The old buffer is subtracted: g_t + η u_(t−1).": lambda: weighed(g, lambda t, i: (i <= t) * (-eta) ** (t - i)),
    }


@exercise(
    "6.1",
    module=attention,
    task="Return the running buffer after every step [n d]: the step's gradient plus η times the buffer before.",
    equation="u_t = g_t + η u_{t−1}, u_0 = 0",
    minutes=10,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "The rule (eq. 6.1) needs two things at step t: the gradient g_t, and the buffer of the step before.",
        "Loop over the rows of `gradients`, with a buffer of zeros [d] in front. Every step replaces the buffer.",
        "Keep every buffer in a list, after its gradient is in it; `torch.stack` makes [n d] of the list.",
    ),
    passed="A gradient goes on working after its step, a little less each time: Σ_(i≤t) η^(t−i) g_i.",
)
def momentum_gradients(attempt: Attempt) -> Iterator[Claim]:
    for n, d, _, eta in SIZES:
        gradients = draw(n, d, 2)[0]
        out, expected = attempt(gradients, eta), attention.momentum_gradients(gradients, eta)
        yield is_tensor(out, n, d, shapes={(d,): "Only the last buffer is returned: keep one for each step."})
        yield in_float64(out, expected)
        says = f"u_t = g_t + η u_(t−1) for {n} random gradient{'s' * (n > 1)}, η = {eta}"
        yield equals(out, expected, says, buffer_mistakes(gradients, eta))
    out = attempt(gradients := draw(5, 3, 2, seed=1)[0], 0.0)
    yield is_tensor(out, 5, 3, name=ZERO)
    yield equals(out, gradients, "with η = 0 the gradients themselves")


def sum_mistakes(v: Tensor, eta: float) -> Mistakes:
    """Mistakes in Σ_{i<t} η^{t−i} v_i."""
    right = attention.momentum_scan(v, eta)
    return {
        "Its own value is in the sum, with η⁰ = 1: only earlier ones belong there, i < t.": lambda: right + v,
        "Its own value is in the sum, with η: first keep the sum, then take the value into it.": lambda: (
            eta * (right + v)
        ),
        "The exponents are one too low: the value just before weighs η, not 1.": lambda: right / eta,
        "The exponents are one too high: the value just before weighs η, not η².": lambda: right * eta,
        "The sum is weighed with 1 − η, as in an average: values enter whole.": lambda: (1 - eta) * right,
        "The sum is divided by its weights' sum: it is no average.": lambda: weighed(
            v, lambda t, i: ((i < t) * eta ** (t - i)) / ((i < t) * eta ** (t - i)).sum(-1, keepdim=True).clamp(1e-9)
        ),
        "The ages are the wrong way round: the value just before weighs η, the first η^(t−1).": lambda: weighed(
            v, lambda t, i: (i < t) * eta ** (i + 1)
        ),
        "The powers count from the first token: the exponent is the age, t − i.": lambda: weighed(
            v, lambda t, i: (i < t) * eta**i
        ),
        "Nothing fades: η is missing.": lambda: v.cumsum(0) - v,
        "Only the value just before is in the sum: all earlier ones belong there.": lambda: weighed(
            v, lambda t, i: eta * (i == t - 1)
        ),
        "The sum has no mask: values of later tokens are in it.": lambda: weighed(
            v, lambda t, i: (i != t) * eta ** abs(t - i)
        ),
        "Time runs backwards: the sum is over i < t, not over i > t.": lambda: weighed(
            v, lambda t, i: (i > t) * eta ** abs(t - i)
        ),
    }


def attention_mistakes(q: Tensor, k: Tensor, v: Tensor, eta: float) -> Mistakes:
    plain, momentum = attention.softmax_attention(q, k, v), attention.momentum_scan(v, eta)
    weights = masked(q @ k.T / q.shape[1] ** 0.5).softmax(-1)
    return {
        "The momentum is missing: this is softmax attention alone.": lambda: plain,
        "Softmax attention is missing: this is the momentum alone.": lambda: momentum,
        "The momentum is subtracted: it is added.": lambda: plain - momentum,
        "It is the outputs that are summed: the momentum is one of the values v_i.": lambda: (
            attention.momentum_gradients(plain, eta)
        ),
        "The momentum is in the values that the softmax weighs: it stands beside softmax attention.": lambda: (
            attention.softmax_attention(q, k, v + momentum)
        ),
        "The momentum is in the keys: it is a sum of values, beside softmax attention.": lambda: (
            attention.softmax_attention(q, attention.momentum_gradients(k, eta), v)
        ),
        "The powers are among the softmax's weights, divided by the sum of all: add them as they are.": lambda: weighed(
            v,
            lambda t, i: (weights + (i < t) * eta ** (t - i)) / (1 + ((i < t) * eta ** (t - i)).sum(-1, keepdim=True)),
        ),
        **{what: lambda wrong=wrong: plain + wrong() for what, wrong in sum_mistakes(v, eta).items()},
        **{what: lambda wrong=wrong: wrong() + momentum for what, wrong in softmax_mistakes(q, k, v).items()},
    }


@exercise(
    "6.2",
    module=attention,
    may_use=("softmax_attention",),
    task="Return softmax attention plus momentum [n m]: each earlier value, times η to the power of its age, is added.",
    equation="o_t = Σ_{i≤t} v_i softmax_i(k_i·q_t / √d) + Σ_{i<t} η^{t−i} v_i",
    minutes=15,
    difficulty=3,
    importance=5,
    core=True,
    hints=(
        "The first sum of (eq. 6.2) is exercise 1.1. In the second no query and no key appears.",
        "The second sum is a table [n n] times the values: in row t, column i stands η^(t−i) where i < t, else 0.",
        "All ages t − i: `t = torch.arange(n, dtype=v.dtype)`, as a column minus as a row; `torch.where` for zeros.",
    ),
    passed="Beside what attention picks, every token gets all values before it, whatever they say, fading with age.",
)
def momentum_attention(attempt: Attempt) -> Iterator[Claim]:
    for n, d, m, eta in SIZES:
        q, k, v = draw(n, d, m)
        out, expected = attempt(q, k, v, eta), attention.momentum_attention(q, k, v, eta)
        yield is_tensor(out, n, m)
        yield in_float64(out, expected)
        says = f"softmax attention + Σ_(i<t) η^(t−i) v_i of {n} random token{'s' * (n > 1)}, η = {eta}"
        yield equals(out, expected, says, attention_mistakes(q, k, v, eta))
    q, k, v = draw(5, 3, 2, seed=1)
    out = attempt(q, k, v, 0.0)
    yield is_tensor(out, 5, 2, name=ZERO)
    yield equals(out, attention.softmax_attention(q, k, v), "with η = 0 softmax attention alone")


@exercise(
    "6.3",
    module=attention,
    task="Return the momentum of every token [n m] in one pass over the values, without a table.",
    equation="m_t = η (m_{t−1} + v_{t−1}) = Σ_{i<t} η^{t−i} v_i",
    minutes=15,
    difficulty=3,
    importance=4,
    core=False,
    hints=(
        "Look at (eq. 6.3): what does m_t need of all that came before?",
        "One running sum [m] is enough, zeros at first: what a token finds, plus its own value, fades once.",
        "In a loop over the values: first keep the sum for this token, then take the value in and multiply by η.",
    ),
    passed="One running sum does the work of the n × n table: nothing that came before is looked at again.",
)
def momentum_scan(attempt: Attempt) -> Iterator[Claim]:
    for n, _, m, eta in SIZES[:2]:
        v = draw(n, 3, m)[2]
        out, expected = attempt(v, eta), attention.momentum_scan(v, eta)
        yield is_tensor(out, n, m, shapes={(m,): "Only the last sum is returned: keep one for each token."})
        yield in_float64(out, expected)
        yield equals(out, expected, f"Σ_(i<t) η^(t−i) v_i of {n} random tokens, η = {eta}", sum_mistakes(v, eta))
    for n, eta, name in ((1, 0.5, "for one token alone the result"), (5, 0.0, ZERO)):
        out = attempt(v := draw(n, 3, 2)[2], eta)
        yield is_tensor(out, n, 2, name=name)
        nothing = bool((out.abs() <= EXACT * v.abs().max()).all())
        yield holds(nothing, "0 where nothing is left over", f"With η = {eta} and n = {n} every sum is 0; this is not.")
    for n, measure in ((16, "operations"), (96, "made")):  # a loop in a loop shows early, before it takes seconds
        work = []
        for tokens in (n, 2 * n):
            v = draw(tokens, 3, 2)[2]
            out = attempt(v, 0.01)
            work.append(getattr(attempt, measure))
        more = work[1] / max(work[0], 1)
        again = f"Twice the tokens make {more:.1f} times the work: earlier values are looked at again. Carry one sum."
        yield holds(more < 3, "the work grows as the number of tokens", again)
    n, name = len(v), f"with η = 0.01 and {len(v)} tokens (a division by η^t overflows: carry a sum) the result"
    yield is_tensor(out, n, 2, name=name)
    yield equals(out, attention.momentum_scan(v, 0.01), f"the same sums for {n} tokens, η = 0.01")


Move = Callable[[Tensor, Tensor], Tensor]  # from w_t and w_(t−1) to w_(t+1)


def ball_mistakes(inputs: Tensor, targets: Tensor, x: Tensor, lr: float, beta: float, layers: int) -> Mistakes:
    def step(w: Tensor) -> Tensor:
        return lr * (targets - inputs @ w) @ inputs

    def after(move: Move, layers: int = layers) -> Tensor:
        w = before = torch.zeros_like(x)
        for _ in range(layers):
            w, before = move(w, before), w
        return w @ x

    def right(w: Tensor, before: Tensor) -> Tensor:
        return w + step(w) + beta * (w - before)

    moves = {what: lambda move=move: after(move) for what, move in wrong_moves(step, len(inputs), lr, beta).items()}
    counts = {
        "That is one layer too many.": lambda: after(right, layers + 1),
        "One layer is missing.": lambda: after(right, layers - 1),
        "This is what one layer says, however many are asked for.": lambda: after(right, 1),
    }
    return moves | counts


def wrong_moves(step: Callable[[Tensor], Tensor], n: int, lr: float, beta: float) -> dict[str, Move]:
    """Moves that are taken for w + step(w) + β (w − before)."""
    return {
        "β does nothing: it is left out, or w_t − w_(t−1) is taken when both are already the same.": (
            lambda w, before: w + step(w)
        ),
        **{what: scaled(step, factor, beta) for what, factor in wrong_factors(n, lr, beta).items()},
        "This is Nesterov's: here the gradient is taken at w_t, not ahead of it.": (
            lambda w, before: w + step(w + beta * (w - before)) + beta * (w - before)
        ),
        "The last two w are added: β multiplies their difference, w_t − w_(t−1).": (
            lambda w, before: w + step(w) + beta * (w + before)
        ),
        "The momentum brakes: β (w_t − w_(t−1)) is added.": lambda w, before: w + step(w) - beta * (w - before),
        "w_(t−1) stays zero: after each layer it must become the w that was.": (
            lambda w, before: w + step(w) + beta * w
        ),
        "w_t itself is missing: a move is added to it.": lambda w, before: step(w) + beta * (w - before),
        "Every gradient is taken at w = 0: after a layer the errors y_i − w·x_i are others.": (
            lambda w, before: w + step(0 * w) + beta * (w - before)
        ),
        "Only the gradient before is remembered: β carries on the whole last move.": (
            lambda w, before: w + step(w) + beta * step(before) * bool(w.any())
        ),
    }


def scaled(step: Callable[[Tensor], Tensor], factor: float, beta: float) -> Move:
    """The right move, but for a factor at the gradient."""
    return lambda w, before: w + factor * step(w) + beta * (w - before)


def wrong_factors(n: int, lr: float, beta: float) -> dict[str, float]:
    """Factors at the gradient's step where there should be none."""
    return {
        "Divided by the number of examples: the loss is a sum, not a mean.": 1 / n,
        "There is a 2 too many: the loss has a ½, so that its gradient has no 2.": 2.0,
        "This is the gradient of `mse_loss`, a mean: the loss here is ½ of a sum.": 2 / n,
        "The learning rate is missing.": 1 / lr,
        "The learning rate acts twice: on the gradient, or on the velocity, not on both.": lr,
        "The steps go uphill: lr ∇ is subtracted, and ∇ = Σ (w·x_i − y_i) x_i.": -1.0,
        "The gradient is weighed with 1 − β, as in an average: it enters whole.": 1 - beta,
        "β multiplies the gradient's step too: only w_t − w_(t−1) has it.": beta,
    }


@exercise(
    "6.4",
    module=regression,
    may_use=("gd_as_attention", "attend"),
    same=(dual.trained,),
    task="Return what the layer says to x after `layers` steps of gradient descent with momentum, from w = 0.",
    equation="w_{t+1} = w_t − lr Σ_i (w_t·x_i − y_i) x_i + β (w_t − w_{t−1}), w_0 = w_{−1} = 0",
    minutes=20,
    difficulty=3,
    importance=4,
    core=False,
    hints=(
        "Two weights are needed at each step: today's w_t, and w_(t−1). Both are zeros [d] at first.",
        "The gradient step is that of exercise 2.2 with one output: errors y_i − w·x_i, each times its x_i, summed.",
        "The step down is lr times the errors [n] times `inputs`; add it, and β times the last move, to w. Return w·x.",
    ),
    passed="Momentum where the steps are: every layer goes on as the last one moved.",
)
def heavy_ball_layers(attempt: Attempt) -> Iterator[Claim]:
    cases = (5, 3, 0.1, 0.7, 4), (4, 2, 0.05, 0.6, 3), (1, 3, 0.2, 0.9, 2), (5, 2, 0.1, 0.0, 3), (3, 4, 0.1, 0.6, 1)
    for seed, (n, d, lr, beta, layers) in enumerate(cases):
        drawn = regression.random_problems(1, n, d, seeds.generator(seed), dtype=torch.float64)
        given = drawn.inputs[0], drawn.targets[0], drawn.x[0], lr, beta, layers
        out = attempt(*given)
        weights = getattr(out, "shape", None) == (d,)
        yield holds(not weights, "the result is a prediction", f"This has shape [{d}], as w has: predict with it, w·x.")
        yield is_number(out)
        expected = torch.tensor(regression.heavy_ball_layers(*given), dtype=torch.float64)
        says = f"w·x after {layers} layer{'s' * (layers > 1)} on {n} example{'s' * (n > 1)}, β = {beta}"
        yield equals(torch.as_tensor(out, dtype=torch.float64), expected, says, ball_mistakes(*given))
