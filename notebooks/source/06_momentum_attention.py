# %% [markdown]
# # 06 · Momentum attention
#
# **If attention is a gradient step, give it momentum. We derive it, build its momentum in O(n), train with and without it, look for the effect with controls,
# and then put the momentum where the steps really are.**
#
# *You need: notebooks 01 to 03. About 150 minutes, 75 of them (★) on the core path. No GPU.*

# %%
import textwrap

import pandas as pd
import torch
from numpy.polynomial import Polynomial

from helpers import attention, gpt, lm, plots, regression
from helpers.check import break_it, check, route
from helpers.course import assets
from helpers.experiments import depth, momentum, pretrained
from helpers.gpt import momentum as gpt_momentum
from helpers.gpt import patches
from helpers.support import formats
from helpers.widgets import finding, predict, reveal, valley

# %% tags=["hide-input"]
route(here="06")

# %% [markdown]
# ## 1 · A ball in a valley
#
# **Recall.** In notebook 02 momentum changed the error signals of the dual form, and nothing else. What became of an error after its own step? (Momentum was $\beta$ there;
# here $\eta$, as in the paper.)
#
# **Question.** What does momentum remember, and when does that help?
#
# A narrow valley: steep across, flat along. Plain gradient descent may not step far, or it leaps from wall to wall; so it creeps along the bottom. With
# **momentum** the step is not the gradient but a sum of all gradients so far, older ones fading by $\eta$ a step:
#
# $$u_t = g_t + \eta\, u_{t-1}, \qquad w_{t+1} = w_t - \mathrm{lr}\, u_t \tag{6.1}$$

# Two balls roll side by side: one with the rate and the $\eta$ that you drag, one without momentum at the same rate. The map at the right has a place for every choice of both.

# %% tags=["hide-input"]
valley()

# %% [markdown]
# **What you should see.** Same rate, same start. The plain ball (squares) drops to the floor at once, and creeps. The other ($\eta = 0.8$, circles) overshoots and swings across a few
# times; but along the floor its gradients agree and add up, to nearly $1/(1-\eta) = 5$ times as much: after ten steps it is 0.2 from the lowest place, runs past, and is 1.1
# away after 12; the plain one 5.2.
#
# **Drag.**
#
# 1. $\eta$ to 0.7, then to 0.9, at this rate. The loss stays below 1 % of its start from step 12 on, and only from step 44: more momentum is not always faster.
# 2. The rate to 0.1. The plain ball leaps from wall to wall for ever; with $\eta = 0.5$ step 9 is enough. So momentum allows larger rates, too (the black line in the map).
# 3. The best that the plain ball can do: rate 0.095, and 23 steps. So part of the gain was the rate's.

# %% [markdown]
# **By hand.** Gradients 1, 1, 1 with $\eta = \tfrac12$: $u = 1,\ 1.5,\ 1.75$. Gradients 1, −1, 1: $u = 1,\ -0.5,\ 0.75$.

# %% [markdown]
# {exercise:momentum_gradients}


# %% tags=["exercise"]
def momentum_gradients(gradients, eta):
    """(eq. 6.1), u_0 = 0. gradients: [n d], eta → [n d]."""
    # BEGIN SOLUTION
    u, buffers = torch.zeros_like(gradients[0]), []
    for g in gradients:
        u = g + eta * u
        buffers.append(u)
    return torch.stack(buffers)
    # END SOLUTION


# %%
check(momentum_gradients)

# %% [markdown]
# {solution:momentum_gradients}
#
# ## 2 · From there to attention
#
# Dai et al. (2022) read attention as descent, one meta-gradient a token, and ask: what if it had momentum? They add to softmax attention the fading sum of
# the values before:
#
# $$\mathrm{MoAttn}_t = \underbrace{\sum_{i \le t} v_i\, \mathrm{softmax}_i\!\left(\frac{k_i \cdot q_t}{\sqrt d}\right)}_{(1.1)} + \sum_{i < t} \eta^{\,t-i}\, v_i \tag{6.2}$$
#
# **By hand.** Values 8, 4, 2 and $\eta = \tfrac12$: to the third token the new sum adds $\tfrac12 \cdot 4 + \tfrac14 \cdot 8 = 4$.

# %% [markdown]
# {exercise:momentum_attention}


# %% tags=["exercise"]
def momentum_attention(q, k, v, eta):
    """(eq. 6.2). q, k: [n d], v: [n m], eta → [n m]."""
    # BEGIN SOLUTION
    t = torch.arange(len(v), dtype=v.dtype)
    ages = t[:, None] - t
    weights = torch.where(ages > 0, eta**ages, 0.0)
    return attention.softmax_attention(q, k, v) + weights @ v
    # END SOLUTION


# %%
check(momentum_attention)

# %% [markdown]
# {solution:momentum_attention}

