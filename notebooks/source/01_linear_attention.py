# %% [markdown]
# # 01 · Linear attention
#
# **Without its softmax, attention can be computed by three programs that look nothing alike. You will build them, measure what each
# costs, and measure what is lost with the softmax.**
#
# *You need: notebook 00 and Python. About 165 minutes, 85 of them (★) on the core path. No GPU.*

# %%
import math

import torch

from helpers import attention, gpt, plots
from helpers.check import break_it, check, route
from helpers.course import assets
from helpers.experiments import attention_cost, generation_cost
from helpers.support import formats
from helpers.widgets import finding, memory, predict, reveal

# %%
route(here="01")

# %% [markdown]
# ## 1 · Attention is a table ★
#
# **Recall.** In notebook 00 the model answered *went*, and none of its weights had changed. What it had read came in through
# *attention*, the one place where a token can look at other tokens.

# %% [markdown]
# Each token has three vectors: a **query** (what is it looking for?), a **key** (what can it be found by?) and a **value** (what
# does it give to those who find it?). In the code a token is a *row*: `q` and `k` are `[n d]`, `v` is `[n m]`. (In formulas a vector
# is a column: $S q$ is `q @ S.T` in code.) Tokens are counted from 1, in formulas and figures; the query of token 1 is the row `q[0]`.
#
# Token $t$ compares its query with all keys up to its own, turns the comparisons into weights that sum to one, and takes the mean of
# the values with these weights:
#
# $$o_t = \sum_{i \le t} v_i \, \mathrm{softmax}_i\!\left(\frac{k_i \cdot q_t}{\sqrt d}\right) \tag{1.1}$$

# %% [markdown]
# **By hand.** Two tokens, $d = 1$: keys 0 and $\ln 3$, queries 1 and 1, values 0 and 8. Token 1 sees only itself: its output is 0.
# Token 2 has scores 0 and $\ln 3$; exponentials 1 and 3; weights ¼ and ¾; output 6.

# %%
q, k = torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0], [3.0]]).log()
v = torch.tensor([[0.0], [8.0]])
print("outputs", [round(output, 4) for output in attention.softmax_attention(q, k, v).flatten().tolist()])

# %% [markdown]
# All comparisons at once are a table, `q @ k.T`, with a row for every query. The future is masked: its score is $-\infty$, so
# that its weight is $e^{-\infty} = 0$. The figure leaves it blank.

# %%
torch.manual_seed(0)
q, k, v = (torch.randn(6, width, dtype=torch.float64) for width in (4, 4, 3))
scores = (q @ k.T / 2).masked_fill(torch.ones(6, 6).triu(1).bool(), float("nan"))
weights = scores.nan_to_num(float("-inf")).softmax(-1)
print(
    "scores",
    tuple(scores.shape),
    "; each row of weights sums to one:",
    bool(torch.allclose(weights.sum(1), q.new_ones(6))),
)

# %% tags=["hide-input"]
panels = {"scores": scores.numpy(), "weights": weights.masked_fill(scores.isnan(), torch.nan).numpy()}
title = "Scores of six random tokens, and the weights that softmax makes of each row"
plots.matrices(panels, "key i", "query t", title, numbers=".2f", first=1)

# %% [markdown]
# From tokens to the output of the last one, with the same random vectors:

# %% tags=["hide-input"]
tokens = ["the", "film", "is", "long", "and", "sad"]
plots.attention_flow(
    tokens, q.numpy(), k.numpy(), v.numpy(), "Softmax attention, from six tokens to the output of the last one"
)

# %% [markdown]
# {exercise:softmax_attention}


# %% tags=["exercise"]
def softmax_attention(q, k, v):
    """Causal softmax attention (eq. 1.1). q, k: [n d], v: [n m] → [n m]."""
    # BEGIN SOLUTION
    scores = q @ k.T / q.shape[-1] ** 0.5
    later = torch.ones_like(scores).triu(1).bool()
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ v
    # END SOLUTION


# %%
check(softmax_attention)

# %% [markdown]
# {solution:softmax_attention}
#
# (Cells after an exercise use the course's own version, here `attention.softmax_attention`: you can go on with an exercise open.)

# %% [markdown]
# ## 2 · Drop the softmax ★
#
# **Question.** For every new token softmax attention looks at all earlier tokens again. What changes if we keep the
# comparison $k_i \cdot q_t$ and leave out the softmax?

