# %% [markdown]
# # 01 · Linear attention
#
# **Three programs that look nothing alike compute the same attention, and one of them needs no memory of the past but a single
# matrix. That matrix is the stage on which the whole course plays.**
#
# *You need: notebook 00 and Python. About 120 minutes, 60 of them (★) on the core path. No GPU.*

# %%
import torch

from helpers import attention, gpt, plots
from helpers.check import break_it, check, route
from helpers.course import assets
from helpers.experiments import attention_cost
from helpers.support import formats
from helpers.widgets import finding, memory, predict, reveal

# %%
route(here="01")

# %% [markdown]
# ## 1 · Attention is a table
#
# **Recall.** In notebook 00 the model found *went* without a single weight changing. Where, then, did what it had read come in?
# Through *attention*, the one place where a token can look at other tokens.
#
# Each token hands out three vectors: a **query** (what am I looking for?), a **key** (what can I be found by?) and a **value** (what
# do I have to give?). In the code a token is a *row*: `q` and `k` are `[n d]`, `v` is `[n m]`. (Papers write columns. We
# say so once, here.)
#
# Token $t$ compares its query with all keys up to its own, turns the comparisons into weights that sum to one, and takes that
# mean of the values:
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
# All comparisons at once are a table, `q @ k.T`: a row for every query. What lies in the future is masked: its score is $-\infty$, so
# that its weight is $e^{-\infty} = 0$.

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
plots.matrices(panels, "key i", "query t", "A row of scores becomes weights that sum to one", numbers=True)

# %% [markdown]
# The whole way, from tokens to the output of the last one, with the same random vectors:

# %% tags=["hide-input"]
tokens = ["the", "film", "is", "long", "and", "sad"]
plots.attention_flow(tokens, q.numpy(), k.numpy(), v.numpy(), "Attention: compare, weigh, take the mean of the values")

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
# (From here on, cells that come after an exercise use the course's own version, `attention.softmax_attention`, so that nobody
# gets stuck.)

# %% [markdown]
# ## 2 · Drop the softmax
#
# **Question.** Softmax attention looks at every earlier token again, for every new token. What is left if we keep the
# comparison $k_i \cdot q_t$ and throw the softmax away?

# %%
predict(
    "cost",
    "You generate token 10,000. Without the softmax, how many earlier tokens must you look at again?",
    ["none", "one", "all 9,999"],
)

# %% [markdown]
# The relaxed form, the one that the paper works with, uses the comparisons as they are:
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
# Raw scores can be negative, and nothing makes them sum to one. It is no longer an average: a value can be *subtracted*. Keep that
# in mind; in notebook 03 the subtracting turns out to be the point.

# %% [markdown]
# ## 3 · One matrix that remembers
#
# The sum for token $t$ and the sum for token $t - 1$ differ by one term. And in every term the query can be pulled out to the right:
#
# $$o_t = \Big(\underbrace{\sum_{i \le t} v_i k_i^\top}_{S_t}\Big) q_t, \qquad S_t = S_{t-1} + v_t \otimes k_t \tag{1.3}$$
#
# $v \otimes k$ is the **outer product**, the matrix `[m d]` with entries $v_a k_b$. So nothing needs to be looked at again: a
# **state** of fixed size carries all that linear attention needs of what was read.
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
print("state     ", tuple(state.shape), " the same size after 6 tokens or 6 million")
print("difference", formats.rounding(outputs - attention.linear_attention(q, k, v)))

# %% tags=["hide-input"]
plots.state_written(k[:3].numpy(), v[:3].numpy(), "The state is written token by token, then read", query=q[2].numpy())

# %%
reveal("cost", "none", "The state holds all that linear attention needs: one matrix, whatever was read.")

# %% [markdown]
# ## 4 · How much fits into a matrix?
#
# A state is a memory: writing adds $v_i \otimes k_i$, reading is a product with a key. Let us write a word into one, letter by letter,
# under random keys of length 1, and read it back: for each key the letter whose entry is largest.


# %%
def remember(count, width, seed=0):
    """Write `count` random letters under random keys of length 1; the letters, and what is read for each key."""
    rng = torch.Generator().manual_seed(seed)
    keys = torch.nn.functional.normalize(torch.randn(count, width, generator=rng), dim=1)
    letters = torch.randint(26, (count,), generator=rng)
    values = torch.eye(26)[letters]
    state = values.T @ keys  # [26 width], the sum of all outer products
    return letters, keys @ state.T