# %% [markdown]
# The table of $\eta^{t-i}$ costs $n^2$. But what the next token finds is what this one found, with its own value added, faded once more:
#
# $$m_t = \sum_{i<t} \eta^{\,t-i}\, v_i = \eta\,(m_{t-1} + v_{t-1}), \qquad m_1 = 0 \tag{6.3}$$
#
# {exercise:momentum_scan}


# %% tags=["exercise"]
def momentum_scan(v, eta):
    """(eq. 6.3) in one pass. v: [n m], eta → [n m]."""
    # BEGIN SOLUTION
    m, sums = torch.zeros_like(v[0]), []
    for value in v:
        sums.append(m)
        m = eta * (m + value)
    return torch.stack(sums)
    # END SOLUTION


# %%
check(momentum_scan)

# %% [markdown]
# {solution:momentum_scan}
#
# `helpers` has it in chunks, as (eq. 1.4), and one token at a time, for generation.
#
# **Break it.** This version takes eight tokens at once: inside a chunk it uses the right sum, and from chunk to chunk it hands one sum on. On random values of a dozen tokens it is
# right. Find values on which it is wrong.


# %%
def in_chunks(v, eta=0.9, size=8):
    sums, handed_on = [], torch.zeros(v.shape[1], dtype=v.dtype)
    for part in v.split(size):
        inside = attention.momentum_scan(part, eta)
        sums.append(inside + eta ** torch.arange(len(part), dtype=v.dtype)[:, None] * handed_on)
        handed_on = eta * (inside[-1] + part[-1])
    return torch.cat(sums)


def counterexample():
    """Values v [n m] on which `in_chunks` is wrong."""
    # BEGIN SOLUTION
    return torch.ones(17, 1)  # token 17 needs the first chunk: what was handed on once is not handed on again
    # END SOLUTION


break_it(in_chunks, lambda v: attention.momentum_scan(v, 0.9), counterexample)

# %% [markdown]
# With $\eta = 0$ nothing may change, not one bit:

# %%
rng = torch.Generator().manual_seed(0)
q, k, v = (torch.randn(1, 8, 2048, 64, generator=rng) for _ in range(3))
plain = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
print("η = 0 is plain, bit for bit:", torch.equal(attention.momentum_attention(q, k, v, 0.0), plain))
for eta in (0.5, 0.9, 0.99):
    added = attention.momentum_scan(v, eta).norm() / plain.norm()
    print(f"η = {eta}: {added:.0f} times as long")

# %% [markdown]
# The other three lines say how long momentum's part is, against attention's. Softmax weights sum to one, the momentum's to up to $\eta/(1-\eta)$. The sum is **not normalised**, and it does not ask what the
# query wants. (On random tokens both are sums of unrelated values, and attention's nearly cancel: hence the large factors.)
#
# **On purpose**: an $\eta$ that never forgets.

# %%
try:
    attention.momentum_scan(v, 1.0)
except ValueError as error:
    print(error)

# %% [markdown]
# ## 3 · What the step skips
#
# From (eq. 6.1) to (eq. 6.2) there was a leap, the paper's, by analogy. The meta-gradient of notebook 03 is not $v_i$ but $v_i \otimes k_i$; and momentum in descent is added up *twice*: gradients into $u$,
# and $u$ into the weights. For **linear** attention no leap is needed. One token a step, on the loss $\ell_t(S) = -v_t^\top S k_t$:

# %%
n, d, m, eta = 12, 4, 3, 0.8
q, k, v = (torch.randn(n, width, generator=rng, dtype=torch.float64) for width in (d, d, m))
s = torch.zeros(m, d, dtype=torch.float64, requires_grad=True)
sgd, outputs = torch.optim.SGD([s], lr=1, momentum=eta), []
for t in range(n):
    sgd.zero_grad()
    (-v[t] @ s @ k[t]).backward()
    sgd.step()
    outputs.append(s.detach() @ q[t])
descent = torch.stack(outputs)
exact = attention.momentum_linear_attention(q, k, v, eta, chunk=4)
print("torch's SGD minus attention:", formats.rounding(descent - exact))

# %% [markdown]
# The equality is exact: torch's SGD with momentum, and linear attention with momentum, computed in chunks, are one function.

# %%
predict(
    "age",
    "Exact momentum in linear attention: which pairs count least, compared with no momentum?",
    ["the newest", "the oldest", "all alike"],
)

# %% [markdown]
# {exercise:momentum_weight}


# %% tags=["exercise"]
def momentum_weight(ages, eta):
    """ages: [n], each a = t − i; eta → for each age the weight of v_i (k_i·q_t) in o_t, [n]."""
    # 1. Its own step puts the pair into the buffer:  u_i = v_i ⊗ k_i + …
    # 2. Every later step s keeps a part of it:       u_s = η^(s−i) v_i ⊗ k_i + …
    # 3. The state adds all buffers up:               S_t = u_1 + u_2 + … + u_t
    # 4. So its weight in S_t is the sum of η^(s−i) over s = …, and in closed form:
    # BEGIN SOLUTION
    return (1 - eta ** (ages + 1)) / (1 - eta)
    # END SOLUTION


