"""The exercises of notebook 01: softmax attention, and linear attention as product, recurrence, chunks, normalised."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import elu, scaled_dot_product_attention

from helpers import attention
from helpers.check import seeds
from helpers.check.claims import Claim, Mistakes, equals, holds, is_pair, is_tensor
from helpers.check.engine import Attempt, exercise

SIZES = ((5, 3, 2), (6, 2, 4), (1, 3, 2))  # tokens, width, value width: no two alike, and one token alone


def draw(n: int, d: int, m: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Random q, k [n d] and v [n m] in float64."""
    rng = seeds.generator(1000 * seed + 100 * n + 10 * d + m)
    return tuple(torch.randn(n, width, generator=rng, dtype=torch.float64) for width in (d, d, m))


def growth(attempt: Attempt, n: int, *options: int) -> float:
    """How many times as many numbers are made for 2n tokens as for n: 2 where linear, 4 where quadratic."""
    made = []
    for tokens in (n, 2 * n):
        attempt(*draw(tokens, 3, 2), *options)
        made.append(attempt.made)
    return made[1] / max(made[0], 1)


def masked(scores: Tensor) -> Tensor:
    """Scores [n n] with −inf where i > t."""
    return scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), float("-inf"))


def softmax_mistakes(q: Tensor, k: Tensor, v: Tensor) -> Mistakes:
    n, d = q.shape
    s = q @ k.T / d**0.5
    return {
        "The scores are not divided by √d.": lambda: masked(q @ k.T).softmax(-1) @ v,
        "The scores are divided by d, not by √d.": lambda: masked(q @ k.T / d).softmax(-1) @ v,
        "Divided by √n: d is the width of a key, `q.shape[-1]`.": lambda: masked(q @ k.T / n**0.5).softmax(-1) @ v,
        "There is no mask: token t sees tokens after t.": lambda: s.softmax(-1) @ v,
        "The mask is the wrong way round: token t may see i ≤ t, not i ≥ t.": lambda: masked(s.T).T.softmax(-1) @ v,
        "Masked after the softmax: the weights left over no longer sum to one.": lambda: s.softmax(-1).tril() @ v,
        "Masked with 0, not with −inf: a score of 0 still gets weight e⁰ = 1.": lambda: s.tril().softmax(-1) @ v,
        "The softmax runs over the wrong dimension: the weights of one query, a row, must sum to one.": lambda: (
            masked(s).softmax(-2) @ v
        ),
        "The softmax is missing: these are raw scores.": lambda: s.tril() @ v,
        "q and k have changed places: row t must compare q_t with every k_i.": lambda: masked(s.T).softmax(-1) @ v,
    }


@exercise(
    "1.1",
    module=attention,
    same=(scaled_dot_product_attention,),
    task="Return causal softmax attention [n m]: each token's weighted mean of the values up to its own.",
    equation="o_t = Σ_{i≤t} v_i softmax_i(k_i·q_t / √d)",
    minutes=10,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "The cell above makes the table of scores for one example: which of its numbers depend on the example?",
        "Three steps: the scores of all queries with all keys, the future masked, each row as weights of the values.",
        "Ones, `.triu(1)` and `.bool()` mark the future; `masked_fill` puts −inf there; each row has its softmax.",
    ),
    passed="Every token averages the values before it and its own, with weights that sum to one.",
)
def softmax_attention(attempt: Attempt) -> Iterator[Claim]:
    for n, d, m in SIZES:
        q, k, v = draw(n, d, m)
        out, expected = attempt(q, k, v), attention.softmax_attention(q, k, v)
        yield is_tensor(out, n, m)
        yield equals(out, expected, f"softmax attention of {n} random tokens", softmax_mistakes(q, k, v))
    q, k, v = draw(5, 3, 2, seed=1)
    out, expected = attempt(60 * q, 60 * k, v), attention.softmax_attention(60 * q, 60 * k, v)
    yield is_tensor(out, 5, 2, name="with scores in the thousands (an `exp` overflows: use `softmax`) the result")
    yield equals(out, expected, "the same with scores in the thousands")


