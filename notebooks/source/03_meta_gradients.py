# %% [markdown]
# # 03 · Meta-gradients
#
# **Attention over demonstrations, drawn as a weight update; softmax split exactly; values that become errors. One linear layer that *is* a gradient step; would training find it?
# Then a real prompt, rewritten as a patch of the real GPT's weights, deleted, and the question what that proves.**
#
# *You need: notebooks 01 and 02. About 245 minutes, 185 of them (★) on the core path. No GPU.*

# %%
import textwrap
from functools import partial

import pandas as pd
import torch

from helpers import attention, dual, gpt, icl, plots, regression, tasks
from helpers.check import break_it, check, route
from helpers.course import assets
from helpers.experiments import one_step, preconditioning, transfer
from helpers.gpt import patches
from helpers.support import formats
from helpers.support.examples import examples
from helpers.widgets import finding, gpt_head, look, microscope, predict, reveal, toy_head

# %% tags=["hide-input"]
route(here="03")

# %% [markdown]
# ## 1 · The sum of notebook 02, written by reading ★
#
# **Recall.** In notebook 02, what stood in the place of values, keys and query?
#
# **Question.** A GPT reads demonstrations $X'$ (rows: tokens $x'_i$), then the query's own text $X$. Its last token asks with $q$. One head answers
#
# $$F_{\mathrm{ICL}}(q) = W_V [X'; X]^\top \, \mathrm{softmax}\!\left(\frac{[X'; X]\, W_K^\top q}{\sqrt d}\right) \tag{3.1}$$
#
# Dai et al. (2022) drop the softmax and the $\sqrt d$: **relaxed** attention. The sum over tokens then splits, as in notebook 01. What the *demonstrations* put into it is a matrix:
#
# $$\Delta W_{\mathrm{ICL}} = \sum_i (W_V x'_i) \otimes (W_K x'_i) \tag{3.2}$$

# %% [markdown]
# Compare with (eq. 2.1), $\sum_i e_i \otimes x_i$. Where gradient descent has an error signal, here stands a value, $W_V x'_i$. The paper calls what demonstrations write in this
# way **meta-gradients**, because they stand in the gradient's place. (The function below returns their sum, a matrix.)
#
# **By hand.** One demonstration token $x' = (1, 2)$, $W_V = (3, 0)$, $W_K$ swaps the two entries. Value 3; key $(2, 1)$; $\Delta W = (6, 3)$. The query
# $(1, -1)$ gets $6 - 3 = 3$ more than without the demonstration.
#
# {exercise:meta_gradient}


# %% tags=["exercise"]
def meta_gradient(w_v, w_k, demos):
    """(eq. 3.2). w_v: [m e], w_k: [d e], demos: [n e] → [m d]."""
    # BEGIN SOLUTION
    return (demos @ w_v.T).T @ (demos @ w_k.T)
    # END SOLUTION


# %%
check(meta_gradient)

# %% [markdown]
# {solution:meta_gradient}
#
# ## 2 · Zero-shot, plus an update ★
#
# The query's own text makes a matrix by the same rule, from $X$. That matrix is what attention has *without* demonstrations: $W_{\mathrm{ZSL}}$ (zero-shot learning). So relaxed attention
# over everything is
#
# $$\tilde F_{\mathrm{ICL}}(q) = \big(W_{\mathrm{ZSL}} + \Delta W_{\mathrm{ICL}}\big)\, q \tag{3.3}$$
#
# a linear layer whose weights the demonstrations have updated.
#
# {exercise:icl_decomposition}


# %% tags=["exercise"]
def icl_decomposition(w_v, w_k, demos, context, query):
    """(eq. 3.3). w_v: [m e], w_k: [d e], demos: [n' e], context: [n e], query: [d] → (W_ZSL q [m], ΔW_ICL q [m])."""
    # BEGIN SOLUTION
    return meta_gradient(w_v, w_k, context) @ query, meta_gradient(w_v, w_k, demos) @ query
    # END SOLUTION


# %%
check(icl_decomposition)

# %% [markdown]
# {solution:icl_decomposition}

# %%
rng = torch.Generator().manual_seed(0)
w_v, w_k, demos, context, q_last = (
    torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((3, 5), (4, 5), (6, 5), (2, 5), (4,))
)
everything = torch.cat([demos, context])
k, v = everything @ w_k.T, everything @ w_v.T
attended = attention.linear_attention(q_last.expand(8, 4), k, v)[-1]  # the last token sees all eight
zero_shot, update = dual.icl_decomposition(w_v, w_k, demos, context, q_last)
print("zero-shot", zero_shot.numpy().round(2))
print("update   ", update.numpy().round(2))
print("sum minus relaxed attention:", formats.rounding(zero_shot + update - attended))

# %% [markdown]
# The same numbers as a picture. Six demonstration tokens write one matrix, two tokens of the query's own text another; both are put to the same $q$.

# %% tags=["hide-input"]
dw, w_zsl = (dual.meta_gradient(w_v, w_k, part).numpy() for part in (demos, context))
names = [f"x'{i}" for i in range(1, 7)], ["x1", "x2"]
plots.icl_split(dw, w_zsl, q_last.numpy(), *names, "Relaxed attention: zero-shot, plus an update")

# %% [markdown]
# **Break it.** A colleague saves work: a token whose value the matrix answers already is not written again. On random tokens the result is right, whatever their number.
# Find demonstrations for which it is wrong.


# %%
def written_once(w_v, w_k, demos):
    dw = torch.zeros(len(w_v), len(w_k), dtype=demos.dtype)
    for token in demos:
        value, key = w_v @ token, w_k @ token
        if not torch.allclose(dw @ key, value):
            dw = dw + torch.outer(value, key)
    return dw


def counterexample():
    """Inputs (w_v [m e], w_k [d e], demos [n e]) on which `written_once` is wrong."""
    # BEGIN SOLUTION
    return torch.eye(2), torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # a key of length 1, twice
    # END SOLUTION


break_it(written_once, dual.meta_gradient, counterexample)

# %% [markdown]
# Relaxed attention adds a value to the matrix whatever the matrix says to its key already. Section 7 comes back to this.
#
# ## 3 · Watch it grow ★

# %%
predict("rank", "Six demonstration tokens, ΔW is 3 × 4. What is its rank?", ["1", "3", "4", "6"])

# %%
grown = {n: dual.meta_gradient(w_v, w_k, demos[:n]) for n in (1, 2, 3, 4, 6)}

# %% tags=["hide-input"]
panels = {f"{n} token{'s' * (n > 1)}": dw.numpy() for n, dw in grown.items()}
plots.matrices(panels, "key's entry", "value's entry", "Every demonstration token adds one outer product to ΔW")

# %%
table = {}
for n, dw in grown.items():
    spectrum = torch.linalg.svdvals(dw)
    table[n] = ((spectrum > 1e-9).sum().item(), *(f"{size:.1f}" for size in spectrum))
pd.DataFrame(table, ["rank", "singular values: 1st", "2nd", "3rd"]).transpose().rename_axis(columns="tokens")

# %% [markdown]
# (Singular values say how much a matrix stretches, direction by direction; the rank counts those that are not 0.)

# %%
reveal("rank", "3", "One more with every token, up to the smaller side of the matrix.")

# %% [markdown] tags=["conclusion"]
# **What you may conclude.** (eq. 3.3) is exact for relaxed attention, whatever the demonstrations say, even if they are noise, as these are. **Linear attention *can be
# written* as a gradient step** (of rate 1, on $-\sum_i v_i \cdot W k_i$, a loss without a minimum).
#
# **What you may not:** that this update *improves* anything. A gradient step's errors come from a loss; these "errors" are values, which no task's loss produced. Whether a
# GPT's values *act* like errors of the task is a question for measurement (notebooks 04 and 05).

# %% [markdown]
# Nor is (eq. 3.3) the whole effect in a GPT. Above the first layer $q$ and $X$ have themselves read the demonstrations, so $W_{\mathrm{ZSL}}$ there is not the zero-shot model's.
# And a GPT turns its keys and queries by their position: (eq. 3.2) then holds with the turned ones.

# %% [markdown]
# ## 4 · Two views of one computation ★
#
# The microscope shows both readings of one head at once: the prompt itself, tinted by the attention of the framed token (the sign is the colour); the matrix $\Delta W$ that the
# demonstrations write; and a dot for every value dimension: horizontally $\Delta W q$, vertically attention's output with demonstrations minus without. On the line both are equal.
#
# It starts with random vectors: six demonstrations of one token each. Take demonstrations away; change the query token; switch the softmax on. Then choose a head of the GPT.
# (With fewer demonstrations the head sees less; keys and values stay those of the whole text. The three GPT heads were chosen because they differ.)

# %%
assets.ensure()
model = gpt.load("smollm2-135m")
pairs = """hope hoped, walk walked, take took, play played, think thought, make made, eat ate, run ran,
give gave, jump jumped, know knew, write wrote, sing sang, bring brought, break broke, come came"""
lines = ["{} -> {}".format(*pair.split()) for pair in pairs.replace("\n", " ").split(", ")]
prompt = "".join(f"{line}\n" for line in lines)

# %%
heads = {"toy": toy_head()}
for layer, head in ((14, 3), (17, 5), (27, 3)):
    heads[f"GPT, layer {layer}, head {head}"] = gpt_head(model, [*lines[:6], "go ->"], layer, head)
microscope(heads)

# %% [markdown]
# All four heads at once, with all demonstrations, at the last token. How far is what attention adds from $\Delta W q$, relaxed and with softmax? Where does softmax look?