# %%
check(momentum_weight)

# %% [markdown]
# {solution:momentum_weight}

# %% [markdown] tags=["after-age"]
# A gradient of age $a = t - i$ was added $a + 1$ times: once whole, then $\eta, \eta^2, \dots, \eta^a$ of it. Together, for the pair of token $i$:
#
# $$o_t = \sum_{i \le t} \frac{1 - \eta^{\,a+1}}{1 - \eta}\; v_i\,(k_i \cdot q_t), \qquad a = t - i \tag{6.5}$$
#
# By hand, with $\eta = \tfrac12$: ages 0, 1, 2 weigh $1, \tfrac32, \tfrac74$. (The number 6.4 comes in section 6.)

# %% tags=["hide-input"]
ages = torch.arange(31)
curves = {"plain linear attention": torch.ones(31), "exact momentum (eq. 6.5)": (1 - 0.8 ** (ages + 1)) / 0.2}
curves["what MoAttn adds (eq. 6.2)"] = torch.where(ages > 0, 0.8**ages, 0)
shown = {name: (ages.numpy(), weight.numpy()) for name, weight in curves.items()}
title = finding("age", "Momentum in descent holds the newest pairs back; the momentum of MoAttn adds to them (η = 0.8)")
plots.lines(shown, "age a = t − i (tokens)", "weight", title)

# %%
reveal(
    "age", "the newest", "Once 1, where old pairs reach 1/(1−η) = 5. A gradient once taken in is applied again later."
)

# %% [markdown] tags=["conclusion", "after-age"]
# **What you may conclude.** MoAttn drops two things, the keys and the accumulation, and what is left is another thing: a recency bias that no query can switch
# off. (The authors say themselves that it strengthens attention's recency bias.)
#
# **What you may not:** that it must therefore be useless. That is a question for measurement, and for a *control*: plain attention with a learned recency bias, and with a
# short convolution, which also mixes in the last few values.

# %% [markdown]
# ## 4 · Train with and without
#
# A small language model (`helpers/lm/`: two layers, four heads, half a million parameters) reads Django's manual (6 MB). Same first weights, same batches; one has
# plain attention, one a learned $\eta$ a head, from 0. Two hundred steps, live:

# %%
assets.ensure()
tokenizer = lm.vocabulary(lm.corpus("train"), momentum.SHAPE.vocabulary)
train = lm.encode(tokenizer, lm.corpus("train"))
print(f"{len(lm.corpus('train'))} documents, {len(train):,} tokens; forty of them:\n")
print(textwrap.fill(tokenizer.decode(train[1000:1040].tolist()), 44))

# %%
predict(
    "effect",
    "Trained to the end, over eight seeds: the test loss with a learned η, compared with plain attention?",
    ["lower by more than 0.05 nats", "within 0.05", "higher by more than 0.05"],
)

# %% tags=["nbval-ignore-output"]
recipe = lm.TrainingConfig(steps=200, batch=4, lr=6e-3, warmup=40)
models = {name: momentum.build(momentum.SHAPE, name, seed=0) for name in ("plain", "η learned")}
runs = {name: lm.training_steps(model, train, recipe) for name, model in models.items()}
losses, page = {name: [] for name in runs}, plots.place()
for step in range(recipe.steps):
    for name, run in runs.items():
        losses[name].append(next(run)[1])
    if step % 20 == 19:
        shown = {}
        for name, values in losses.items():
            means = torch.tensor(values).reshape(-1, 10).mean(1)
            shown[name] = (10 * torch.arange(1, len(means) + 1).numpy(), means.numpy())
        plots.lines(shown, "step", "training loss (nats a token)", "The loss, ten steps at a time", into=page)

# %% tags=["nbval-ignore-output"]
for number, eta in enumerate(models["η learned"].etas, 1):
    print(f"η of layer {number}, head by head:", *(f"{x:.2f}" for x in eta.tolist()))
for name, model in models.items():
    print(f"\n{name}:", textwrap.fill(lm.generate(model, tokenizer, "To create a", tokens=40, seed=1), 44), sep="\n")

# %% [markdown]
# One seed, two hundred steps: an anecdote.
#
# **Recorded**: eight seeds, 800 steps, test documents never seen in training, loss in nats a token; differences are paired by seed. Beside fixed and learned $\eta$ stand the two
# controls of section 3.

# %% tags=["hide-input"]
trained, gaps = momentum.LANGUAGE_STUDY.rows(), {}
for name in ("η = 0.5", "η = 0.9", "η learned", "recency", "convolution"):
    values = momentum.differences(trained, name)
    gaps[name] = (values, momentum.estimate(values))
title = finding("effect", "A learned η helps, a learned recency bias as much; a fixed η hurts")
plots.differences(gaps, "test loss minus plain attention’s, seed by seed (nats a token)", title)