def linear_mistakes(q: Tensor, k: Tensor, v: Tensor) -> Mistakes:
    n, d = q.shape
    s = q @ k.T
    return {
        "A softmax is still in there: linear attention uses the raw k·q.": lambda: masked(s).softmax(-1) @ v,
        "This is softmax attention: drop the softmax and the √d.": lambda: attention.softmax_attention(q, k, v),
        "There is no mask: token t sees tokens after t.": lambda: s @ v,
        "The mask is the wrong way round: token t may see i ≤ t, not i ≥ t.": lambda: s.triu() @ v,
        "Token t doesn't see itself: i ≤ t includes i = t.": lambda: s.tril(-1) @ v,
        "The scores are divided by √d: linear attention uses the raw k·q.": lambda: s.tril() @ v / d**0.5,
        "Divided by the number of tokens: a sum is asked for, not a mean.": lambda: (
            s.tril() @ v / torch.arange(1, n + 1)[:, None]
        ),
        "q and k have changed places: row t must compare q_t with every k_i.": lambda: s.T.tril() @ v,
    }


@exercise(
    "1.2",
    module=attention,
    same=(scaled_dot_product_attention,),
    task="Return causal attention without a softmax [n m]: each token sums the values up to its own, times k_i·q_t.",
    equation="o_t = Σ_{i≤t} v_i (k_i·q_t)",
    minutes=10,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "Start from exercise 1.1: which of its steps does (eq. 1.2) still have?",
        "The table of comparisons and the mask stay. What must a masked entry be, where no exponential follows?",
        "`torch.tril` keeps the lower triangle of a matrix, its diagonal included, and makes the rest 0.",
    ),
    passed="Raw comparisons weigh the values; a token sees itself and what came before.",
)
def linear_attention(attempt: Attempt) -> Iterator[Claim]:
    for n, d, m in SIZES:
        q, k, v = draw(n, d, m)
        out, expected = attempt(q, k, v), attention.linear_attention(q, k, v)
        yield is_tensor(out, n, m)
        yield equals(out, expected, f"o_t = Σ_(i≤t) v_i (k_i·q_t) for {n} random tokens", linear_mistakes(q, k, v))


def recurrent_mistakes(q: Tensor, k: Tensor, v: Tensor) -> Mistakes:
    return {
        "Read before it was written: o_t uses S_t, which already holds token t.": lambda: (q @ k.T).tril(-1) @ v,
        "The state is replaced, not added to: S_t = S_(t−1) + v_t ⊗ k_t.": lambda: v * (q * k).sum(-1, keepdim=True),
        "Every output is read from the final state: token t would see tokens after t.": lambda: q @ k.T @ v,
        "The outer product is of v_t and q_t: the state holds v_t ⊗ k_t.": lambda: (q @ q.T).tril() @ v,
        "Read with the key: o_t = S_t q_t.": lambda: (k @ k.T).tril() @ v,
        "This is softmax attention: the state holds raw outer products.": lambda: attention.softmax_attention(q, k, v),
    }