# %% tags=["hide-input"]
seen = {}
for name, head in heads.items():
    last = list(head.queries)[-1]
    relaxed, soft = (look(head, len(head.demos), last, reading) for reading in ("relaxed", "softmax"))
    top = soft.weights.argsort(descending=True)[:2]
    weights = ", ".join(f"{head.tokens[i].strip()} {soft.weights[i]:.2f}" for i in top)
    apart = formats.rounding(torch.tensor(relaxed.difference, dtype=torch.float64))
    seen[name] = (apart, f"{soft.cosine:.2f}".replace("-", "−"), f"{soft.cosine**2:.2f}", weights)
columns = ["relaxed: difference", "softmax: cosine", "its square", "most softmax weight"]
pd.DataFrame(seen, columns).transpose()

# %% [markdown]
# **What you should see.** *Relaxed*: both readings agree to rounding, whatever head, query and number of demonstrations. *Softmax*: they part, and how far depends on
# the head. Head 3 of layer 14 looks at the arrows, and the two vectors point nearly the same way. Head 5 of layer 17 looks at
# past tenses; the cosine is 0.56. The agreement is less than half all the same: stretched to the best length, $\Delta W q$ explains 0.31 of the other vector's squared length, the *square* of the cosine. Head 3 of
# layer 27 looks at the start token. What the demonstrations change in its output points against $\Delta W q$.
#
# Softmax divides by a number that depends on $q$; no fixed matrix does that. So a further demonstration takes weight *away* from all others.

# %% tags=["hide-input"]
spectra, name = {}, "GPT, layer 17, head 5"
for count in (1, 2, 4, 6):
    dw = look(heads[name], count, list(heads[name].queries)[-1], "relaxed").dw
    values = torch.linalg.svdvals(dw)
    values = values[values > 1e-9 * values[0]]
    label = f"{count} demonstration{'s' * (count > 1)}: rank {len(values)}"
    spectra[label] = (torch.arange(1, len(values) + 1).numpy(), values.numpy())
plots.lines(
    spectra, "singular value number", "size", f"With every token read, ΔW ({name}) gets one more direction", log="y"
)

# %% [markdown]
# The rank counts the tokens read, up to the width of a head, 64. Not every size grows: in section 3's table the last two tokens take the second singular value from 23.3 to 23.0.
#
# ## 5 · How close is the relaxation, in a real GPT? ★
#
# The paper argues with relaxed attention and measures a GPT with softmax. How far apart are the two? Three real prompts; at the last token of each,
# every head's true output, and what other forms make of the *same* queries, keys and values ($s_i$: the scaled score, $\bar s$: its mean over the tokens):
#
# - *relaxed*: each value weighs $k_i \cdot q$; *negatives dropped*: the same, scores below 0 set to 0;
# - *the mean*: each value weighs $1/n$, so the head does not look at all;
# - *centred*: $(s_i - \bar s)/n$; *first order*: $(1 + s_i - \bar s)/n$, softmax for small scores. It is the sum of the mean and the centred form.

# %%
predict(
    "relaxed",
    "Cosine of true and relaxed head output, median over 270 heads and three prompts?",
    ["above 0.9", "0.5 to 0.9", "0 to 0.5", "below 0"],
)


# %%
def outputs(read):
    """Every head's output at the last token [layers heads d_head]: true, and without softmax."""
    raw = (read.q[:, :, -1:] @ read.k.mT).double()
    n, scaled = raw.shape[-1], raw / read.q.shape[-1] ** 0.5
    centred = (scaled - scaled.mean(-1, keepdim=True)) / n
    weights = {"softmax": scaled.softmax(-1), "relaxed": raw, "negatives dropped": raw.clamp(min=0)}
    weights |= {"mean": torch.full_like(raw, 1 / n), "centred": centred, "first order": 1 / n + centred}
    return {way: (w @ read.v.double())[:, :, 0] for way, w in weights.items()}


# %%
prompts, texts, questions = ("past tenses", "film reviews", "which source"), [prompt + "go ->"], ["go ->"]
for name in ("mr", "source-letters"):
    task = tasks.load(name, shots=8, seed=0, queries=1)
    shown = [(demo.text, demo.label) for demo in task.demos]
    texts.append(icl.build_prompt(task.template, shown, task.queries[0].text))
    questions.append(icl.build_prompt(task.template, [], task.queries[0].text))
reads = [gpt.heads(model, text) for text in texts]
head_outputs = [outputs(read) for read in reads]

# %%
cosines = {}
for way in ("relaxed", "negatives dropped", "centred", "mean", "first order"):
    cosines[way] = torch.stack([torch.cosine_similarity(o["softmax"], o[way], dim=-1) for o in head_outputs])

# %% tags=["hide-input"]
places = torch.linspace(0, 100, cosines["mean"].numel()).numpy()
ordered = {
    f"{way}: median {values.median():+.2f}".replace("-", "−"): (
        places,
        values.flatten().sort(descending=True).values.numpy(),
    )
    for way, values in cosines.items()
}
title = finding("relaxed", "In most heads the relaxed output points away from the true one")
plots.lines(ordered, "heads, from the most like to the least (%)", "cosine with the true output", title)

# %% tags=["hide-input"]
panels = {"relaxed, mean of 3 prompts": cosines["relaxed"].mean(0).T.numpy()}
title = finding(
    "relaxed", "From layer 10 on about three in four relaxed heads point away from the true output (cosines)"
)
plots.matrices(panels, "layer", "head", title)
late = (cosines["relaxed"][:, 10:] > 0).double().mean().item()
print(f"cosine above 0 in layer 0: {(cosines['relaxed'][:, 0] > 0).double().mean():.0%} of the heads", end="; ")
print(f"from layer 10 on: {late:.0%}")

# %%
reveal(
    "relaxed",
    "below 0",
    "The median is {median:+.2f}. The relaxed form is another function.",
    median=cosines["relaxed"].median().item(),
)

# %% [markdown]
# Besides the direction: how long is the relaxed output? How many raw scores are negative, and how much of its weight does softmax give to those tokens?

# %%
facts = {}
for kind, read, output in zip(prompts, reads, head_outputs, strict=True):
    raw = (read.q[:, :, -1:] @ read.k.mT).double()
    weight = ((raw / 8).softmax(-1) * (raw < 0)).sum(-1).mean().item()
    longer = (output["relaxed"].norm(dim=-1) / output["softmax"].norm(dim=-1)).median().item()
    facts[kind] = f"{longer:,.0f}", f"{8 * raw.shape[-1]:,}", f"{(raw < 0).double().mean():.0%}", f"{weight:.1%}"
pd.DataFrame(facts, ["relaxed ÷ true length, median", "√d · n", "scores below 0", "softmax weight on them"])

# %% [markdown] tags=["after-relaxed"]
# **What you should see.** In layer 0 most heads have a cosine above 0. From layer 10 on the relaxed output points *away* from the true one far more often than towards it. The plain mean, which
# looks at nothing, comes closer. (The relaxed output is thousands of times longer. The missing $\sqrt d$ and division by $n$ explain all but a factor of about 5; the direction is what matters.)
#
# Why? Softmax does not care if one number is added to all scores. The relaxed form does: it adds that number times the sum of all values. In this GPT 70 to 76 % of the raw
# scores are negative. Softmax gives those tokens 6.6 to 9.1 % of its weight; the relaxed form *subtracts* their values.

# %% [markdown] tags=["after-relaxed"]
# So two repairs suggest themselves. *Centring the scores* alone, still without the mean value $\bar v$, lifts the median from −0.15 to +0.40; with $\bar v$, which alone has 0.52, it is first order, 0.76.
# *Dropping negative scores* gives 0.93. But then the weights are no longer linear in $q$, and there is no $\Delta W$.
#
# Centring keeps a $\Delta W$. Which one? Derive it, for small scores $s_i = k_i \cdot q / \sqrt d$:
#
# 1. Softmax to first order has the weights $w_i = (1 + s_i - \bar s)/n$.
# 2. So the output is $\bar v + \frac1n \sum_i (s_i - \bar s)\, v_i$, with $\bar v$ the mean of the values.
# 3. For any vector $c$ that is the same for all $i$: $\sum_i (s_i - \bar s)\, c = 0$.
# 4. Therefore the output is $\bar v + \Delta W q$ with $\Delta W = \;?$ Your expression must not contain $q$.

# %% [markdown]
# {exercise:first_order_update}


# %% tags=["exercise"]
def first_order_update(k, v):
    """Step 4's ΔW. k: [n d], v: [n m] → [m d]."""
    # Σ w_i v_i = v̄ + (1/n) Σ (s_i − s̄) v_i = v̄ + ΔW q
    # BEGIN SOLUTION
    n, d = k.shape
    return (v - v.mean(0)).T @ k / (n * d**0.5)
    # END SOLUTION


# %%
check(first_order_update)

# %% [markdown]
# {solution:first_order_update}
#
# The values $v_i - \bar v$ stand where errors stand. They *are* errors: of somebody who answers $\bar v$ to every key. So first-order softmax is a gradient step (eq. 2.2) from
# $W = 0$ on $\frac12 \sum_i \lVert \bar v + W k_i - v_i \rVert^2$, of rate $1/(n\sqrt d)$. Tested on the toy head's numbers; and how good is first order as scores shrink?