# %%
gain = -gaps["η learned"][1][0]
reveal("effect", "lower by more than 0.05 nats", "By {gain:.2f} nats. Now look at the control beside it.", gain=gain)
mean, low, high = momentum.estimate(momentum.differences(trained, "η learned", "recency"))
print(f"η learned minus recency:\n{mean:+.3f} ({low:+.3f} to {high:+.3f}) nats")

# %% [markdown] tags=["after-effect"]
# <details><summary>All numbers of this figure</summary>
#
# *Test loss in nats a token, eight seeds; differences from plain attention are paired by seed.*
#
# {result:lm}
#
# </details>

# %% tags=["hide-input"]
etas = torch.tensor([row["result"]["etas"] for row in trained if row["cell"]["variant"] == "η learned"])
largest = etas.max(2).values
pd.DataFrame(
    {
        "η at 0": [f"{share:.0%}" for share in (etas == 0).double().mean((0, 2))],
        "η above 0.1": [f"{share:.0%}" for share in (etas > 0.1).double().mean((0, 2))],
        "largest η, lowest seed": [f"{x:.2f}" for x in largest.min(0).values],
        "highest seed": [f"{x:.2f}" for x in largest.max(0).values],
    },
    index=["layer 1", "layer 2"],
)

# %% [markdown]
# (What the eight seeds learned, four heads a layer.) And where in the text is the difference?

# %% tags=["hide-input"]
bins, shown = [16, 32, 64, 128, 256], {}
for name in ("η learned", "recency"):
    mean, low, high = momentum.estimate(momentum.differences(trained, name, read=momentum.by_position))
    shown[name] = (torch.tensor(bins).numpy(), mean, low, high)
title = finding("effect", "Both gain at every position in the text")
plots.lines(shown, "tokens before, up to", "loss minus plain’s (nats a token)", title, log="x")

# %% [markdown]
# The models were trained on 256 tokens of context. Test loss (nats a token) there, and in longer texts:

# %% tags=["hide-input"]
lengths, losses = ("256", "512", "1024"), {}
for name in ("plain", "η learned", "recency"):
    found = momentum.measured(trained, name, lambda result: [result[length]["loss"] for length in lengths])
    losses[name] = [f"{loss:.2f}" for loss in sum(found.values()) / len(found)]
pd.DataFrame(losses, index=[f"{length} tokens" for length in lengths]).transpose()

# %% [markdown] tags=["after-effect"]
# **What you should see.** A fixed $\eta$, in all eight heads at once, hurts, the more the larger. (The recipe was chosen on plain attention, which counts against every other row.) Learned from 0,
# nearly half the heads leave $\eta$ at exactly 0 and one head of the first layer takes about 0.4; the loss falls in every seed. Then the control: a learned recency bias, as many numbers, gains
# as much. A short convolution gains a third. Beyond the 256 tokens of training, plain attention falls off; $\eta$ learned less, recency not at all.

# %% [markdown] tags=["conclusion", "after-effect"]
# **What you may conclude.** All that a learned $\eta$ gains here, a learned recency bias gains too, and more in texts longer than any in training. So nothing in the gain *needs* momentum. The likely reason is
# that so small a model, after so little text, has not yet learned to look nearby.
#
# **What you may not:** that the two gains are one and the same (train a model with both to see), that the gain would last with more text, that it is so at 350 million parameters, nor that the
# paper's own gain is only this: it has no such control.

# %% [markdown]
# An analysis to examine. Somebody trains a small language model in two forms, with plain attention and with a learned $\eta$ a head, and asks: does the learned $\eta$ lower the
# test loss? Exactly one of these lines is wrong:
#
# 1. Five rates are tried for each of the two models on *validation* documents. Each model keeps its own best rate.
# 2. Seeds 0 to 7: in each, both models start from the same first weights and read the same batches, each at its own rate.
# 3. `loss[model]` `[8, 200]`: every trained model's loss on the same 200 windows of test documents, which nothing before has looked at.
# 4. `d = loss["η learned"] - loss["plain"]`: subtracted seed by seed and window by window.
# 5. The interval for the mean difference over new trainings: `bootstrap_interval(d.flatten())`, 10,000 resamples of the 1,600 differences.
# 6. This interval lies below 0. So, in the mean over new trainings, a learned η lowers the loss on this text.
#
# What is wrong with that line?
#
# - **A**: Two things differ between the models: the momentum and the rate.
# - **B**: What was looked at to choose is looked at again to judge.
# - **C**: The two models of a seed read the same batches, so their losses may not be subtracted.
# - **D**: Differences that share a training are counted as if each came from a training of its own.
# - **E**: The bootstrap needs values that are normally distributed, and losses are not.
#
# {exercise:flaw_of_the_interval}


# %% tags=["exercise"]
def flaw_of_the_interval():
    """→ (line number, letter of the reason), such as (1, "A")."""
    # BEGIN SOLUTION
    return 5, "D"
    # END SOLUTION


# %%
check(flaw_of_the_interval)

# %% [markdown]
# {solution:flaw_of_the_interval}