@exercise(
    "1.3",
    module=attention,
    same=(scaled_dot_product_attention,),
    task="Compute the same outputs [n m] token by token, with one state [m d] in place of the table; return both.",
    equation="S_t = S_{t−1} + v_t ⊗ k_t, o_t = S_t q_t",
    minutes=15,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "The example by hand above does it for two tokens: what is kept from one token to the next?",
        "Loop over the tokens. For each, first write into the state, then read from it: token t sees itself.",
        "`torch.outer(a, b)` is a ⊗ b, with a row for every entry of a. Keep the outputs in a list for `torch.stack`.",
    ),
    passed="One [m d] matrix that grows by an outer product a token does the work of the n × n table.",
)
def recurrent_linear_attention(attempt: Attempt) -> Iterator[Claim]:
    for n, d, m in SIZES:
        q, k, v = draw(n, d, m)
        expected, final = attention.recurrent_linear_attention(q, k, v)
        result = attempt(q, k, v)
        yield is_pair(result, "outputs", "state")
        out, state = result
        swapped = getattr(out, "shape", None) == final.shape and getattr(state, "shape", None) == expected.shape
        yield holds(not swapped, "outputs come first", "The two have changed places: outputs first, then the state.")
        yield is_tensor(out, n, m, name="outputs")
        yield equals(out, expected, f"o_t = S_t q_t for {n} random tokens", recurrent_mistakes(q, k, v))
        turned = isinstance(state, Tensor) and state.shape == final.mT.shape
        yield holds(
            not turned, "the state is [m d]", "The state is transposed: v_t ⊗ k_t is [m d], a row for every value."
        )
        yield is_tensor(state, m, d, name="the state")
        unfinished = {"The last token is missing from the state.": (final - v[-1, :, None] * k[-1]).clone}
        yield equals(state, final, "the state after the last token is Σ v_t ⊗ k_t", unfinished)
    more = growth(attempt, 40)
    table = (
        f"Twice the tokens make {more:.1f} times the work: earlier tokens are looked at again. Carry one state instead."
    )
    yield holds(more < 3, "the work grows as the number of tokens", table)


def chunked_mistakes(q: Tensor, k: Tensor, v: Tensor, chunk: int) -> Mistakes:
    s, its = q @ k.T, torch.arange(len(q)) // chunk
    own, before, last = its == its[:, None], its < its[:, None], its == its[:, None] - 1
    return {
        "What came before the chunk is forgotten: add the state of all chunks before, read with q_t.": lambda: (
            (s * own).tril() @ v
        ),
        "The own chunk counts twice: read the state before the chunk is written into it.": lambda: (
            (s.tril() + s * own) @ v
        ),
        "Only the chunk just before is remembered: the state is replaced, not added to.": lambda: (
            (s * (own | last)).tril() @ v
        ),
        "Inside a chunk there is no mask: token t sees tokens after t.": lambda: (s * (own | before)) @ v,
        "Tokens of the own chunk are missing: add exercise 1.2 inside the chunk.": lambda: (s * before) @ v,
        "Inside a chunk token t doesn't see itself: i ≤ t includes i = t.": lambda: s.tril(-1) @ v,
    }


@exercise(
    "1.4",
    module=attention,
    may_use=("linear_attention",),
    same=(scaled_dot_product_attention,),
    task="Compute the same outputs [n m] chunk by chunk: a table inside each chunk, one state for all before it.",
    equation="o_t = S_c q_t + Σ_{i≤t, same chunk} v_i (k_i·q_t)",
    minutes=25,
    difficulty=4,
    importance=3,
    core=False,
    hints=(
        "Look at the two maps above: which numbers come from the table, and which from the state?",
        "For each chunk: read the state with its queries, add exercise 1.2 on the chunk, only then write the chunk.",
        "`range(0, n, chunk)` gives the starts; a slice beyond the end is shorter. `state.T` reads all rows at once.",
    ),
    passed="Inside a chunk one small table, between chunks one state: linear in n, and made of large products.",
)
def chunked_linear_attention(attempt: Attempt) -> Iterator[Claim]:
    for n, d, m, chunk in ((10, 3, 2, 4), (9, 2, 4, 3), (5, 3, 2, 8), (4, 3, 2, 1)):
        q, k, v = draw(n, d, m)
        out, expected = attempt(q, k, v, chunk), attention.linear_attention(q, k, v)
        tail = isinstance(out, Tensor) and out.dim() == 2 and len(out) != n and len(out) % chunk == 0
        lost = f"{n} tokens in chunks of {chunk} give {len(out) if tail else n} outputs: mind the last, shorter chunk."
        yield holds(not tail, "every token has an output", lost)
        yield is_tensor(out, n, m)
        says = f"the same as (eq. 1.2), for {n} tokens in chunks of {chunk}"
        yield equals(out, expected, says, chunked_mistakes(q, k, v, chunk))
    n, more = 96, growth(attempt, 96, 8)
    table = f"Twice the tokens make {more:.1f} times the work: only tokens of one chunk may meet in one table."
    yield holds(more < 3, "the work grows as the number of tokens", table)
    attempt(*draw(n, 3, 2), 8)
    small = attempt.made
    attempt(*draw(n, 3, 2), n)
    slow = (
        f"One chunk of {n} tokens still takes {attempt.operations} operations: inside a chunk take all tokens at once."
    )
    yield holds(attempt.operations < n, "inside a chunk all tokens are taken at once", slow)
    same = f"`chunk` makes no difference: with 8 and with {n} tokens in a chunk the work is the same."
    yield holds(attempt.made > small, "a larger chunk has a larger table", same)