# %%
toy = heads["toy"]
mean_value, n_tokens, width = toy.v.mean(0), *toy.k.shape
step_from_mean = dual.gradient_step(torch.zeros(3, 4).double(), toy.k, toy.v - mean_value, 1 / (n_tokens * width**0.5))
update_of_mean = (toy.v - mean_value).T @ toy.k / (n_tokens * width**0.5)
print("gradient step minus the update:", formats.rounding(step_from_mean[1] - update_of_mean))
for factor in (1, 0.1, 0.01):
    shorter = factor * toy.q[-1]
    exact = attention.softmax_attention(shorter.expand_as(toy.k), toy.k, toy.v)[-1]
    print(f"query × {factor:<4}  first order off by {(mean_value + update_of_mean @ shorter - exact).norm():.1e}")

# %% [markdown]
# A tenth of the scores, a hundredth of the difference: the next term is quadratic. (This GPT's scores are not small, and there first order reaches 0.76 and not 1.)

# %% [markdown] tags=["conclusion", "after-relaxed"]
# **What you may conclude.** In this model (eq. 3.3) is no approximation of what most heads compute. A large part of its fault is the level of the scores, which softmax ignores.
#
# **What you may not:** that the paper's measurements are void (they are taken on
# the true model, with softmax), nor that no other reading of softmax as a step exists: you have just derived one, and section 10 has another.

# %% [markdown]
# ## 6 · Softmax, exactly ★
#
# **Question.** Does the true head, with softmax, split into zero-shot and demonstrations at all? It does, and no approximation is needed. Softmax divides by a sum over all tokens, and that sum has two
# parts: the demonstrations' $D$, and the query's own. Let $\alpha$ be the demonstrations' share of the softmax weight:
#
# $$\alpha = \frac{\sum_{i \in D} e^{s_i}}{\sum_{\mathrm{all}\ i} e^{s_i}}$$
#
# $$F_{\mathrm{ICL}} = (1 - \alpha)\, F_{\mathrm{ZSL}} + \alpha\, \mu_D \tag{3.4}$$
#
# $F_{\mathrm{ZSL}}$ is softmax attention over the query's own tokens alone, $\mu_D$ over the demonstrations alone. (He et al. 2021 wrote it like this for learned prefixes.)
#
# **By hand.** One demonstration with score $\ln 3$ and value 8, one own token with score 0 and value 4. Weights ¾ and ¼, so $\alpha$ is ¾; the output is $\tfrac14 \cdot 4 + \tfrac34 \cdot 8 = 7$.

# %% [markdown]
# {exercise:softmax_decomposition}


# %% tags=["exercise"]
def softmax_decomposition(q, k, v, demos):
    """(eq. 3.4). q: [d], k: [n d], v: [n m], demos: int, the first keys are theirs → (α, zero_shot [m], from_demos [m])."""
    # BEGIN SOLUTION
    scores = k @ q / len(q) ** 0.5
    alpha = scores.softmax(0)[:demos].sum()
    return alpha, scores[demos:].softmax(0) @ v[demos:], scores[:demos].softmax(0) @ v[:demos]
    # END SOLUTION


# %%
check(softmax_decomposition)

# %% [markdown]
# {solution:softmax_decomposition}
#
# The microscope's four heads, softmax on. (The start token stands before the demonstrations, but it is there without them, too: it counts as the query's own.)

# %%
split = {}
for name, head in heads.items():
    end = list(head.queries.values())[-1] + 1
    shown = [i for demo in head.demos for i in demo]
    order = shown + [i for i in range(end) if i not in shown]
    last_query, k, v = head.q[end - 1], head.k[order], head.v[order]
    alpha, zero_shot, from_demos = dual.softmax_decomposition(last_query, k, v, len(shown))
    true = attention.softmax_attention(last_query.expand_as(k), k, v)[-1]
    residual = (1 - alpha) * zero_shot + alpha * from_demos - true
    split[name] = f"{alpha:.2f}", formats.rounding(residual), f"{len(shown)} of {end}"
pd.DataFrame(split, ["α", "split minus the head's output", "demonstrations' tokens"]).transpose()

# %% [markdown]
# What does the relaxation leave out? Besides the exponential's shape, two things: the gate, and that softmax ignores the level of the scores.
#
# | | softmax (eq. 3.4) | relaxed (eq. 3.3) |
# |---|---|---|
# | zero-shot | is kept with weight $1 - \alpha$: a **gate** | is kept whole |
# | demonstrations | add $\alpha\,\mu_D$: a share of their own answer | add $\Delta W q$, however large |
# | one number $c$ added to all scores | changes nothing | adds $c \sum_i v_i$ |
#
# (eq. 3.4) is a step, too: from $F_{\mathrm{ZSL}}$ towards $\mu_D$, of rate $\alpha$. But it is a step of the *output*, and $\alpha$ depends on $q$. It changes no weights.

# %%
predict(
    "alpha",
    "Demonstrations are 92 to 96 % of the tokens of the three prompts. How much of the softmax weight at the last token do they get, median over all heads?",
    ["above 90 %, as of the tokens", "70 to 90 %", "50 to 70 %", "below 50 %"],
)

# %%
alphas, counted = {}, []
for kind, read, text, question in zip(prompts, reads, texts, questions, strict=True):
    count, n = len(model.encode(text[: -len(question)])), read.k.shape[-2]
    order = [*range(1, count + 1), 0, *range(count + 1, n)]  # the start token: to the query's own
    q, k, v = read.q[:, :, -1].double(), read.k[:, :, order].double(), read.v[:, :, order].double()
    alphas[kind] = dual.softmax_decomposition(q, k, v, count)[0]
    weights = (q[:, :, None] @ k.mT / 8).softmax(-1)
    counted.append((count / n, weights[:, :, 0, count].median().item()))
whole = torch.stack(list(alphas.values()))

# %% tags=["hide-input"]
title = finding(
    "alpha",
    "Demonstrations get much weight in the first layers, little in most heads of the last ten (α, mean of 3 prompts)",
)
plots.matrices({"α": whole.mean(0).T.numpy()}, "layer", "head", title)
spread = {}
for (kind, values), (share, start) in zip(alphas.items(), counted, strict=True):
    low, high = values.flatten().quantile(torch.tensor([0.05, 0.95]).double()).tolist()
    parts = (f"{part.median():.2f}" for part in (values[:3], values[3:20], values[20:], values))
    spread[kind] = (f"{share:.0%}", *parts, f"{low:.2f} to {high:.2f}", f"{start:.2f}")
columns = ["of the tokens", "median α: layers 0–2", "layers 3–19", "layers 20–29", "all", "9 of 10 heads"]
pd.DataFrame(spread, [*columns, "start token's weight, median"])

# %%
reveal(
    "alpha",
    "below 50 %",
    "The median over heads and prompts is {median:.2f}. The rest goes to the start token and to the query's own few.",
    median=whole.median().item(),
)

# %% [markdown] tags=["conclusion", "after-alpha"]
# **What you may conclude.** Every softmax head with demonstrations is a weighted mean: its answer without them, and the demonstrations' own. How much they count, $\alpha$, differs from head to head
# between nearly 0 and nearly 1.
#
# **What you may not:** that a head with small $\alpha$ does not matter (a small share may carry the answer), nor that $F_{\mathrm{ZSL}}$ here is the zero-shot *model's* head: above
# layer 0 its queries, keys and values have read the demonstrations already.

# %% [markdown]
# ## 7 · The delta rule: a value becomes an error ★
#
# **Recall.** What is the loss of which (eq. 3.2) is a gradient step? **Question.** Does that loss want what we want? Examine this argument. Let $W_0 = W_{\mathrm{ZSL}}$ and
# $\Delta W = \sum_i v_i \otimes k_i$ over the demonstrations, $L(W) = -\sum_i v_i \cdot W k_i$.
#
# 1. Relaxed attention over demonstrations and query text is $(W_0 + \Delta W)\, q$, exactly.
# 2. At every $W$, minus the gradient of $L$ is $\Delta W$.
# 3. So $W_0 + \Delta W$ is one step of gradient descent on $L$, of rate 1, and it lowers $L$.
# 4. A lower $L$ means that $W k_i$ has come nearer to $v_i$: each demonstration's key now gets a better answer.
# 5. Whoever reads the demonstrations a second time adds the same $\Delta W$ once more.
#
# One line is wrong. Why?
#
# - **A** The rate 1 may be too large: a step that is too long can raise the loss.
# - **B** The loss rewards length in the right direction, not closeness.
# - **C** A gradient depends on the weights: the second reading adds another matrix.
# - **D** A GPT's attention has a softmax, so that the equality fails.

# %% [markdown]
# {exercise:lower_loss}


# %% tags=["exercise"]
def lower_loss():
    """The wrong line's number and the reason's letter."""
    # BEGIN SOLUTION
    return 4, "B"
    # END SOLUTION


# %%
check(lower_loss)

# %% [markdown]
# {solution:lower_loss}
#
# In numbers, on section 2's random demonstrations: the loss, and the distance of the answers from the values, $\sum_i \lVert W k_i - v_i \rVert^2$.

# %%
demo_values, demo_keys, after = demos @ w_v.T, demos @ w_k.T, {}
first, written = (dual.meta_gradient(w_v, w_k, part) for part in (context, demos))
for readings in (0, 1, 2):
    answers = demo_keys @ (first + readings * written).T
    after[readings] = -(demo_values * answers).sum().item(), (answers - demo_values).square().sum().item()
table = {readings: [f"{number:,.0f}".replace("-", "−") for number in row] for readings, row in after.items()}
pd.DataFrame(table, ["L", "squared distance"]).rename_axis(columns="readings")