# %% [markdown]
# ## 5 · In context, from scratch
#
# The paper's hope was for in-context learning. Two small tests, models trained on nothing else. **Regression**: pairs $(x, y)$ in two dimensions, predict the next $y$; no noise, so two pairs fix the answer. **Recall**: pairs of a
# key and a value; then the same pairs in another order: say each value behind its key. **Recorded**, eight seeds. The error is squared in regression (1 is knowing nothing), and the share of wrong answers in recall
# (one of eight values shown, taken blindly, is wrong in a little under 7 of 8).


# %% tags=["hide-input"]
def by_demonstrations(study, counts, xlabel, title):
    rows, shown = study.rows(), {}
    for variant in dict.fromkeys(row["cell"]["variant"] for row in rows):
        found = momentum.measured(rows, variant, momentum.by_demonstrations).values()
        values = torch.stack([torch.tensor(value) for value in found]).numpy()
        shown[variant] = (torch.tensor(counts).numpy(), *momentum.estimate(values))
    plots.lines(shown, xlabel, "error", title)


title = "Regression: a learned η and none can’t be told apart; momentum-linear hardly learns"
by_demonstrations(momentum.REGRESSION_STUDY, range(9), "demonstrations", title)

# %% tags=["hide-input"]
title = "Recall is hardly learned by any; momentum in softmax attention takes two points off at most"
by_demonstrations(momentum.RECALL_STUDY, momentum.PAIRS, "pairs shown", title)

# %% [markdown]
# <details><summary>All numbers after the last demonstration</summary>
#
# *Regression: squared error after 8 demonstrations.*
#
# {result:regression in context}
#
# *Recall: share of wrong answers with 8 pairs.*
#
# {result:recall in context}
#
# </details>

# %% [markdown]
# **What you should see.** *Regression*: least squares would be at 0 from two pairs on; no model here comes near. Eight seeds do not tell a learned $\eta$ from none, though every seed gives a first-layer head an
# $\eta$ of 0.3 to 0.5: a $y$ stands right behind its $x$, so looking one back is useful. *Recall*: after 4,000 steps all are only somewhat better than blindly taking one of the
# values shown. A fixed $\eta$ of one half takes two points off the error, in all eight seeds; a learned one, mostly left at 0, nothing.
#
# *Momentum-linear* hardly learns regression, and is least bad at recall with 8 pairs. But linear attention *without* momentum was not run: this is no verdict on momentum.

# %% [markdown] tags=["conclusion"]
# **What you may conclude.** On two small tasks made for it, momentum in softmax attention brought two points at most.
#
# **What you may not:** that it brings no more to a model that has learned these tasks well. These
# have not.

# %% [markdown]
# ## 6 · Momentum where the steps are
#
# Perhaps the idea was put in the wrong place. In notebook 03 a layer of linear attention, with the right weights, *is* a gradient step: (eq. 3.6). Then a stack of layers is a descent, and the steps
# are **layers**, not tokens. Momentum from step to step is a connection from layer to layer, *heavy ball*:
#
# $$e^{(l+1)} = \mathrm{layer}(e^{(l)}) + \beta\,(e^{(l)} - e^{(l-1)}) \tag{6.4}$$
#
# One skip term, for all tokens; $e^{(-1)} = e^{(0)}$. From $W_0 = 0$ the last entry of the query's token after $l$ layers is $-w_l \cdot x$, of example $j$'s $y_j - w_l \cdot x_j$. The layer adds
# $-\Delta w \cdot x$, the skip $-\beta (w_l - w_{l-1}) \cdot x$; the $x$ part never moves, so the skip adds 0 to it. So $w_{l+1} = w_l - \mathrm{lr}\,\nabla + \beta\,(w_l - w_{l-1})$, and this is (eq. 6.1) with
# $\beta$ for $\eta$: there $-\mathrm{lr}\,u_{t-1}$ *is* $w_t - w_{t-1}$.

# %% [markdown]
# **By hand.** One example $x_1 = 1, y_1 = 1$, rate ½, $\beta = \tfrac12$, from 0: $w = \tfrac12$; then $\tfrac12 + \tfrac12 \cdot \tfrac12 + \tfrac12 \cdot \tfrac12 = 1$. Without: $\tfrac34$.
# The same example through six layers, the query at $x = 1$:

# %% tags=["hide-input"]
one = torch.ones(1, dtype=torch.float64)
plain, moving = (
    [0.0, *(regression.heavy_ball_layers(one[None], one, one, 0.5, beta, layers) for layers in range(1, 7))]
    for beta in (0.0, 0.5)
)
title = "Six layers on the example by hand: the second stack carries every move past the next layer"
plots.momentum_across_layers(torch.tensor(plain).numpy(), torch.tensor(moving).numpy(), 0.5, 1.0, title)

# %% [markdown]
# {exercise:heavy_ball_layers}