# %%
predict(
    "cost",
    "You generate token 10,000, with keys of width 64. Without the softmax, how many earlier tokens must you look at again?",
    ["none", "64, as many as a key has entries", "all 9,999"],
)

# %% [markdown]
# The relaxed form, with which the paper (Dai et al. 2022) calculates, uses the comparisons as they are:
#
# $$o_t = \sum_{i \le t} v_i \,(k_i \cdot q_t) \tag{1.2}$$
#
# {exercise:linear_attention}


# %% tags=["exercise"]
def linear_attention(q, k, v):
    """Causal attention with raw scores (eq. 1.2). q, k: [n d], v: [n m] → [n m]."""
    # BEGIN SOLUTION
    return torch.tril(q @ k.T) @ v
    # END SOLUTION


# %%
check(linear_attention)

# %% [markdown]
# {solution:linear_attention}
#
# Raw scores can be negative, and they need not sum to one. So the output is no mean of the values: a value can be *subtracted*.
# Notebook 03 will need that.

# %% [markdown]
# ## 3 · Token by token ★
#
# The sum for token $t$ has one term more than the sum for token $t - 1$. And since $v_i (k_i \cdot q_t) = (v_i k_i^\top) q_t$, the query
# can be taken out of the sum, to the right:
#
# $$o_t = \Big(\underbrace{\sum_{i \le t} v_i k_i^\top}_{S_t}\Big) q_t, \qquad S_t = S_{t-1} + v_t \otimes k_t \tag{1.3}$$
#
# $v \otimes k$ is the **outer product**, the matrix `[m d]` with entries $v_a k_b$. The sum of them is the **state** $S_t$, `[m d]`
# however many tokens were read. It is all that linear attention needs of them.
#
# **By hand.** $k_1 = (1, 0)$, $v_1 = 5$; $k_2 = (1, 1)$, $v_2 = 2$. $S_1 = (5, 0)$; $S_2 = (5, 0) + (2, 2) = (7, 2)$. The query
# $(0, 1)$ reads 2 from it. By (eq. 1.2): $5 \cdot 0 + 2 \cdot 1 = 2$.

# %% [markdown]
# {exercise:recurrent_linear_attention}


# %% tags=["exercise"]
def recurrent_linear_attention(q, k, v):
    """Token by token (eq. 1.3). q, k: [n d], v: [n m] → (outputs [n m], state [m d])."""
    # BEGIN SOLUTION
    state, outputs = q.new_zeros(v.shape[1], q.shape[1]), []
    for t in range(len(q)):
        state = state + torch.outer(v[t], k[t])
        outputs.append(state @ q[t])
    return torch.stack(outputs), state
    # END SOLUTION


# %%
check(recurrent_linear_attention)

# %% [markdown]
# {solution:recurrent_linear_attention}

# %%
outputs, state = attention.recurrent_linear_attention(q, k, v)
print("state     ", tuple(state.shape), " after", len(q), "tokens, and after any other number")
print("difference", formats.rounding(outputs - attention.linear_attention(q, k, v)))

# %% tags=["hide-input"]
plots.state_written(
    k[:3].numpy(), v[:3].numpy(), "The state after three tokens: written token by token, then read", query=q[2].numpy()
)

# %%
reveal(
    "cost", "none", "The state, one matrix, holds all that linear attention needs of them. §6 measures what that saves."
)

# %% [markdown]
# ## 4 · How much fits into a matrix? ★
#
# A state is a memory: writing adds $v_i \otimes k_i$, reading is a product with a key. Let us write a word into one, letter by letter,
# under random keys of length 1, and read it back. For each key we take the letter whose entry is largest.


# %%
def remember(count, width, seed=0):
    """Write `count` random letters under random keys of length 1; the letters, and what is read for each key."""
    rng = torch.Generator().manual_seed(seed)
    keys = torch.nn.functional.normalize(torch.randn(count, width, generator=rng), dim=1)
    letters = torch.randint(26, (count,), generator=rng)
    values = torch.eye(26)[letters]
    state = values.T @ keys  # [26 width], the sum of all outer products
    return letters, keys @ state.T