# %% [markdown]
# The loss falls, and the answers move away from the values. $L$ has no minimum: it never says *enough*.
#
# The **delta rule** (Widrow and Hoff 1960; as attention: Schlag et al. 2021) asks the state first, and writes only what is missing:
#
# $$e_t = \mathrm{lr}\,(v_t - S_{t-1} k_t)$$
#
# $$S_t = S_{t-1} + e_t \otimes k_t \tag{3.5}$$
#
# $$o_t = S_t q_t$$
#
# That is one gradient step per token on $\frac12 \lVert S k_t - v_t \rVert^2$. Here the value *becomes* an error: the difference between the value and what the state answers.
#
# **By hand.** The pair $k = 1$, $v = 2$ comes twice, rate ½. Plain: $S = 2$, then 4. Delta rule: $e_1 = \frac12 (2 - 0)$, $S = 1$; then $e_2 = \frac12 (2 - 1)$, $S = 1.5$. It approaches 2.

# %% [markdown]
# {exercise:delta_rule}


# %% tags=["exercise"]
def delta_rule(q, k, v, lr):
    """(eq. 3.5), from S = 0. q, k: [n d], v: [n m], lr: float → [n m]."""
    # BEGIN SOLUTION
    state, outputs = q.new_zeros(v.shape[1], k.shape[1]), []
    for t in range(len(q)):
        error = lr * (v[t] - state @ k[t])
        state = state + torch.outer(error, k[t])
        outputs.append(state @ q[t])
    return torch.stack(outputs)
    # END SOLUTION


# %%
check(delta_rule)

# %% [markdown]
# {solution:delta_rule}
#
# Notebook 01 wrote random letters under random keys of length 1 into a state of width 64 and read them back. The same here, 64 letters in each of 100 draws, by both rules. The
# error is the distance of what is read from the letter's value (length 1).


# %%
def recalled(rule, passes=1, pairs=64, width=64, draws=100):
    """Write all pairs `passes` times, then read each: entries [draws pairs 26], letters [draws pairs]."""
    rng = torch.Generator().manual_seed(0)
    keys = torch.randn(draws, pairs, width, generator=rng, dtype=torch.float64)
    keys = torch.nn.functional.normalize(keys, dim=-1)
    letters = torch.randint(26, (draws, pairs), generator=rng)
    values = torch.eye(26, dtype=torch.float64)[letters]
    k = torch.cat([keys] * passes + [0 * keys], 1)  # a key of 0 writes nothing: the last tokens only read
    v = torch.cat([values] * passes + [values], 1)
    return rule(torch.cat([keys] * (passes + 1), 1), k, v)[:, -pairs:], letters


def recall_errors(entries, letters):
    return (entries - torch.eye(26, dtype=torch.float64)[letters]).norm(dim=-1)


# %%
rules = {"linear attention": attention.linear_attention, "delta rule, rate 1": partial(dual.delta_rule, lr=1.0)}
recall = {name: recalled(rule) for name, rule in rules.items()}
for name, (entries, letters) in recall.items():
    each = recall_errors(entries, letters).mean(1)
    print(f"{name:18}  error {each.mean():.3f} ± {2 * each.std() / len(each) ** 0.5:.3f}")

# %% [markdown]
# (±: two standard errors of the mean over the draws.) The delta rule's error is clearly lower. A letter is read as the largest of 26 entries.

# %%
predict(
    "delta",
    "How many of the letters does the delta rule read back right, compared with linear attention?",
    ["more", "as many, to a percent", "fewer"],
)

# %%
right, by_age = {}, {}
for name, (entries, letters) in recall.items():
    hits = (entries.argmax(-1) == letters).double()
    off = recall_errors(entries, letters)
    ends = hits[:, :16].mean(), hits[:, -16:].mean()
    right[name] = [f"{share:.0%}" for share in (hits.mean(), *ends)]
    right[name].insert(1, f"± {2 * hits.mean(1).std() / len(hits) ** 0.5:.1%}")
    middle, more = off.mean(0), 2 * off.std(0) / len(off) ** 0.5
    by_age[name] = tuple(x.numpy() for x in (torch.arange(1, 65), middle, middle - more, middle + more))
pd.DataFrame(right, ["letters right", "", "of the first 16", "of the last 16"]).transpose()

# %% tags=["hide-input"]
title = finding("delta", "The delta rule answers the last pairs best, the first ones no better than linear attention")
plots.lines(by_age, "pair, in the order of writing", "error of what is read (mean of 100 draws)", title)

# %%
reveal(
    "delta",
    "fewer",
    "{delta} right, where linear attention has {linear}, although the error is lower.",
    delta=right["delta rule, rate 1"][0],
    linear=right["linear attention"][0],
)

# %% [markdown] tags=["after-delta"]
# **What you should see.** At rate 1 the last pair is answered exactly. But each correction for one key also changes what the state says to all others, since 64 random keys in 64 dimensions are not at
# right angles: with each further pair an old answer loses about 1/64 of its length. Linear attention never shrinks an answer. All its answers carry the same noise, spread over 26 entries, and the
# largest entry is still the right one. A lower error is not a better decision.
#
# What helps is a smaller rate, or a second reading:

# %% tags=["after-delta"]
again = {}
for passes in (1, 2, 4):
    for name, rule in (rules | {"delta rule, rate ½": partial(dual.delta_rule, lr=0.5)}).items():
        entries, letters = recalled(rule, passes)
        hits = (entries.argmax(-1) == letters).double().mean()
        again.setdefault(name, []).append(f"{recall_errors(entries, letters).mean():.2f} / {hits:.0%}")
pd.DataFrame(again, ["read once", "twice", "four times"]).transpose().rename_axis(columns="error / letters right")

# %% [markdown] tags=["after-delta"]
# Linear attention gains nothing from a second reading: every value is written once more (line 5 of the argument above), all entries double, the right one and the noise, and the error more than doubles. The delta rule writes what is
# *left*, and comes closer each time. That is what gradient descent on an error does, and what plain linear attention lacks.

# %% [markdown]
# <details><summary>Doors that this opens</summary>
#
# - *DeltaNet* (Schlag et al. 2021): linear attention with the delta rule, its rate computed from each token; Yang et al. (2024) made it parallel over the sequence.
# - *Test-time training* (Sun et al. 2024): the state is a small model, and reading a token is one step of training it. Linear attention is one step on all tokens at once, from $W_0 = 0$.
# - *Titans* (Behrouz et al. 2025): a memory network trained as it reads, with momentum and forgetting; notebook 06 comes near it.
# - *Gated delta networks* (Yang et al. 2024): the delta rule with a gate that lets the state fade. Three of four attention layers of the Qwen3-Next models are of this kind.
#
# </details>

# %% [markdown] tags=["conclusion", "after-delta"]
# **What you may conclude.** Whether a written value is an error is not a matter of the form $\sum e \otimes k$. It depends on whether what is written takes into account what the state says already.
#
# **What you may not:** that the delta rule remembers better than linear attention. That depends on rate, readings, number of pairs, and on what counts: a distance or a decision.

# %% [markdown]
# ## 8 · For which W_V are values errors? ★
#
# **Recall.** Two kinds of values that are errors have come up: $v_i - \bar v$ in section 5, $v_t - S k_t$ in section 7. Neither is an error of a *task*: a target $y$ that is to be predicted from $x$.
#
# **Question.** Johannes von Oswald and colleagues (2022) put both into one token: $e_j = (x_j, y_j)$ for an example, $(x, -W_0 x)$ for the query. A layer of linear attention moves every token:
#
# $$e \leftarrow e + P \sum_{j \in \mathrm{demos}} (W_V e_j)\,(W_K e_j \cdot W_Q e) \tag{3.6}$$
#
# For which four matrices is that *the* gradient step of notebook 02, so that the query's last entries become $-W_1 x$? (Why minus, you will see.)

# %% [markdown]
# **Step 1: what must be added?** The gradient step says
#
# $$W_1 x = W_0 x + \mathrm{lr} \sum_j (y_j - W_0 x_j)\,(x_j \cdot x)$$
#
# with the errors of (eq. 2.2) written out. (Here $e_j$ is a token, not an error.)
#
# The query's token holds $-W_0 x$. So its last entries must get
#
# $$\mathrm{lr} \sum_j (W_0 x_j - y_j)\,(x_j \cdot x)$$
#
# The smallest case: $W_0 = 1$, rate ½, one example $x_1 = 2$, $y_1 = 4$; the query is $x = 1$.

# %%
small_w0, small_x, small_y = (torch.tensor([[number]]) for number in (1.0, 2.0, 4.0))
small_w1 = dual.gradient_step(small_w0, small_x, small_y, lr=0.5)[1]
added = 0.5 * (small_w0 @ small_x - small_y) * small_x
print(f"-W₀x = {-small_w0.item():g}; to be added: {added.item():g}; -W₁x of the gradient step: {-small_w1.item():g}")

# %% [markdown]
# **Step 2: which matrix makes which factor?** Each reads a whole token $(x, y)$, of $d + m$ entries, and gives $d + m$ entries.
#
# | factor | made by | from a token $(x, y)$ it makes |
# |---|---|---|
# | $x_j \cdot x$ | $W_K$ and $W_Q$ | $(x, 0)$: they compare by $x$ alone |
# | $W_0 x_j - y_j$ | $W_V$ | $(0, W_0 x - y)$: *minus* the error, in the last entries |
# | lr | $P$ | lr times what it gets |
#
# So values are errors for **this** $W_V$, one that knows $W_0$ and can tell $x$ from $y$ in a token.