# %% tags=["exercise"]
def heavy_ball_layers(inputs, targets, x, lr, beta, layers):
    """(eq. 6.4), as steps from w = 0. inputs: [n d], targets: [n], x: [d] → w·x after `layers` steps, a float."""
    # BEGIN SOLUTION
    w = before = torch.zeros_like(x)
    for _ in range(layers):
        step = lr * (targets - inputs @ w) @ inputs
        w, before = w + step + beta * (w - before), w
    return (w @ x).item()
    # END SOLUTION


# %%
check(heavy_ball_layers)

# %% [markdown]
# {solution:heavy_ball_layers}

# %%
task = depth.narrow(1, seed=3)
inputs, targets, x = (part[0].double() for part in (task.inputs, task.targets, task.x))
w = torch.zeros(10, dtype=torch.float64, requires_grad=True)
sgd = torch.optim.SGD([w], lr=0.02, momentum=0.3)
for _ in range(8):
    sgd.zero_grad()
    (0.5 * (inputs @ w - targets).square().sum()).backward()
    sgd.step()
stack = regression.heavy_ball_layers(inputs, targets, x, 0.02, 0.3, 8)
print("torch's momentum minus eight layers:", formats.rounding((w @ x).detach() - stack))

# %% [markdown]
# Does it pay? Tasks with 80 examples in ten dimensions, the steepest ten times as steep as the flattest. Rate and $\beta$ are chosen for each depth on two hundred tasks of their own.

# %%
predict(
    "layers",
    "Eight layers, with momentum across them: how large is the median error, compared with none?",
    ["about as large", "half", "less than a tenth"],
)

# %%
tasks, found = depth.narrow(1000, seed=7), []
for beta, lr in ((0.0, 0.018), (0.3, 0.024)):
    errors = depth.squared_errors(tasks, 8, lr, beta)
    worse = (errors > tasks.y.square()).double().mean()
    measured = [f"{errors.median():.5f}", f"{errors.mean():.1f}", f"{worse:.1%}"]
    found.append([f"β = {beta}, rate {lr}", *measured])
columns = ["8 layers", "median error", "mean error", "worse than saying 0"]
pd.DataFrame(found, columns=columns).set_index("8 layers")

# %% tags=["hide-input"]
stacks, shown = depth.DEPTH.rows(), {}
for name, way in (("plain layers", False), ("momentum across layers", True)):
    kept = [row for row in stacks if row["cell"]["momentum"] == way]
    medians = [[r["result"]["quartiles"][1] for r in kept if r["cell"]["layers"] == n] for n in depth.DEPTHS]
    of_seeds = torch.tensor(medians)
    ends = (of_seeds.min(1).values.numpy(), of_seeds.max(1).values.numpy())
    shown[name] = (torch.tensor(depth.DEPTHS).numpy(), of_seeds.median(1).values.numpy(), *ends)
title = finding("layers", "With momentum across layers the error falls twice as fast (band: eight draws of tasks)")
plots.lines(shown, "layers", "median squared error", title, log="y")
depth.DEPTH.show_source()

# %%
reveal("layers", "less than a tenth", "At eight layers a thirteenth, at twelve less than a hundredth.")

# %% [markdown] tags=["after-layers"]
# **What you should see.** One number more, $\beta$, and eight layers do better than twelve without. (A few per cent of the tasks diverge either way; with momentum they go much further,
# and ruin the mean. That is why medians are compared, and it is the price.)
#
# <details><summary>All numbers of this figure</summary>
#
# *Median squared error: the median of eight draws of tasks (lowest–highest), and the rate and β chosen.*
#
# {result:depth}
#
# </details>

# %% [markdown]
# Is it a fair comparison? **One doubt**: where gradients agree, momentum at rate $\mathrm{lr}$ moves as plain descent at $\mathrm{lr}/(1-\beta)$ does. Is it no more than a larger step? A control
# says: compare with the *best* plain rate, not with the same rate. (The table above does: 0.018 is the plain stack's own choice.) Can you make a loss on which no plain rate explains it?
#
# {exercise:telling_valley}


# %% tags=["exercise"]
def telling_valley(lr, beta):
    """→ steepnesses h [d] of the loss ½ Σ_j h_j w_j², float64: 100 steps from w = (1, …, 1).

    Momentum (lr, beta) reaches 1 % of the first loss, and 1 % of what plain descent leaves at its best rate.
    """
    # BEGIN SOLUTION
    return torch.tensor([2.0, 0.1 * (1 - beta)], dtype=torch.float64) / lr
    # END SOLUTION


# %%
check(telling_valley)

# %% [markdown]
# {solution:telling_valley}

# %% [markdown]
# **Another doubt**: all plain layers share one rate. What if each had its own? The error that $n$ steps of momentum leave is a polynomial in the steepness; its roots, upside down, are rates:

# %%
before, error = Polynomial([1]), Polynomial([1, -0.024])  # what 0 and 1 steps leave of an error, by steepness
for _ in range(7):
    before, error = error, Polynomial([1.3, -0.024]) * error - 0.3 * before