def normalized_mistakes(q: Tensor, k: Tensor, v: Tensor) -> Mistakes:
    a, b = elu(q) + 1, elu(k) + 1
    weights = (a @ b.T).tril()

    def mean(scores: Tensor) -> Tensor:
        return scores @ v / scores.sum(-1, keepdim=True)

    return {
        "The division is missing: divide by the sum of the weights.": lambda: weights @ v,
        "φ is missing: raw k·q may be negative, and their sum near zero.": lambda: mean((q @ k.T).tril()),
        "φ = elu + 1; here the + 1 is missing.": lambda: mean((elu(q) @ elu(k).T).tril()),
        "φ acts on q and k, not on their product.": lambda: mean((elu(q @ k.T) + 1).tril()),
        "φ acts on both q and k; here only on k.": lambda: mean((q @ b.T).tril()),
        "φ acts on both q and k; here only on q.": lambda: mean((a @ k.T).tril()),
        "φ uses elu, not relu.": lambda: mean(((q.relu() + 1) @ (k.relu() + 1).T).tril()),
        "There is no mask: token t sees tokens after t.": lambda: mean(a @ b.T),
        "Divided by the sum over all tokens: only those up to t have weight.": lambda: (
            weights @ v / (a @ b.T).sum(-1, keepdim=True)
        ),
        "Divided by the number of tokens: divide by the sum of the weights.": lambda: (
            weights @ v / torch.arange(1, len(q) + 1)[:, None]
        ),
        "The weights are divided along the wrong dimension: each row must sum to one.": lambda: (
            weights / weights.sum(0) @ v
        ),
        "This is softmax attention: φ(q)·φ(k) takes the place of exp.": lambda: attention.softmax_attention(q, k, v),
    }


@exercise(
    "1.5",
    module=attention,
    may_use=("linear_attention", "recurrent_linear_attention", "chunked_linear_attention"),
    same=(scaled_dot_product_attention,),
    task="Return causal attention [n m] with the weights φ(q_t)·φ(k_i), where φ = elu + 1, divided by their sum.",
    equation="o_t = Σ_{i≤t} v_i φ(q_t)·φ(k_i) / Σ_{i≤t} φ(q_t)·φ(k_i), φ = elu + 1",
    minutes=15,
    difficulty=3,
    importance=3,
    core=False,
    hints=(
        "(eq. 1.5) has one sum above and one below. The one above is exercise 1.2 with other queries and keys.",
        "φ acts on every number of q and of k. The sum below is that of the same weights, without values.",
        "Make the masked table of φ(q), φ(k) once; divide it by the sums of its rows. elu is in `torch.nn.functional`.",
    ),
    passed="Positive weights that sum to one, and still no softmax: a running state can do it.",
)
def normalized_linear_attention(attempt: Attempt) -> Iterator[Claim]:
    for n, d, m in SIZES:
        q, k, v = draw(n, d, m)
        out, expected = attempt(q, k, v), attention.normalized_linear_attention(q, k, v)
        yield is_tensor(out, n, m)
        yield equals(out, expected, f"the weighted mean (eq. 1.5) of {n} random tokens", normalized_mistakes(q, k, v))