# %% [markdown]
# **Step 3: the smallest case.** $d = m = 1$, so that each matrix is 2 × 2. $W_0$, rate, example and query are those of the cell above; the query's token is $(1, -1)$.
#
# $$W_K = W_Q = \begin{pmatrix} 1 & 0 \\ 0 & 0 \end{pmatrix}$$
#
# $$W_V = \begin{pmatrix} 0 & 0 \\ 1 & -1 \end{pmatrix} \quad P = \begin{pmatrix} \frac12 & 0 \\ 0 & \frac12 \end{pmatrix}$$
#
# Score: $(2, 0) \cdot (1, 0) = 2$. Value: $(0, 1 \cdot 2 - 4) = (0, -2)$. Moved: $(1, -1) + \frac12 \cdot 2 \cdot (0, -2) = (1, -3)$. That is $-W_1 x$ of the gradient step. ✓
#
# Now for any sizes. (The check looks at the query's last entries only. The course's own also leaves $x$ as it was.)

# %% [markdown]
# {exercise:gd_as_attention}


# %% tags=["exercise"]
def gd_as_attention(w0, lr):
    """Weights of (eq. 3.6) for tokens (x, y). w0: [m d], lr → {"w_q", "w_k", "w_v", "p"}, each [d+m d+m]."""
    # BEGIN SOLUTION
    m, d = w0.shape
    looks = torch.zeros(d + m, d + m, dtype=w0.dtype)
    looks[:d, :d] = torch.eye(d)
    values = torch.zeros_like(looks)
    values[d:, :d], values[d:, d:] = w0, -torch.eye(m)
    return {"w_q": looks, "w_k": looks, "w_v": values, "p": lr * torch.eye(d + m, dtype=w0.dtype)}
    # END SOLUTION


# %%
check(gd_as_attention)

# %% [markdown]
# {solution:gd_as_attention}

# %%
w0, inputs, targets, x = (
    torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((2, 4), (7, 4), (7, 2), (4,))
)
gd_layer, example_tokens = regression.gd_as_attention(w0, lr=0.1), torch.cat([inputs, targets], 1)
query_token = torch.cat([x, -w0 @ x])[None]
moved = regression.attend(gd_layer, example_tokens, query_token)[0]
w1 = dual.gradient_step(w0, inputs, targets, lr=0.1)[1]
print("the layer minus one gradient step:", formats.rounding(-moved[4:] - w1 @ x))
print("change of the x part:", formats.rounding(moved[:4] - x))

# %% [markdown]
# The demonstrations' tokens are moved by the same rule, by the same layer. Now the *same* layer is applied a second time, to all the tokens as the first left them. It still holds $W_0$, not $W_1$.

# %%
predict(
    "again",
    "What do the query's last entries hold then, up to the sign?",
    [
        "W₁x + ΔWx: the layer knows W₀ only, so it adds the first step's update again",
        "W₁x: the demonstrations are used up",
        "W₂x: a second gradient step, from W₁",
        "none of these: a layer made for W₀ does nothing useful at W₁",
    ],
)

# %%
tokens = torch.cat([example_tokens, query_token])
for _ in range(2):
    tokens = regression.attend(gd_layer, tokens[:-1], tokens)
w2 = dual.gradient_step(w1, inputs, targets, lr=0.1)[1]
candidates = {"W₁x + ΔWx": (2 * w1 - w0) @ x, "W₁x": w1 @ x, "W₂x": w2 @ x}
for name, candidate in candidates.items():
    print(f"after two layers, minus {name:9}: {formats.rounding(-tokens[-1, 4:] - candidate)}")

# %%
reveal(
    "again",
    "W₂x: a second gradient step, from W₁",
    "The demonstrations' tokens have changed, and with them the errors.",
)

# %% [markdown] tags=["after-again"]
# **Why?** That is what the minus sign is for: it lets one layer move query and demonstrations in the same sense. A demonstration's token becomes $(x_j,\; y_j - \Delta W x_j)$: its last entry holds what is *left to explain*. So the second layer's value is minus the error at $W_1$:
#
# $$W_0 x_j - (y_j - \Delta W x_j) = W_1 x_j - y_j$$
#
# The layer holds $W_0$; the tokens hold the rest.

# %% [markdown] tags=["conclusion", "after-again"]
# **What you may conclude.** There are weights with which a layer of linear attention *is* a gradient step on a squared loss: for every $W_0$, rate and set of examples, without approximation. Here
# values are errors of a task.
#
# **What you may not:** that such weights arise by themselves (section 9 trains some). Somebody chose them, and made it easy: no softmax, no mask, no scale, each token a finished pair $(x_j, y_j)$, $W_0$ and the rate
# inside the matrices. A GPT's tokens are words.

# %% [markdown]
# ## 9 · Would training choose them?
#
# *Optional.* **Recall.** In (eq. 2.2), what are the errors of a step that starts at $W_0 = 0$?
#
# **Question.** Section 8 chose the weights by hand. Does training arrive there? A layer of linear attention starts with random weights, all four matrices
# free. It is trained to do regression in context: each task has a teacher $w$ of its own, ten examples $(x_i, w \cdot x_i)$ without noise, and one query. All is in
# ten dimensions; inputs and teachers are gaussian. Nothing in the tasks mentions gradients.

# %% [markdown]
# First: how good can one step be? Task $b$ has examples $(x_{b,i}, y_{b,i})$, a query $x_b$ and its true answer $y_b$. A step of rate 1 from $W_0 = 0$ predicts $p_b$, one of rate
# lr predicts $\mathrm{lr}\, p_b$. Over all tasks the best rate is
#
# $$\mathrm{lr}^* = \frac{\sum_b y_b\, p_b}{\sum_b p_b^2} \tag{3.7}$$
#
# $$p_b = \sum_i y_{b,i}\,(x_{b,i} \cdot x_b)$$
#
# **By hand.** Two tasks: $p = 2$, $y = 1$ and $p = 1$, $y = 1$. Then $\mathrm{lr}^* = (2 + 1)/(4 + 1) = 0.6$: the step predicts 1.2 and 0.6.
#
# (Where papers take the mean over $n$ examples as the loss, their rate is $n \cdot \mathrm{lr}$.)

# %% [markdown]
# {exercise:best_step_size}


# %% tags=["exercise"]
def best_step_size(inputs, targets, x, y):
    """(eq. 3.7). inputs: [b n d], targets: [b n], x: [b d], y: [b] → float."""
    # BEGIN SOLUTION
    p = torch.einsum("bn,bnd,bd->b", targets, inputs, x)
    return ((y * p).sum() / (p * p).sum()).item()
    # END SOLUTION


# %%
check(best_step_size)

# %% [markdown]
# {solution:best_step_size}

# %% [markdown]
# Three marks to compare with: saying 0 to every query; the best single step; and *least squares*, the $w$ that fits the examples best. For gaussian inputs theory gives
# $\mathrm{lr} = 1/(n+d+1)$ and the loss $d(d+1)/(n+d+1)$ for the step.

# %%
test = regression.random_problems(100_000, 10, 10, seed=10**6)
lr = regression.best_step_size(test.inputs, test.targets, test.x, test.y)
step = regression.gd_as_attention(torch.zeros(1, 10), lr)
marks = {"saying 0": 0 * test.y, "best single step": regression.predict([step], test)}
marks["least squares"] = regression.least_squares(test)
for name, predictions in marks.items():
    print(f"{name:17} loss {regression.loss(predictions, test):6.3f}")
print("in theory: rate {:.4f}, loss {:.3f}; measured rate {:.4f}".format(*regression.theory(10, 10), lr))
one_task = test.inputs[0].double(), test.targets[0, :, None].double()
step_errors = dual.gradient_step(torch.zeros(1, 10, dtype=torch.float64), *one_task, lr)[0]
print("errors of the step minus lr · y:", formats.rounding(step_errors - lr * one_task[1]))

# %% [markdown]
# Ten examples without noise fix the ten numbers of $w$: least squares is exact. The single step is far from that. At $W_0 = 0$ every prediction is 0, so its errors are the
# targets times the rate, $\mathrm{lr}\,y_i$. It adds up $y_i\,(x_i \cdot x)$, and corrects nothing.

# %%
predict(
    "trained",
    "Where does the trained layer's loss end, on fresh tasks?",
    [
        "near least squares: it learns to solve the tasks",
        "halfway: better than any single step, short of least squares",
        "at the best single step",
        "above the best single step: from a random start training falls short of it",
    ],
)

# %% tags=["nbval-ignore-output"]
learned = regression.learn(n=10, d=10, batch=512, seed=0)
answered = regression.predict(learned.layers, test)
trained_loss, step_loss = (regression.loss(each, test) for each in (answered, marks["best single step"]))
together = torch.corrcoef(torch.stack([answered, marks["best single step"]]))[0, 1].item()
print(f"learned layer: loss {trained_loss:.3f}, {trained_loss / step_loss:.4f} of the best single step's")
print(f"correlation of their predictions {together:.4f}")

# %% tags=["nbval-ignore-output", "hide-input"]
curve, ends = {}, torch.tensor([1, 2000]).numpy()
curve["learned layer"] = (torch.arange(1, 2001, 40).numpy(), learned.losses.reshape(-1, 40).mean(1).numpy())
for name, predictions in marks.items():
    curve[name] = (ends, torch.full((2,), regression.loss(predictions, test)).numpy())
title = finding("trained", "The loss falls to that of the best single step, and stays: least squares is far below")
plots.lines(curve, "training step", "squared error of the query", title)