rates = sorted(1 / error.roots().real)
layers = [regression.gd_as_attention(torch.zeros(1, 10), float(rate)) for rate in rates]
apart = (regression.predict(layers, tasks) - tasks.y).square()
print(f"8 plain layers, rates from {rates[0]:.3f} to {rates[-1]:.3f}:")
print(f"median squared error {apart.median():.5f}")

# %% [markdown] tags=["conclusion", "after-layers"]
# **What you may conclude.** If layers are steps, momentum between layers makes *one* rate serve them all, as it must where layers share weights.
#
# **What you may not:** that momentum is the only way: eight plain layers
# with rates of their own do exactly the same. Nor that a GPT's layers are steps of one descent. Here they were built to be.

# %% [markdown]
# ## 7 · Optional: a pretrained GPT with momentum
#
# `gpt.load(..., attention="momentum")` puts (eq. 6.2) into all 30 layers of the real GPT, with an $\eta$ for each of 270 heads, starting at exactly 0. Nothing may change:

# %%
lines = ["hope hoped", "walk walked", "take took", "play played", "think thought", "make made", "eat ate", "run ran"]
prompt = "".join("{} -> {}\n".format(*line.split()) for line in lines) + "go ->"
before = patches.next_token(gpt.load("smollm2-135m"), prompt)
model = gpt.load("smollm2-135m", attention="momentum")
print("logits unchanged, bit for bit:", torch.equal(patches.next_token(model, prompt), before))
for eta in (0, 0.01, 0.03, 0.1, 0.3):
    for weight in gpt_momentum.etas(model.network):
        weight.data.fill_(eta)
    print(f"η = {eta}: go ->{gpt.complete(model, prompt, tokens=5)!r}")

# %% [markdown]
# **Recorded**: twenty steps on the manual, of $\eta$ alone, of keys and values, and of both, three draws of text. First the loss on sixteen unseen windows (95 % intervals over windows):

# %% tags=["hide-input"]
rows, tuned = pretrained.PRETRAINED.rows(), "keys and values"
compared = {
    "η alone": ("eta", "untrained"),
    "keys and values alone": (tuned, "untrained"),
    "both": ("eta, keys and values", "untrained"),
    "both, from keys and values": ("eta, keys and values", tuned),
}
losses = {name: pretrained.difference(rows, *pair) for name, pair in compared.items()}
title = "η takes a hundredth of a nat off the loss; beside keys and values, nothing that can be told from 0"
plots.forest({"change of the loss": losses}, "nats a token, from the model not finetuned", title)
pretrained.PRETRAINED.show_source()

# %% [markdown]
# Then in-context accuracy on word pairs (16 demonstrations, 40 queries, first token of the answer; intervals over queries):

# %% tags=["hide-input"]
gains = {
    task: {name: pretrained.difference(rows, *pair, f"{task} right") for name, pair in compared.items()}
    for task in pretrained.ASKED
}
title = "In context momentum gains nothing that is clear, and capitals lose"
plots.forest(gains, "change of accuracy, from the model not finetuned", title)

# %% [markdown]
# <details><summary>All numbers of both figures</summary>
#
# *Loss on the test windows (nats a token): mean [lowest, highest draw].*
#
# {result:pretrained test}
#
# *Accuracy on past tenses.*
#
# {result:pretrained past}
#
# *Accuracy on antonyms.*
#
# {result:pretrained antonym}
#
# *Accuracy on capitals.*
#
# {result:pretrained capital}
#
# </details>

# %% [markdown]
# *What $\eta$ was learned, by layers:*
#
# {result:pretrained etas}

# %% [markdown]
# **What you should see.** $\eta$ alone, 270 numbers, takes a hundredth of a nat off the loss, a tenth of what keys and values take; beside them it adds nothing these intervals can tell from 0. No $\eta$
# grew beyond 0.1. In context momentum gains nothing these intervals show clearly; capitals lose with $\eta$ alone (.07), and a further .04 when $\eta$ joins keys and values. And the live cell shows
# how little $\eta$ this GPT stands.

# %% [markdown] tags=["conclusion"]
# **What you may conclude.** In a GPT trained without momentum, twenty steps find a hundredth of a nat of use for it, and none beside keys and values.
#
# **What you may not:** that more steps would find no more,
# nor that a GPT trained *with* it would not use it. (Three draws, sixteen windows.)

# %% [markdown]
# ## 8 · The verdict on momentum
#
# 1. *Across tokens*, as in the paper, a learned $\eta$ gains {result:lm gain} nats a token in a small model, in every seed; a recency bias gains {result:lm gain recency}: sure for this model and
#    text, unknown elsewhere.
# 2. *Exactly*, in linear attention, momentum holds the *newest* pairs back, the opposite of what (eq. 6.2) adds: proved; that it helps, we have not seen.
# 3. *Across layers that share one rate* the median error after eight is a thirteenth: sure, in eight draws of tasks, on layers built to be steps.