written, entries = remember(8, 64)
print("written ", "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i] for i in written))
print("read    ", "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i] for i in entries.argmax(1)))

# %%
predict(
    "fits",
    "What is read for a key is not exactly its value. Width 64: how many pairs make the typical error as large as a value, length 1?",
    ["about 8", "about 64", "about 500", "any number"],
)


# %%
def distance(count, width, draws=20):
    """How far what is read is from the value, in lengths of a value: the root of the mean square."""
    squares = torch.zeros(draws)
    for seed in range(draws):
        letters, read = remember(count, width, seed)
        squares[seed] = (read - torch.eye(26)[letters]).square().sum(1).mean()
    return squares.mean().sqrt()


counts = [2, 4, 8, 16, 32, 64, 128, 256, 512]
errors = {f"width {width}": torch.stack([distance(n, width) for n in counts]) for width in (16, 64, 256)}

# %% tags=["hide-input"]
curves = {name: (torch.tensor(counts).numpy(), means.numpy()) for name, means in errors.items()}
title = finding("fits", "At as many pairs as dimensions, a reading is off by the length of a value")
plots.lines(curves, "pairs written", "error, in lengths of a value", title, log="xy")

# %%
reveal("fits", "about 64", "With random keys of length 1 the error is √((pairs − 1) / width).")

# %% [markdown] tags=["after-fits"]
# **What you should see.** Three lines of slope about ½, each near 1 where pairs = width. Reading with key $k_j$, whose length is 1, gives
#
# $$S k_j = v_j + \sum_{i \ne j} v_i (k_i \cdot k_j)$$
#
# The second term is **interference**. For random keys of length 1 in $d$ dimensions the mean of $(k_i \cdot k_j)^2$ is $1/d$. Keys at right
# angles would not interfere at all, but only $d$ of them fit into $d$ dimensions.
#
# A large error need not spoil the letter: it is spread over 26 entries, and only the *largest* counts. The next cell counts letters, and
# beside them those that softmax attention over the same pairs gives, with scores $32\, k_i \cdot k_j$
# (the 32 is our choice, for sharp weights: with keys of length 1, (eq. 1.1) would have 1/8 and mix nearly all values).


# %% tags=["after-fits"]
def letters_right(count, width, seed):
    """The share of letters that come back: what `remember` reads from its state, and by softmax."""
    rng = torch.Generator().manual_seed(seed)
    keys = torch.nn.functional.normalize(torch.randn(count, width, generator=rng), dim=1)
    letters, overlaps = torch.randint(26, (count,), generator=rng), keys @ keys.T
    found = overlaps @ torch.eye(26)[letters], (32 * overlaps).softmax(-1) @ torch.eye(26)[letters]
    return torch.stack([(entries.argmax(1) == letters).float().mean() for entries in found])


for count in (64, 128, 512):
    state_right, softmax_right = sum(letters_right(count, 64, seed) for seed in range(20)) / 20
    print(f"width 64, {count:3} pairs: letters right from the state {state_right:.0%}, by softmax {softmax_right:.0%}")

# %% [markdown] tags=["after-fits"]
# Softmax, with scores that sharp, keeps all of them apart. It keeps every key and value to do so; the state has $26 \cdot 64$ numbers.
#
# Move the sliders: a width, a number of pairs, and the word as it is read back. From how many pairs on are letters wrong?

# %% tags=["hide-input"]
memory(remember)

# %% [markdown]
# What if the keys don't have length 1? Let every entry of every key be a normal random number of its own, with mean 0 and variance $1/d$.
# Then $k_j \cdot k_j$ is 1 on average only. How far off is a reading now?
#
# {exercise:reading_error}


# %% tags=["exercise"]
def reading_error(n, d):
    """n pairs, keys of width d → two numbers: what the own key's length adds, and what the other pairs add."""
    # E: the mean. An entry x of a key: E x = 0, E x² = 1/d, E x⁴ = 3/d² (normal); all are independent. Values have length 1.
    # S k_j − v_j = (k_j·k_j − 1) v_j + Σ_(i≠j) (k_i·k_j) v_i
    # Squared, each cross term holds some other key once, as likely k_i as −k_i: its mean is 0.
    # What is left: E‖S k_j − v_j‖² = E(k_j·k_j − 1)² + (n − 1) E(k_i·k_j)²
    # BEGIN SOLUTION
    return 2 / d, (n - 1) / d
    # END SOLUTION


# %%
check(reading_error)

# %% [markdown]
# {solution:reading_error}
#
# Measured, for width 16 and 2,000 draws:


# %%
def mean_square(count, width, unit, draws=2000):
    """The mean squared error of a reading, over draws and pairs; keys of length 1, or with independent entries."""
    rng = torch.Generator().manual_seed(count)
    keys = torch.randn(draws, count, width, generator=rng) / width**0.5
    keys = torch.nn.functional.normalize(keys, dim=-1) if unit else keys
    values = torch.eye(26)[torch.randint(26, (draws, count), generator=rng)]
    return (keys @ (values.mT @ keys).mT - values).square().sum(-1).mean().item()


for count in (1, 2, 8, 32):
    length, free = mean_square(count, 16, unit=True), mean_square(count, 16, unit=False)
    print(f"{count:2} pairs: length 1 {length:.2f}, (n−1)/d {(count - 1) / 16:.2f}; ", end="")
    print(f"any length {free:.2f}, (n+1)/d {(count + 1) / 16:.2f}")

# %% [markdown]
# Keys with normal entries cost as much as two more pairs. (So some models divide every key by its length.)

# %% [markdown]
# ## 5 · Chunks: the form that is fast
#
# The table takes two large products, which a computer does fast, but there are $n^2$ numbers in it. The recurrence makes $n$ steps, one
# after the other, each too small to keep a computer busy. **Chunks** combine the two: inside a chunk the table, between chunks the state.
#
# **By hand.** Four tokens of width 1, in chunks of two:
#
# | token | 1 | 2 | 3 | 4 |
# |---|---|---|---|---|
# | $q$ | 1 | 1 | 2 | 1 |
# | $k$ | 1 | 2 | 1 | 3 |
# | $v$ | 1 | 3 | 2 | 1 |

# %% [markdown]
# Chunk 1 starts with an empty state. Token 1: $1 \cdot (1 \cdot 1) = 1$. Token 2: $1 \cdot (1 \cdot 1) + 3 \cdot (2 \cdot 1) = 7$.
# Then the chunk is written: $S = 1 \cdot 1 + 3 \cdot 2 = 7$.
#
# Chunk 2. Token 3 reads $7 \cdot 2 = 14$ from the state and $2 \cdot (1 \cdot 2) = 4$ from the table of its own chunk: 18. Token 4 reads
# $7 \cdot 1 = 7$ and $2 \cdot (1 \cdot 1) + 1 \cdot (3 \cdot 1) = 5$: 12.

# %%
by_hand = [torch.tensor(row, dtype=torch.float64)[:, None] for row in ([1, 1, 2, 1], [1, 2, 1, 3], [1, 3, 2, 1])]
print("in chunks of two", attention.chunked_linear_attention(*by_hand, 2).flatten().tolist())
print("by (eq. 1.2)    ", attention.linear_attention(*by_hand).flatten().tolist())

# %% tags=["hide-input"]
asked, found, given = (row.flatten() for row in by_hand)
terms, place = (asked[:, None] * found * given).tril(), torch.arange(4) // 2
inside = terms.where((place[:, None] == place).tril(), torch.nan)
through = terms.where(place[:, None] > place, torch.nan)
panels = {"from the chunk's table": inside.numpy(), "from the state": through.numpy()}
title = "Every term v_i (k_i·q_t) of these four tokens is counted once"
plots.matrices(panels, "token i", "token t", title, numbers=".0f", first=1)

# %% [markdown]
# $$o_t = \underbrace{S_{c} \, q_t}_{\text{all chunks before}} + \underbrace{\sum_{i \le t, \text{ same chunk}} v_i (k_i \cdot q_t)}_{\text{exercise 1.2, on the chunk}} \tag{1.4}$$
#
# $S_c$ is the state *before* chunk $c$. Then the chunk is written into it: $S_{c+1} = S_c + V_c^\top K_c$ with the chunk's values and keys as rows: all its outer products at once.
#
# {exercise:chunked_linear_attention}


# %% tags=["exercise"]
def chunked_linear_attention(q, k, v, chunk):
    """(eq. 1.4). q, k: [n d], v: [n m], chunk: tokens in a chunk; n need not be a multiple → [n m]."""
    # BEGIN SOLUTION
    state, outputs = q.new_zeros(v.shape[1], q.shape[1]), []
    for start in range(0, len(q), chunk):
        q_c, k_c, v_c = (x[start : start + chunk] for x in (q, k, v))
        outputs.append(q_c @ state.T + torch.tril(q_c @ k_c.T) @ v_c)
        state = state + v_c.T @ k_c
    return torch.cat(outputs)
    # END SOLUTION


# %%
check(chunked_linear_attention)

# %% [markdown]
# {solution:chunked_linear_attention}
#
# **Break it.** This version is to save work: it skips a chunk whose keys are all zero (such tokens only fill a batch up). On random inputs it is right.
# Find inputs on which it is wrong.


# %%
def skips_padding(q, k, v, chunk=2):
    state, outputs = q.new_zeros(v.shape[1], q.shape[1]), []
    for q_c, k_c, v_c in zip(q.split(chunk), k.split(chunk), v.split(chunk), strict=True):
        outputs.append(q_c @ state.T + torch.tril(q_c @ k_c.T) @ v_c)
        if k_c.sum() != 0:  # keys of zeros write nothing
            state = state + v_c.T @ k_c
    return torch.cat(outputs)


def counterexample():
    """Inputs (q, k, v) on which `skips_padding` is wrong."""
    # BEGIN SOLUTION
    # the keys of the first chunk sum to 0, their outer products don't: 1·1 + (−1)·(−1) = 2
    return torch.ones(3, 1), torch.tensor([[1.0], [-1.0], [0.0]]), torch.tensor([[1.0], [-1.0], [0.0]])
    # END SOLUTION


break_it(skips_padding, attention.linear_attention, counterexample)

# %% [markdown]
# ## 6 · What each costs ★
#
# Two jobs are to be told apart. *Reading*: all tokens are there, and all outputs are wanted, as in the forward pass of training. *Generating*: one token
# comes after the other. First reading, **recorded** on two cores with 8 heads of width 64:

# %% tags=["hide-input"]
costs = attention_cost.lengths()
title = "Reading: seconds of one call over a text of n tokens, five forms of attention"
plots.lines(costs, "tokens n", "seconds a call", title, log="xy")
attention_cost.ATTENTION.show_source()

# %% [markdown]
# Operations grow as $n^2$ for softmax and the table, as $n$ for the others. The exponents at the lines' ends are those of measured
# *seconds*, in the upper half of the lengths. (The table is slower than softmax, although it needs no exponentials: it also computes the masked half,
# and writes all of it to memory; torch's softmax attention does neither.)
#
# From which length on are the chunks faster than torch's own softmax attention, which is highly tuned? And the recurrence? Read both off
# the figure before you run the next cell.

# %%
tokens, torchs = costs["softmax (torch)"]
for form in ("linear, chunked", "linear, recurrent"):
    over = costs[form][1] / torchs
    faster = tokens[over < 1]
    since = f"faster than softmax from n = {faster[0]:,} on" if len(faster) else "slower than softmax at every length"
    print(f"{form:18} {since}; its time over softmax's: ", end="")
    print(", ".join(f"{over[tokens == n][0]:.2g} at {n:,}" for n in (128, 2048, 16384)))

# %% [markdown]
# The recurrence does the fewest operations on a long text, and still takes longer than softmax at all these lengths. Each of its steps
# waits for the one before it, and the course's version makes a new state for every token, since training needs the old ones, too.
#
# Now generating. Softmax attention keeps a **cache** of all keys and values, so that nothing is computed twice; linear attention keeps its
# state. Nothing is trained here, so that both may change in place what they keep.

# %%
predict(
    "generate",
    "The next token is generated, with a cache or with a state. At which lengths of text does the state take less time?",
    [
        "at none up to 65,536",
        "from about 10,000 tokens on",
        "from about 1,000 tokens on",
        "at every length, from 64 tokens on",
    ],
)

# %% tags=["hide-input"]
per_token = generation_cost.lengths()
title = finding(
    "generate", "Generating: the time of a token grows with the text where there is a cache, and stays with a state"
)
plots.lines(per_token, "tokens of text", "seconds a token", title, log="xy")
generation_cost.GENERATION.show_source()

# %%
kept = generation_cost.lengths("kept")
lengths, cached, *_ = per_token["softmax, cache"]
ratio = cached / per_token["linear, state"][1]
print("time with the cache over time with the state:", ", ".join(map("{1:,.1f} at {0:,}".format, lengths, ratio)))
for way, (_, sizes, *_) in kept.items():
    print(f"{way:15} keeps {sizes[0] / 1e6:.2f} MB at {lengths[0]} tokens, {sizes[-1] / 1e6:.2f} MB at {lengths[-1]:,}")
in_place = 16384 * per_token["linear, state"][1].max()
reads = {
    form: costs[form][1][tokens == 16384][0] for form in ("linear, chunked", "linear, recurrent", "softmax (torch)")
}
print(f"to read 16,384 tokens: steps in place {in_place:.2f} s;", ", ".join(f"{f} {s:.2f} s" for f, s in reads.items()))

# %%
reveal(
    "generate",
    "at every length, from 64 tokens on",
    "The cache takes {low:.2g} times as long at 64 tokens and {high:,.0f} times at 65,536: all of it is read for every token.",
    low=ratio[0],
    high=ratio[-1],
)

# %% [markdown] tags=["after-generate"]
# This is the answer to the question of §2, in seconds and in bytes, for one layer. (Recorded on one thread. Seconds are the processor's own:
# waiting for other programs does not count.) By these numbers the recurrence could read a long text in place in less time than
# softmax takes, but not in less than the chunks; nobody measured it, and the two recordings differ in threads and clock.

# %%
predict(
    "sentence-01",
    "Which sentence do the two figures allow?",
    [
        "One form of linear attention is the fastest for reading and for generating",
        "On short texts linear attention saves nothing",
        "Read a long text in chunks and generate with the state: each is faster there than softmax",
        "A GPT with linear attention would answer as well, only faster",
    ],
)

# %%
reveal(
    "sentence-01",
    "Read a long text in chunks and generate with the state: each is faster there than softmax",
    "Even at 64 tokens the state takes less time and fewer bytes. How good answers are, no figure here measures.",
)

# %% [markdown] tags=["conclusion", "after-sentence-01"]
# **What you may conclude.** On this processor, at this width, linear attention reads long texts faster in chunks, and generates with
# the same time and memory for every token, however long the text.
#
# **What you may not:** that these lengths hold for a GPU or another width, or that a model with linear attention is as good. What is
# lost without the softmax, the next section asks.

# %% [markdown]
# ## 7 · What softmax has ★
#
# Softmax's weights are positive and sum to one; raw scores may be negative and sum to anything. To make them sum to one, softmax divides by a
# number that depends on the query; $S_t q_t$ has no division. So carry two sums, the values with their weights and the weights alone,
# and divide. A positive function $\varphi$ around queries and keys makes the weights positive (Katharopoulos et al. 2020):
#
# $$o_t = \frac{\sum_{i \le t} v_i \, \varphi(k_i) \cdot \varphi(q_t)}{\sum_{i \le t} \varphi(k_i) \cdot \varphi(q_t)}, \qquad \varphi(x) = \mathrm{elu}(x) + 1 \tag{1.5}$$
#
# elu$(x)$ is $x$ for positive $x$ and $e^x - 1$ otherwise, so $\varphi$ is $x + 1$ or $e^x$: positive everywhere.

# %% [markdown]
# {exercise:normalized_linear_attention}


# %% tags=["exercise"]
def normalized_linear_attention(q, k, v):
    """(eq. 1.5). q, k: [n d], v: [n m] → [n m]."""
    # BEGIN SOLUTION
    q, k = torch.nn.functional.elu(q) + 1, torch.nn.functional.elu(k) + 1
    weights = torch.tril(q @ k.T)
    return weights @ v / weights.sum(-1, keepdim=True)
    # END SOLUTION


# %%
check(normalized_linear_attention)

# %% [markdown]
# {solution:normalized_linear_attention}
#
# The weights are positive and sum to one. With both sums carried along as states, operations grow as $n$, where softmax's (and those of
# your table) grow as $n^2$. (The course's version gives every value one more entry, 1, so that one state carries both sums.)
#
# **A second difference** is easily overlooked. Find it by design: change the keys so that it shows.
#
# {exercise:invisible_change}


# %% tags=["exercise"]
def invisible_change(q, k, v):
    """q, k: [n d], v: [n m] → other keys [n d]: softmax attention answers as with k, linear attention doesn't."""
    # BEGIN SOLUTION
    return k - k.mean(0)
    # END SOLUTION


# %%
check(invisible_change)

# %% [markdown]
# {solution:invisible_change}
#
# The same vector for all keys adds the same number to all scores of a query, and softmax doesn't see it. Linear attention does. Whoever
# drops the softmax drops this, too; notebook 03 meets it again, in a real GPT.

# %% [markdown]
# **A third difference.** Positive weights with a state of fixed size: can softmax itself be had that way? Here is a proof that it can.
# (The $1/\sqrt d$ is already in the keys.)
#
# 1. For every number $s$: $e^s = 1 + s + s^2/2! + s^3/3! + \dots$
# 2. $(k \cdot q)^p = \varphi_p(k) \cdot \varphi_p(q)$, where $\varphi_p(x)$ holds all $d^p$ products of $p$ entries of $x$; $\varphi_0(x)$ is 1.
# 3. Let $\varphi(x)$ hold $\varphi_0(x)/\sqrt{0!}$, $\varphi_1(x)/\sqrt{1!}$, $\varphi_2(x)/\sqrt{2!}$, and so on, one after the other. Then
#    $e^{k \cdot q} = \varphi(k) \cdot \varphi(q)$.
# 4. So $\sum_{i \le t} v_i e^{k_i \cdot q_t} = S_t \varphi(q_t)$ with $S_t = \sum_{i \le t} v_i \otimes \varphi(k_i)$, and
#    $\sum_{i \le t} e^{k_i \cdot q_t} = z_t \cdot \varphi(q_t)$ with $z_t = \sum_{i \le t} \varphi(k_i)$.
# 5. $S_t$ and $z_t$ do not grow with $t$. So a finite memory is enough for all texts, as in (eq. 1.3).
# 6. The output is the first sum divided by the second: nothing but $S_t$ and $z_t$ is needed.

# %% [markdown]
# The reasons on offer:
#
# - **A** · The series converges only for small scores.
# - **B** · A power of $k \cdot q$ can't be split into a part of $k$ and a part of $q$.
# - **C** · $\varphi(x)$ has infinitely many entries.
# - **D** · The division makes the output nonlinear in the state.
# - **E** · A state cannot hold the mask: token $t$ would see later tokens.
#
# {exercise:flaw_of_the_state}


# %% tags=["exercise"]
def flaw_of_the_state():
    """→ (line, reason): the number of the line that is wrong, and the letter of the reason."""
    # BEGIN SOLUTION
    return 5, "C"
    # END SOLUTION


# %%
check(flaw_of_the_state)

# %% [markdown]
# {solution:flaw_of_the_state}
#
# What if we cut the series after the power $p$? Then the state is finite. How wrong are the weights? "Misplaced" is the share of
# the weight that would have to move, for 50 × 50 normal random scores; sizes are those of width 64, with all $d^p$ products:


# %%
def cut(scores, order):
    """Weights from the first terms of the series, up to the power `order`."""
    powers = sum(scores**p / math.factorial(p) for p in range(order + 1))
    return powers / powers.sum(-1, keepdim=True)


normal = torch.randn(50, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
for order in (2, 4, 8):
    size = sum(64**p for p in range(order + 1)) * 65  # of S and z
    off = [(cut(s, order) - s.softmax(-1)).abs().sum(-1).mean() / 2 for s in (normal, 5 * normal)]
    print(f"up to p = {order}: a state as large as a cache of {size / 128:,.0f} tokens; ", end="")
    print(f"misplaced {off[0]:.1%}, with scores five times as large {off[1]:.0%}")

# %% [markdown]
# Nor is there another $\varphi$ of finite length that is exact for all texts. Let $n$ different keys be the queries, too: the table
# $e^{k_i \cdot k_j}$ then has rank $n$, and the rank of a table $\varphi(k_i) \cdot \varphi(k_j)$ is at most the length of $\varphi$.
#
# Large scores are what the series finds hard. They are what softmax can do best: a score that is higher by 5 gets 150 times the weight.
# Does a GPT make use of that? We take its own queries and keys.

# %% [markdown]
# ## 8 · Back to the GPT ★
#
# One sentence, all 30 layers × 9 heads, each with its own $q$ (three heads share one $k$). How many tokens does the last one spread its weight over? We
# count $e^{H}$, with $H$ the entropy of the weights: 1 if all weight lies on one token, $n$ if it is spread evenly over $n$.

# %%
assets.ensure()
model = gpt.load("smollm2-135m")
text = "The film is long, and slow, and sad; but the last ten minutes, when the old man walks home through the snow, "
heads = gpt.heads(
    model, text + "are among the finest I have seen in any cinema, and I would sit through it again for them alone."
)
print("queries", tuple(heads.q.shape), "= layers, heads, tokens, width")

# %%
predict(
    "spread",
    "Take the median head of the 270. Over how many of the 50 tokens does it spread its softmax weight?",
    ["1 to 5", "6 to 20", "21 to 50"],
)

# %% [markdown]
# Three ways to weigh the same tokens: softmax (eq. 1.1), $\varphi$ = elu + 1 (eq. 1.5), and the raw scores (eq. 1.2). Raw weights have
# signs; for the count we take their sizes, as shares of their sum.

# %%
last, phi = heads.q[:, :, -1:], lambda x: torch.nn.functional.elu(x) + 1
raw = (last @ heads.k.mT)[:, :, 0]
weighed = {
    "softmax": (raw / 8).softmax(-1),
    "φ = elu + 1": (phi(last) @ phi(heads.k).mT)[:, :, 0],
    "raw scores": raw.abs(),
}
shares = {name: weights / weights.sum(-1, keepdim=True) for name, weights in weighed.items()}
spread = {name: torch.special.entr(share).sum(-1).exp() for name, share in shares.items()}

# %% tags=["hide-input"]
ranks = torch.arange(1, 271).numpy()
shown = {name: (ranks, values.flatten().sort().values.numpy()) for name, values in spread.items()}
plots.lines(
    shown,
    "heads, from the spikiest to the flattest",
    "tokens that share the weight",
    finding(
        "spread",
        "The GPT's own queries and keys: with softmax few tokens share the weight in most heads, without it most or all",
    ),
)

# %%
middle = {name: values.median().item() for name, values in spread.items()}
print(
    f"{len(heads.q[0, 0])} tokens; median over the heads:", ", ".join(f"{name} {m:.0f}" for name, m in middle.items())
)
spiky = spread["softmax"] <= middle["softmax"]
sinks = (shares["softmax"].argmax(-1) == 0)[spiky].float().mean().item()
print(f"of the spikier half, {sinks:.0%} put most weight on the very first token, which begins every text (BOS)")
print(f"of the raw weights of all heads, {(raw < 0).float().mean():.0%} are negative")
reveal("spread", "6 to 20", "In half of the heads over {tokens:.0f} tokens or fewer.", tokens=middle["softmax"])

# %% [markdown] tags=["conclusion", "after-spread"]
# **What you may conclude.** These queries and keys were made for softmax. With it, a head in the middle weighs a few tokens; without it,
# raw or with elu + 1, the weight is spread over most tokens. Most of the spikier heads pick the first token, an **attention sink**. (A
# common explanation, not tested here: a head that finds nothing puts its weight there.)
#
# **What you may not:** that one sentence stands for all, or that a model trained with linear attention could not learn
# to weigh few tokens. It would have other queries and keys.

# %% [markdown]
# The course goes on with raw scores (eq. 1.2), because there the algebra of notebooks 02 and 03 is exact. A GPT has the softmax. Whenever
# a sentence about the raw form is carried over to a GPT, remember how far apart two lines of this figure are: *raw scores* and *softmax*.

# %% [markdown]
# ## 9 · Aloud, before you go ★
#
# 1. Why does the state not grow with the text, and what is the price?
# 2. In which form would you read a long text, and in which would you generate? Which figures say so?
# 3. What goes wrong if a chunk is written into the state before it is read?
# 4. Two keys are equal, their values differ. What does the state answer? What does softmax attention answer?
# 5. Why can't the softmax of (eq. 1.1) be taken apart as in (eq. 1.3), with a state of fixed size?

# %% [markdown]
# {equations:01}
#
# **What comes next.** While it reads, linear attention writes a matrix: a sum of outer products of values and keys. Notebook 02 finds
# the same kind of sum in the weights of a layer that was trained by gradient descent: [02 · the dual form](02_dual_form.ipynb).