# %% [markdown] tags=["after-trained"]
# An equal loss does not yet say that the layer *does* the same. What does it make of $x$ before it meets the examples? A gradient step multiplies by its rate: the matrix is $\mathrm{lr} \cdot I$.

# %% tags=["nbval-ignore-output", "hide-input"]
rates = regression.step_matrix(learned.layers[0])
panels = {"learned": (10 * rates).numpy(), "theory": (10 * regression.theory(10, 10)[0] * torch.eye(10)).numpy()}
title = finding("trained", "What is done to x before it meets the examples, times n: the rate in each direction")
plots.matrices(panels, "entry of x", "entry of xᵢ", title)
off = (rates - rates.diag().diag()).abs().max() / rates.diag().mean()
print(f"mean of the diagonal ÷ theory's rate: {rates.diag().mean() / regression.theory(10, 10)[0]:.3f}")
print(f"largest entry off the diagonal ÷ that mean: {off:.3f}")

# %%
reveal(
    "trained",
    "at the best single step",
    "{ratio:.4f} of its loss, and the predictions correlate at {together:.4f}.",
    ratio=trained_loss / step_loss,
    together=together,
)

# %% [markdown] tags=["after-trained"]
# *Recorded: trained layers and the best single step, six seeds each: the worst seed, or lowest–highest. $\eta = n \cdot \mathrm{lr}$; off the diagonal: the largest entry.*
#
# {result:one step}

# %% tags=["hide-input"]
one_step.ONE_STEP.show_source()

# %% [markdown] tags=["after-trained"]
# **What you should see.** The loss comes down to the best single step's and stays there, about half of what saying 0 costs. Up to a few per cent the matrix is a multiple of the identity, with the
# rate of (eq. 3.7). That no training could do better is a theorem: for one layer of linear attention and inputs drawn from a standard gaussian, the best weights are one gradient step
# (Mahankali et al. 2023).

# %%
predict(
    "sentence-03",
    "Which sentence do sections 8 and 9 allow?",
    [
        "The layer has learned to fit a line to its examples, as least squares does",
        "Layer and step have the same loss; whether they compute the same, nobody can say",
        "Trained on such tasks, this layer computes one gradient step from zero",
        "A transformer that is trained to learn in context learns gradient descent",
    ],
)

# %%
reveal(
    "sentence-03",
    "Trained on such tasks, this layer computes one gradient step from zero",
    "Matrix and predictions agree, not only the loss. It does not fit the examples: least squares would, at loss 0. And one linear layer is no transformer.",
)

# %% [markdown] tags=["conclusion", "after-sentence-03"]
# **What you may conclude.** Training can find the gradient step. On these tasks one layer of linear attention, started at random, came to compute the best single step from $W_0 = 0$.
#
# **What you may not:** that it found gradient *descent*. One step from zero correlates targets with inputs and never looks at what is left to explain. Nor anything about a GPT: this
# layer has no softmax and no MLP, its tokens are pairs, and it saw nothing but regression. (Shen et al. 2023 make that objection to the whole line of work.)

# %% [markdown]
# **On purpose: inputs that teach nothing.** Is there a best rate?

# %%
try:
    regression.best_step_size(torch.zeros(3, 10, 10), test.targets[:3], test.x[:3], test.y[:3])
except ValueError as error:
    print(textwrap.fill(str(error), 44))

# %% [markdown]
# ## 10 · Further than one step
#
# *Optional.* **Question.** One layer is one step. What do several layers make, chosen by us or by training? And is it always a *gradient* step that training finds?
#
# **Several layers.** Section 8's layer leaves $y_j - \Delta W x_j$ in the demonstrations' last entries. So the next layer sees what is left to explain: from the second layer on, errors are
# real residuals. We stack it 1, 2, 4 and 8 times, all layers with one rate, tuned for each depth. (Inputs here are uniform in $(-1, 1)$, as in the recorded trainings below.)


# %% tags=["nbval-ignore-output"]
def stack(depth, rate):
    return [regression.gd_as_attention(torch.zeros(1, 10), rate)] * depth


some, fresh = (regression.random_problems(size, 10, 10, size, "uniform") for size in (8_000, 20_000))
after_one = dual.gradient_step(torch.zeros(20_000, 1, 10), fresh.inputs, fresh.targets[..., None], 0.15)[1]
to_explain = fresh.targets - (fresh.inputs @ after_one.mT)[..., 0]
left = regression.attend(stack(1, 0.15)[0], fresh.demos, fresh.demos)[..., -1]
print("last entries after one layer minus the residuals:", formats.rounding(left - to_explain))

# %% tags=["nbval-ignore-output"]
stacked, tried = {"saying 0": fresh.y.square().mean().item()}, [0.01 * percent for percent in range(11, 17)]
for depth in (1, 2, 4, 8):
    found_losses = {rate: regression.loss(regression.predict(stack(depth, rate), some), some) for rate in tried}
    rate = min(found_losses, key=found_losses.get)
    name = f"{depth} step{'s' * (depth > 1)} of rate {rate:.2f}"
    stacked[name] = regression.loss(regression.predict(stack(depth, rate), fresh), fresh)
stacked["least squares"] = regression.loss(regression.least_squares(fresh), fresh)
bars = {name: (error,) for name, error in stacked.items()}
plots.bars(bars, "squared error of the query", "Layers that are steps, stacked; one tuned rate a stack")

# %% [markdown]
# The first two doublings of the depth remove about a quarter each of the error that was left, the third less. Two layers with a rate *each* do better than two with one rate: {result:two tuned steps} (recorded).
#
# Now two layers are *trained*, all eight matrices free.

# %%
predict(
    "two-layers",
    "Two trained layers, against two gradient steps with the best two rates: what is their loss?",
    [
        "the same, as with one layer",
        "higher: two layers are harder to train",
        "clearly lower, but far from 0",
        "near 0: two layers are enough for least squares",
    ],
)

# %% tags=["hide-input"]
kept_layers, recorded = one_step.LAYERS.frame(), {"saying 0": (10 / 3,)}
ways = {"steps": "{} tuned step{}", "learned": "{} trained layer{}, 5 seeds", "GD++": "{} layer{} of GD++, tuned"}
for (layers, way), group in kept_layers.groupby(["layers", "way"]):
    if (layers, way) != (1, "GD++"):  # moving the inputs is of use only to a layer above
        recorded[ways[way].format(layers, "s" * (layers > 1))] = (group.loss.mean(),)
recorded["least squares"] = (0.0,)
title = finding("two-layers", "Two trained layers reach what GD++ reaches, not what two gradient steps do")
plots.bars(recorded, "squared error of the query (recorded)", title)
one_step.LAYERS.show_source()

# %%
reveal(
    "two-layers",
    "clearly lower, but far from 0",
    "Two such layers can do more than two gradient steps, and training finds it.",
)

# %% [markdown] tags=["after-two-layers"]
# **What do they do instead?** Von Oswald and colleagues call it GD++. The first layer makes a gradient step *and* moves every input, the query's too:
#
# $$x \leftarrow x - \gamma \sum_j x_j\,(x_j \cdot x)$$
#
# That shrinks the directions in which the examples are long, so that the second step can have a much larger rate. Tuned
# by hand, GD++ has three numbers; here they are beside what training found.
#
# *Two layers: rates, γ, and how their predictions on 100,000 fresh tasks correlate with those of the tuned GD++ and of two tuned steps.*
#
# {result:two layers}

# %% tags=["hide-input"]
preconditioning.TWO_LAYERS.show_source()

# %% [markdown]
# **Unequal inputs.** So far no direction of the inputs was special. Now the entries of every input have standard deviations that fall from 1 to 0.2. One layer is trained, as in section 9. It predicts
# $\sum_i y_i\, x_i \cdot (A x)$, and a gradient step of one rate is $A = \mathrm{lr} \cdot I$.

# %%
predict(
    "unequal",
    "Which rate does the trained layer give to the smallest direction, compared with the largest?",
    ["the same: it learns a gradient step again", "a smaller one: small entries tell less", "a larger one"],
)

# %% tags=["hide-input"]
trained_rows, widths = preconditioning.PRECONDITIONED.frame(), preconditioning.scales()
found_rates = torch.tensor([torch.tensor(matrix).diag().tolist() for matrix in trained_rows.matrix])
across = {"best single rate": torch.full((10,), trained_rows.lr[0]), "theory": preconditioning.best_rates(10, widths)}
across = {name: (widths.numpy(), values.numpy()) for name, values in across.items()}
spread = (found_rates.mean(0), found_rates.amin(0), found_rates.amax(0))
across["learned, 5 seeds"] = (widths.numpy(), *(part.numpy() for part in spread))
title = finding("unequal", "Trained on unequal inputs, the layer takes larger rates in smaller directions")
plots.lines(across, "standard deviation of the entry", "rate in that direction", title)
preconditioning.PRECONDITIONED.show_source()

# %%
times = (found_rates[:, -1] / found_rates[:, 0]).mean().item()
reveal("unequal", "a larger one", "{times:.1f} times as large, mean of five trained layers.", times=times)

# %% [markdown] tags=["after-unequal"]
# The best step for such inputs has a matrix in the place of its rate, a **preconditioner**: $W_1 = \sum_i y_i \otimes (A^\top x_i)$. For gaussian inputs with
# standard deviations $s_j$ theory gives it (Ahn et al. 2023):
#
# $$A_{jj} = \frac{1}{(n + 1)\, s_j^2 + \sum_k s_k^2}$$
#
# With all $s_j = 1$ that is $1/(n+d+1)$, the rate of section 9. So there the gradient step won because no direction was special.
#
# *Recorded: squared error on 200,000 fresh tasks; the learned layer: lowest–highest of five seeds.*
#
# {result:unequal inputs}