letters, read = remember(8, 64)
print("written ", "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i] for i in letters))
print("read    ", "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i] for i in read.argmax(1)))

# %%
predict(
    "fits",
    "Width 64. With how many pairs is what you read as far off as a value is long?",
    ["about 8", "about 64", "about 500", "any number"],
)


# %%
def distance(count, width, seed):
    """How far what is read is from the value, in lengths of a value."""
    letters, read = remember(count, width, seed)
    return (read - torch.eye(26)[letters]).norm(dim=1).mean().item()


counts = [2, 4, 8, 16, 32, 64, 128, 256, 512]
errors = {
    f"width {width}": torch.tensor([sum(distance(n, width, seed) for seed in range(20)) / 20 for n in counts])
    for width in (16, 64, 256)
}

# %% tags=["hide-input"]
curves = {name: (torch.tensor(counts).numpy(), means.numpy()) for name, means in errors.items()}
title = finding("fits", "At as many pairs as dimensions, interference is as large as a value")
plots.lines(curves, "pairs written", "error, in lengths of a value", title, log="xy")

# %%
reveal("fits", "about 64", "With random keys the error is √((pairs − 1) / width).")

# %% [markdown] tags=["after-fits"]
# **What you should see.** Three lines of slope ½, each reaching 1 where pairs = width. The *largest* entry is still the right letter for
# long after that: a memory fails slowly. Reading with key $k_j$ gives
#
# $$S k_j = v_j + \sum_{i \ne j} v_i (k_i \cdot k_j)$$
#
# and random keys in $d$ dimensions overlap by about $1/\sqrt d$: the second term is **interference**. ($d$ keys at right angles would not
# overlap at all.) Softmax attention can keep more pairs apart, where its scores are sharp, and pays with a memory that grows.

# %% [markdown] tags=["after-fits"]
# Move the sliders: a width, a number of pairs, and the word as it is read back. Where do the first wrong letters come?

# %% tags=["hide-input"]
memory(remember)

# %% [markdown]
# ## 5 · Chunks: the form that is fast
#
# The table takes two large products, at which computers are good, but with $n^2$ numbers between them. The recurrence does $n$ steps, each too small to
# keep a computer busy. **Chunks** take the best of both: inside a chunk the table, between chunks the state.
#
# **By hand.** Four tokens, chunks of two. Every pair $i \le t$ must be counted once:

# %%
products, place = (q @ k.T).tril()[:4, :4], torch.arange(4) // 2
inside = products.where((place[:, None] == place).tril(), torch.nan)
through = products.where(place[:, None] > place, torch.nan)
panels = {"the table": inside.numpy(), "the state": through.numpy()}
plots.matrices(panels, "key i", "query t", "Inside a chunk the table, before it the state", numbers=True)

# %% [markdown]
# $$o_t = \underbrace{S_{c} \, q_t}_{\text{all chunks before}} + \underbrace{\sum_{i \le t, \text{ same chunk}} v_i (k_i \cdot q_t)}_{\text{exercise 1.2, on the chunk}} \tag{1.4}$$
#
# $S_c$ is the state *before* chunk $c$. After the chunk it grows by $V_c^\top K_c$, all its outer products in one product.
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
# **Break it.** Here is a version with a short memory: it is right on many inputs. Find one on which it is wrong.


# %%
def short_memory(q, k, v, chunk=4):
    state, outputs = q.new_zeros(v.shape[1], q.shape[1]), []
    for q_c, k_c, v_c in zip(q.split(chunk), k.split(chunk), v.split(chunk), strict=True):
        outputs.append(q_c @ state.T + torch.tril(q_c @ k_c.T) @ v_c)
        state = v_c.T @ k_c
    return torch.cat(outputs)


def counterexample():
    """Inputs (q, k, v) on which `short_memory` is wrong."""
    # BEGIN SOLUTION
    return torch.ones(9, 1), torch.ones(9, 1), torch.ones(9, 1)  # two chunks are not enough to forget one
    # END SOLUTION


break_it(short_memory, attention.linear_attention, counterexample)

# %% [markdown]
# ## 6 · What each costs
#
# **Recorded** on two cores, 8 heads of width 64, forward:

# %% tags=["hide-input"]
costs = attention_cost.lengths()
plots.lines(costs, "tokens n", "seconds a call", "Measured: softmax and the table bend up, the others hardly", log="xy")
attention_cost.ATTENTION.show_source()

# %% [markdown]
# Operations grow as $n^2$ for softmax and the table, as $n$ for the others; the exponents at the ends of the lines are of measured *seconds*, in the
# upper half, where caches run over too. (Why is the table slower than softmax, which does more? Torch's softmax attention never writes
# its table to memory.)
#
# From which length on is the chunked form faster than torch's own, highly tuned softmax attention? Read it off the figure before you
# run the next cell.

# %%
tokens, softmax = costs["softmax (torch)"]
_, chunked = costs["linear, chunked"]
first = next(n for n, slow, fast in zip(tokens, softmax, chunked, strict=True) if fast < slow)
times = dict(zip(tokens.tolist(), softmax / chunked, strict=True))
print(
    f"faster at the lengths tried from n = {first} on; at 2,048 by {times[2048]:.1f} times, at 8,192 by {times[8192]:.1f} times"
)

# %%
predict(
    "sentence-01",
    "Which sentence does this figure allow?",
    ["linear attention is better", "long texts are cheaper with it", "a GPT with it would be as good"],
)

# %%
reveal("sentence-01", "long texts are cheaper with it", "What is lost for that, the next section measures.")

# %% [markdown]
# ## 7 · What softmax has
#
# Raw scores have two faults: they may be negative, and they sum to anything. Both can be mended without giving up the state. Put a
# positive function $\varphi$ around queries and keys, and divide by the sum of the weights (Katharopoulos et al. 2020):
#
# $$o_t = \frac{\sum_{i \le t} v_i \, \varphi(k_i) \cdot \varphi(q_t)}{\sum_{i \le t} \varphi(k_i) \cdot \varphi(q_t)}, \qquad \varphi(x) = \mathrm{elu}(x) + 1 \tag{1.5}$$
#
# elu$(x)$ is $x$ for positive $x$ and $e^x - 1$ otherwise, so $\varphi$ is $x + 1$ or $e^x$: positive everywhere.
#
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
# Weights that are positive and sum to one; and both sums can run along as states (the course's version keeps the second as one more
# value, always 1), at linear cost. Is anything missing? Softmax can be **spiky**: a score that is
# higher by 5 gets 150 times the weight. To see whether a GPT makes use of that, we take its own queries and keys.

# %% [markdown]
# ## 8 · Back to the GPT
#
# A real sentence, all 30 layers × 9 heads, each with its own $q$ and $k$. How many tokens does a query spread its weight over? We count
# $e^{H}$, with $H$ the entropy of the weights: 1 if all weight lies on one token, $n$ if it is spread evenly over $n$.

# %%
assets.ensure()
model = gpt.load("smollm2-135m")
text = "The film is long, and slow, and sad; but the last ten minutes, when the old man walks home through the snow, "
read = gpt.heads(
    model, text + "are among the finest I have seen in any cinema, and I would sit through it again for them alone."
)
print("queries", tuple(read.q.shape), "= layers, heads, tokens, width")

# %%
predict(
    "spread",
    "In half of the heads: over how many of 50 tokens, at most, does the last one spread its softmax weight?",
    ["1 to 5", "6 to 20", "21 to 50"],
)

# %%
last, phi = read.q[:, :, -1:], lambda x: torch.nn.functional.elu(x) + 1
softmax = (last @ read.k.mT / 8).softmax(-1)[:, :, 0]
linear = (phi(last) @ phi(read.k).mT)[:, :, 0]
linear = linear / linear.sum(-1, keepdim=True)
spread = {
    name: (-(w * w.clamp(min=1e-30).log()).sum(-1)).exp() for name, w in (("softmax", softmax), ("φ = elu + 1", linear))
}

# %% tags=["hide-input"]
ranks = torch.arange(1, 271).numpy()
shown = {name: (ranks, values.flatten().sort().values.numpy()) for name, values in spread.items()}
plots.lines(
    shown,
    "heads, from the spikiest to the flattest",
    "tokens that share the weight",
    finding("spread", "The GPT's own vectors: spiky with softmax, flat without"),
)

# %%
middle = {name: values.median().item() for name, values in spread.items()}
print(
    f"{read.q.shape[2]} tokens; median over the heads: softmax {middle['softmax']:.0f}, elu + 1 {middle['φ = elu + 1']:.0f}"
)
spiky = spread["softmax"] <= middle["softmax"]
first = (softmax.argmax(-1) == 0)[spiky].float().mean().item()
print(f"of the spikier half, {first:.0%} put most weight on the very first token, the BOS")
reveal("spread", "6 to 20", "In half of the heads over {tokens:.0f} tokens or fewer.", tokens=middle["softmax"])

# %% [markdown] tags=["conclusion", "after-spread"]
# **What you may conclude.** With *these* queries and keys, made for softmax, linear attention spreads its weight over nearly everything;
# softmax lets a head pick. What most of the spikier heads pick is the first token, an **attention sink**: the place to look when there
# is nothing to look for.
#
# **What you may not:** that one sentence stands for all, or that a model trained with linear attention could not learn
# to look sharply. It would have other queries and keys.

# %% [markdown]
# The course goes on with the relaxed form, because there the algebra is exact. Each time a sentence about it is carried over to a
# GPT, remember this figure.

# %% [markdown]
# ## 9 · Aloud, before you go
#
# 1. Why does the state not grow with the text, and what is the price?
# 2. Which of the three programs would you train with, and with which would you generate?
# 3. What goes wrong if a chunk is written into the state before it is read?
# 4. Two keys are equal, their values differ. What does the state answer? What does softmax attention answer?
# 5. Why can't the softmax of (eq. 1.1) be pulled apart as in (eq. 1.3)?

# %% [markdown]
# {equations:01}
#
# **What comes next.** A sum of outer products of values and keys is a matrix that attention writes while it reads. Notebook 02 meets
# the same sum where nobody expects it: in the weights of a layer trained by gradient descent: [02 · the dual form](02_dual_form.ipynb).