# %% [markdown]
# The paper's own tables (350M parameters, 500,000 steps, one run each; no interval is given), beside ours. The sizes can't be compared: the model here has a seven-hundredth of the parameters, has read
# three millionths of the tokens, and was trained on 256 tokens of context, theirs on 1,024, so that our lower rows are beyond training.
#
# *Perplexity in the paper, and its difference in nats a token there and here.*
#
# | perplexity | plain | momentum | in nats | here, η learned |
# |---|---|---|---|---|
# | training | 17.61 | 17.55 | −0.003 | |
# | 256 tokens of context | 19.50 | 19.37 | −0.007 | {result:lm at 256} |
# | 512 | 16.87 | 16.73 | −0.008 | {result:lm at 512} |
# | 1,024 | 15.14 | 15.02 | −0.008 | {result:lm at 1024} |
#
# *In-context accuracy in the paper (%).*
#
# | in-context accuracy | SST5 | IMDB | MR | CB | ARC-E | PIQA | mean |
# |---|---|---|---|---|---|---|---|
# | plain | 25.3 | 64.0 | 61.2 | 43.9 | 48.2 | 68.7 | 51.9 |
# | momentum | 27.4 | 70.3 | 64.8 | 46.8 | 50.0 | 69.0 | 54.7 |

# %% [markdown]
# ## 9 · What we know
#
# **Proved** (and tested to rounding here): linear attention's three programs are one function (1.2–1.4). A linear layer trained by gradient descent is its first weights plus attention to its training set
# (eq. 2.3), with momentum too (eq. 2.6). Relaxed attention over demonstrations is a weight update (eq. 3.3). One linear attention layer with the right weights is a gradient step (eq. 3.6); a stack of them with
# one skip term is descent with momentum (eq. 6.4). For one query's next token, a prompt can be written as patches of weights and shifts (eq. 3.8). On the loss $-v^\top S k$, descent with
# momentum is linear attention with weights by age (eq. 6.5).

# %% [markdown]
# **Measured**: trained on regression, one linear layer becomes the best single step (03, six seeds). The relaxation is far from what a real GPT's heads do; a patch made for one word does not serve the
# next (03). Where finetuning lowered the loss, it pushed attention's output more nearly where the prompt did; where attention looks, the two agree or not from task to task, and the order of demonstrations
# shows little; on past tenses no finetuning of 128 steps reached one prompt (04). Momentum across tokens gains what a recency bias gains; in a GPT trained without it, a hundredth of a nat; across layers
# it saves layers where all have one rate (06).

# %% [markdown]
# **Open**: whether a trained GPT's values *act* like errors of the task. The equalities can't tell, for they hold for any values. The measurements of 04 are compatible with descent, and with
# simpler stories. What would tell is a control: the same measurement on a model that cannot be descending. If the effect is there too, it was no evidence.
#
# So: *is in-context learning gradient descent in disguise?* It can be written that way; small linear transformers trained on regression really do it; that a GPT does, nothing on these pages shows.

# %% [markdown]
# ## 10 · Ten questions, after
#
# The same as in [notebook 00](00_start_here.ipynb). Answer them again, with how sure you are (1 to 5), then lay both sheets side by side.
#
# 1. What does an attention head compute for one token, in one sentence?
# 2. What is left of attention without its softmax, and what does one gain?
# 3. What does the state of linear attention hold after a thousand tokens?
# 4. Why is a gradient step's weight update a sum of outer products?
# 5. In which sense does a trained layer attend to its training examples?
# 6. What is a meta-gradient, and what plays the part of the error?
# 7. Where does *attention equals a gradient step* stop being exact in a real GPT?
# 8. Which measurement would convince you that a prompt and finetuning do the same inside a model, and what would it show by chance?
# 9. A prompt and finetuning correct the same mistakes. What follows?
# 10. What does momentum remember, and what would that mean for attention?

# %% [markdown]
# ## 11 · Three projects, and doors
#
# 1. **Keep the keys.** Add (eq. 6.5)'s state to softmax attention instead of (eq. 6.2)'s sum, at matched parameters, and run the grid of section 4 (`helpers/experiments/momentum.py`; a new variant
#    is one class in `helpers/lm/model.py`).
# 2. **Errors that a loss produced.** Replace $v_t$ by $v_t - S_{t-1} k_t$, the delta rule: now the error depends on the state. Which of this course's equalities survive?
# 3. **Another GPT.** Run notebooks 03 and 04 on a model and a language of your own: what is the relaxation's cosine there, and does a patch transfer?

# %% [markdown]
# **Doors.** [Test-time training](https://arxiv.org/abs/2407.04620) makes the state a model that descends a loss while it reads. [Titans](https://arxiv.org/abs/2501.00663) give such a memory momentum and
# forgetting, with errors that a loss produces. Momentum in [linear attention and residual connections](https://arxiv.org/abs/2208.00579). The rival story: [induction heads](https://arxiv.org/abs/2209.11895),
# [function vectors](https://arxiv.org/abs/2310.15213), [task vectors](https://arxiv.org/abs/2310.15916).

# %% [markdown]
# {equations:06}