# %% [markdown] tags=["after-unequal"]
# This $A$ lies in the weights: it holds what training saw of *all* tasks. What GD++ does to the inputs is computed anew, from the examples in the context.
#
# **Larger inputs.** The layer of section 9 is one step with a fixed rate. Scale all inputs of its tasks by $s$: a step's prediction grows as $s^3$, the true answer as $s$.
# For large $s$ the step overshoots. If the layer is that step, it must fail with it.

# %% tags=["nbval-ignore-output"]
factors, relative = (0.5, 0.75, 1, 1.25, 1.5, 2), {"learned layer": [], "best single step": [], "least squares": []}
for factor in factors:
    other = regression.random_problems(20_000, 10, 10, seed=7, scale=factor)
    said = [regression.predict(layers, other) for layers in (learned.layers, [step])]
    for name, predictions in zip(relative, [*said, regression.least_squares(other)], strict=True):
        relative[name].append(regression.loss(predictions, other) / other.y.square().mean().item())
pd.DataFrame(relative, pd.Index(factors, name="inputs scaled by")).round(3)

# %% tags=["nbval-ignore-output", "hide-input"]
outside = {name: relative[name] for name in ("learned layer", "least squares")} | {"saying 0": [1.0] * len(factors)}
outside = {name: (torch.tensor(factors).numpy(), torch.tensor(values).numpy()) for name, values in outside.items()}
title = finding("trained", "Inputs larger than in training: the layer soon does worse than saying 0")
plots.lines(outside, "inputs scaled by", "squared error, relative to saying 0", title)
ratios = [layer / single for layer, single in zip(relative["learned layer"], relative["best single step"], strict=True)]
print(f"learned layer ÷ best single step: {min(ratios):.3f} to {max(ratios):.3f}")

# %% [markdown] tags=["after-unequal"]
# The layer's error is the step's at every scale. An algorithm for regression would not mind the scale: least squares doesn't.

# %% [markdown] tags=["conclusion", "after-unequal"]
# **What you may conclude.** Here training found a step as good as the best that we know for its layers *and its tasks*: one rate where all directions are alike, a preconditioner where they are not, moved inputs where a second
# layer can use them. The plain gradient step is one special case of this. One step learned at one scale is no general method either.
#
# **What you may not:** that more layers always learn GD++ (two were trained), or that a transformer's layers do any of this: softmax, MLPs and text are still missing.

# %% [markdown]
# <details><summary>Softmax as a step in a feature space (Ren and Liu 2023)</summary>
#
# $e^{k \cdot q} = \varphi(k) \cdot \varphi(q)$ for features $\varphi$ with infinitely many entries. So softmax attention is $\big(\sum_i v_i \otimes \varphi(k_i)\big)\varphi(q)$,
# a sum of outer products as in (eq. 3.2), divided by $\sum_i \varphi(k_i) \cdot \varphi(q)$. The divisor depends on the query; no fixed matrix does that.
#
# </details>

# %% [markdown]
# ## 11 · The prompt as a patch ★
#
# **Question.** Back to the real GPT, with softmax, 30 layers and MLPs. Can a prompt be written as a change of *its* weights, exactly? For one query it can (Dherin et al. 2025).
#
# In each layer attention adds its output to the token's vector, the *stream*. Then the **MLP** reads the stream, brought to a fixed length, and adds its own output. This GPT's MLP is *gated*: it has
# three matrices. Two of them, *gate* and *up*, read the vector. What they make is multiplied entry by entry, the gate's part after a nonlinearity. The third, *down*, maps the product back.
# Let $W$ be gate and up, one above the other; *down* stays as it is.

# %% [markdown]
# Look at one layer, at the query's last token. Without the prompt its MLP is handed a vector *before*; with the prompt another one, *after*. We want the smallest change of $W$ with which *before* gives
# what *after* gave:
#
# $$\Delta W = \frac{W(\mathrm{after} - \mathrm{before}) \otimes \mathrm{before}}{\lVert \mathrm{before} \rVert^2} \tag{3.8}$$
#
# $$(W + \Delta W)\,\mathrm{before} = W\,\mathrm{after}$$

# %% [markdown]
# **By hand.** $W = (1, 2)$, before $(1, 0)$, after $(0, 1)$: $W(\mathrm{after} - \mathrm{before}) = 1$; $\Delta W = (1, 0)$; and $(2, 2) \cdot (1, 0) = 2 = W\,\mathrm{after}$.

# %% [markdown]
# {exercise:rank_one_patch}


# %% tags=["exercise"]
def rank_one_patch(w, before, after):
    """(eq. 3.8). w: [m d], before: [d], after: [d] → ΔW [m d]."""
    # BEGIN SOLUTION
    return torch.outer(w @ (after - before), before) / (before @ before)
    # END SOLUTION


# %%
check(rank_one_patch)

# %% [markdown]
# {solution:rank_one_patch}
#
# That corrects what the MLP adds. What attention adds differs too, and no weight is changed for it: the difference goes into the layer as one constant vector, a **shift**. `patches.absorb` solves the
# layers one after another, from below, each one under the patches and shifts of those below it. The prompt has sixteen verbs; neither *go* nor *see* is among them.

# %%
before = model.fingerprint()
patch = patches.absorb(model, prompt, "go ->")
behind, alone = patches.next_token(model, prompt + "go ->"), patches.next_token(model, "go ->")
with patches.patched(model, patch):
    instead = patches.next_token(model, "go ->")
answers = [repr(model.tokenizer.decode(logits.argmax())) for logits in (behind, instead, alone)]
apart = [(logits - behind).abs().max() / behind.abs().max() for logits in (instead, alone)]
print("weights as before, bit for bit:", model.fingerprint() == before)
table = {"next token": answers, "logits differ by": ["", formats.rounding(apart[0]), f"{apart[1]:.2f}"]}
pd.DataFrame(table, ["with the prompt", "prompt deleted, patched", "prompt deleted"])

# %% [markdown]
# Thirty changes of rank one and thirty shifts stand for the prompt, and the next token's logits are the same. (The last column: the largest difference of the 49,152 logits, over the largest logit.)
# No relaxation was needed. So is in-context learning a weight update?
#
# The patch was computed for *go*. Two explanations fit the table:
#
# - **lookup**: the patch holds answers. To a word of the prompt it may give that word's own, to every other word it gives the one that it was made for;
# - **rule**: the patch holds the past tense. Every word gets its own.
#
# Which words would tell the two apart? Design the test, for any task with one answer a word.
#
# {exercise:transfer_words}


# %% tags=["exercise"]
def transfer_words(answers, shown, patched):
    """answers: {word: right answer}, shown: words of the prompt, patched: the patch's word → list of words to test."""
    # BEGIN SOLUTION
    return [word for word in answers if word not in shown and answers[word] != answers[patched]]
    # END SOLUTION


# %%
check(transfer_words)

# %% [markdown]
# {solution:transfer_words}
#
# *see* is such a word: it isn't in the prompt, and its past tense isn't *went*.

# %%
predict(
    "transfer",
    "The patch made for “go”, put to the question “see ->”: what does the GPT say?",
    ["saw", "went", "the past tense of a verb in the prompt", "no past tense"],
)

# %%
said = {}
for word in ("see", "sleep", "build"):
    with patches.patched(model, patch):
        answer = gpt.complete(model, f"{word} ->", tokens=3)
    said[f"{word} ->"] = (gpt.complete(model, prompt + f"{word} ->", tokens=1), answer)
pd.DataFrame(said, ["with the prompt", "with the patch made for go"]).transpose()

# %%
reveal("transfer", "went", "The patch holds one answer. Every verb asked here gets it.")

# %% [markdown] tags=["after-transfer"]
# Look also at the second and third word. The equality was made for *one* token, the last of the query. The patch stays in the weights, and the GPT goes on saying *went*.

# %% [markdown]
# One patch was made for one verb. What do many patches have in common? If each is a rule plus a verb, their mean may keep the rule.

# %%
predict(
    "mean",
    "The mean of the patches for 16 other verbs, put to six new verbs: what do most of them get?",
    ["their own past tense", "the past tense of some other verb", "no past tense"],
)

# %%
others = "sleep fly build say find tell feel leave keep begin speak read grow draw drive try"
verb_of = {past: row["text"] for part in examples("past").values() for row in part for past in row["answers"]}
average = patches.mean([patches.absorb(model, prompt, f"{verb} ->") for verb in others.split()])
told = {}
with patches.patched(model, average):
    for verb in ("see", "go", "hold", "win", "teach", "buy"):
        word = gpt.complete(model, f"{verb} ->", tokens=2).split()[0]
        told[f"{verb} ->"] = (word, verb_of.get(word, "no verb of the list"))
pd.DataFrame(told, ["with the mean of 16 patches", "a past tense of"]).transpose()

# %%
of_own = sum(asked == f"{verb} ->" for asked, (_, verb) in told.items())
of_any = sum(word in verb_of for word, _ in told.values())
reveal(
    "mean",
    "the past tense of some other verb",
    "{tenses} of 6 answers are past tenses; {own} of them is the verb's own.",
    tenses=of_any,
    own=of_own,
)

# %% [markdown] tags=["after-mean"]
# So new verbs got a past tense, and in this sample hardly their own. Six verbs are few, and one prompt is one draw.

# %% [markdown]
# **Recorded**: 40 verbs, eight draws of sixteen demonstrations. The prompt is deleted, and something stands in its place. From what was made for this very query to what is the same for all:
#
# - the query's **own patch**, also *made without shifts*: solved for a model that gets none; **another verb's patch**; the **mean of 16 patches** of other verbs;
# - a **task vector** (Hendel et al. 2023): no weight changes. Behind *one* layer (number {result:transfer layer}, chosen on other verbs and draws) the stream at the query's last token is replaced by one vector: the stream there after
#   a prompt that ends with some other verb, mean over four such verbs.
#
# The first token said is scored twice: does it begin the *verb's own* past tense? Is it *any* past tense: that, or the whole past tense of some verb of our list? (A first piece, or a verb outside the list, does not count: the second score is a lower bound.)

# %% tags=["hide-input"]
scored = {title: transfer.ladder(score) for score, title in list(transfer.SCORES.items())[:2]}
title = finding("mean", "The prompt is deleted: what each replacement brings")
plots.shares(scored, "share of 40 verbs", title)
transfer.TRANSFER.show_source(shown="true")

# %% [markdown] tags=["after-mean"]
# Intervals: t, 95 %, over the eight draws. How many of these past tenses are only answers read back?

# %% tags=["hide-input", "after-mean"]
same, asked_in_all = transfer.repeated()
print(f"another verb's patch: in {same} of {asked_in_all} cases the very answer that it gives that other verb")
pd.DataFrame({"mean of 16 patches, cases": transfer.origins()})

# %% [markdown] tags=["after-mean"]
# **What you should see.** The *own patch* does what the prompt does. Under *another verb's* patch {result:transfer true, another's, kind} of the answers are past tenses, but most repeat that other verb's answer. The *mean*
# gives {result:transfer true, mean, kind}, and these are not repeated: {result:transfer true, mean, right} are the verb's own, and few of the others were shown in the prompt or belong to an averaged verb. The *task vector*, one for
# all verbs, gives {result:transfer true, vector, kind} past tenses, {result:transfer true, vector, right} of them the verb's own, with much variation between draws.
#
# None of these three comes near the prompt, {result:transfer true, prompt, right} own past tenses.

# %% [markdown] tags=["after-mean"]
# **Which part of a patch does the work?** On three tasks, 40 words and three draws, one part of the own patch was taken away:
#
# {result:patches}
#
# *Without shifts* leaves nothing, and on past tenses the shifts alone do all. But these weight changes were computed together with their shifts; without them they meet other vectors. So the figure above has a fairer row,
# *made without shifts*. It is at {result:transfer true, no shifts, right}. On past tenses the prompt's answer goes through what attention adds; on the two other tasks the shifts alone keep a part of it.

# %% [markdown] tags=["conclusion", "after-mean"]
# **What you may conclude.** For one query's next token the prompt *can be written* as changes of weights and shifts. Averaged over verbs, they give new verbs a past tense in {result:transfer true, mean, kind} of the cases, their own in
# {result:transfer true, mean, right}.
#
# **What you may not:** that the changed weights have learned the task. No change here serves new verbs as the prompt does, and without shifts the weights answer next to nothing.

# %% [markdown]
# ## 12 · What an equality shows, and what transfer shows ★
#
# Three times a prompt became an update, exactly: (eq. 3.3) for relaxed attention, (eq. 3.6) for one constructed layer, (eq. 3.8), with its shifts, for one query of the GPT. What does *exactly* tell us? Give `absorb` prompts that teach nothing true: every verb
# before the *next* verb's past tense; then no pairs at all.

# %%
words, tenses = zip(*(line.split(" -> ") for line in prompt.splitlines()), strict=True)
wrong = "".join(f"{word} -> {tense}\n" for word, tense in zip(words, tenses[1:] + tenses[:1], strict=True))
texts_absorbed = {"true pairs": prompt, "wrong pairs": wrong, "a harbour": "Nobody had painted the boats for years.\n"}
found = {}
for kind, text in texts_absorbed.items():
    absorbed, found[kind] = patches.absorb(model, text, "go ->"), []
    for query in ("go ->", "see ->"):
        expected = patches.next_token(model, text + query)
        with patches.patched(model, absorbed):
            apart_by = (patches.next_token(model, query) - expected).abs().max() / expected.abs().max()
        found[kind].append(apart_by)
found = {kind: (formats.rounding(own), f"{other:.2f}") for kind, (own, other) in found.items()}
pd.DataFrame(found, ["go ->: logits off by", "see ->: logits off by"]).transpose()

# %% [markdown]
# For each of the three the equality holds for *go*, and with none of them are the logits of *see* those of the prompt. So an equality says that an update *exists*. It does not say that anything true was learned.
#
# And what does a prompt of wrong pairs itself bring?

# %%
predict(
    "wrong-pairs",
    "Wrong pairs stay in the prompt, nothing is deleted. How many of 40 verbs get their own past tense?",
    ["hardly any", "about half as many as after true pairs", "nearly as many as after true pairs"],
)

# %% tags=["hide-input"]
rungs = ("prompt", "own", "mean", "vector", "nothing")
by_demos = {
    title: transfer.ladder(score, tuple(transfer.SHOWN), rungs) for score, title in list(transfer.SCORES.items())[:2]
}
title = finding(
    "wrong-pairs", "In the prompt wrong pairs do nearly as well as true ones; made-up answers bring no past tense"
)
plots.shares(by_demos, "share of 40 verbs", title)
transfer.TRANSFER.show_source()

# %%
after_true, after_wrong = (transfer.shares(shown, "prompt", "right").mean() for shown in ("true", "next"))
reveal(
    "wrong-pairs",
    "nearly as many as after true pairs",
    "{wrong:.2f} of the verbs after wrong pairs, {true:.2f} after true ones. Which past tense belongs to which verb the GPT knew before.",
    wrong=after_wrong,
    true=after_true,
)

# %% [markdown] tags=["after-wrong-pairs"]
# <details><summary>All numbers of both figures, with a third score: what the prompt says</summary>
#
# *Mean over eight draws, and 95 % t interval.*
#
# {result:transfer}
#
# </details>

# %% [markdown] tags=["after-wrong-pairs"]
# **What you should see.** Own patches do what their prompt does, true or not. True and wrong pairs both bring past tenses, and mean patch and task vector pass some on: with wrong pairs the mean gives fewer own past tenses, the
# task vector more. Made-up answers bring none. So here the demonstrations supply
# the *kind* of answer; the model supplies the rest.
#
# And does an update that serves *every* query settle it? The toy says no. Seven examples, two updates of the same $W_0$, a hundred other queries; all that a thousand times:

# %%
ways = ("values y, as in 3.3", "values are errors, as in 3.6")
off, falls = torch.zeros(2, dtype=torch.float64), torch.zeros(2)
for seed in range(1000):
    dice, shapes = torch.Generator().manual_seed(seed), ((7, 4), (7, 2), (2, 4), (100, 4))
    xs, ys, start, many = (torch.randn(*shape, generator=dice, dtype=torch.float64) for shape in shapes)
    tokens_read = torch.cat([xs, ys], 1), torch.cat([many, -many @ start.T], 1)
    stepped = -regression.attend(regression.gd_as_attention(start, 0.1), *tokens_read)[:, 4:]
    relaxed_read = many @ start.T + (many @ xs.T) @ ys  # values y, keys x
    updated = ((start + ys.T @ xs, relaxed_read), (dual.gradient_step(start, xs, ys, 0.1)[1], stepped))
    for way, (w, answered_by) in enumerate(updated):
        off[way] = max(off[way], (many @ w.T - answered_by).abs().max())
        falls[way] += (xs @ w.T - ys).square().sum() < (xs @ start.T - ys).square().sum()
rows = [(formats.rounding(each), f"{share:.1%}") for each, share in zip(off, falls / 1000, strict=True)]
pd.DataFrame(rows, ways, ["100 queries: off by at most", "error on the examples falls in"])

# %% [markdown] tags=["conclusion"]
# **What you may conclude.** An *equality* says that an update exists. *Transfer* says what the update contains beyond one answer. Whether it is a step of *learning* needs a third thing: that the
# answers to the demonstrations come nearer to their targets. In the table both updates serve every query. The one whose values are errors brings the examples' error down in most draws, the other one hardly ever.
#
# **What you may not:** say of the GPT that a prompt does this to it, or that it does not. Nothing on this page measured that. Notebook 04 begins: finetuning on the demonstrations, and the prompt, side by side.

# %% [markdown]
# ## 13 · Aloud, before you go ★
#
# 1. What plays the error's part in (eq. 3.2), and who computed it?
# 2. (eq. 3.4) is exact for softmax, (eq. 3.3) is not. What does $\alpha$ do that no fixed matrix does?
# 3. In the delta rule (eq. 3.5), when does a pair write nothing? What does linear attention write then?
# 4. A patch (eq. 3.8) reproduces the logits of *go* to four digits. Why does it say *went* to *see*? What would you test to find out whether it holds a rule?
# 5. After wrong pairs the GPT still says the right past tense. What did the demonstrations bring, and what was there before?

# %% [markdown]
# ## 14 · Equations so far
#
# The equations of the course so far, the functions that compute them, and the tests that check them (`tests/`).
#
# Notebook 01:
#
# {equations:01}

# %% [markdown]
# Notebook 02:
#
# {equations:02}

# %% [markdown]
# Notebook 03:
#
# {equations:03}

# %% [markdown]
# **What comes next.** [04 · in context against finetuned](04_icl_vs_finetuning.ipynb): the same GPT, really finetuned, and compared from inside.
