# %% [markdown]
# # 02 · The dual form
#
# **A layer trained by gradient descent can forget what it has become. Keep its first weights, its training examples and their error signals, and it
# answers by *attending to its training set*: the same numbers, from the other side.**
#
# *You need: notebook 01. About 100 minutes, 60 of them (★) on the core path. No GPU.*

# %%
import textwrap

import pandas as pd
import torch

from helpers import attention, dual, gpt, icl, plots, tasks
from helpers.check import break_it, check, route
from helpers.course import assets
from helpers.support import formats
from helpers.widgets import finding, leave_out, predict, reveal

# %% tags=["hide-input"]
route(here="02")

# %% [markdown]
# ## 1 · One step is a sum
#
# **Recall.** In notebook 01 the state of linear attention was a sum of outer products $v_i \otimes k_i$, one for every token read.
#
# **Question.** What does one step of gradient descent do to a weight matrix?
#
# Take a linear layer, $W$ `[m d]`: it answers $Wx$. Example $i$ has an input $x_i$ and a target $y_i$; the loss is $\tfrac12 \sum_i \lVert W x_i - y_i \rVert^2$.

# %% [markdown]
# **By hand.** $W = (0, 0)$; $x_1 = (1, 0)$ with $y_1 = 2$; $x_2 = (1, 1)$ with $y_2 = -1$; learning rate ½.
#
# The layer says 0 twice, so it is off by $2$ and by $-1$. The errors, rate included: $e_1 = 1$, $e_2 = -\tfrac12$. Each pulls the
# weights along *its own input*: $W_1 = 1 \cdot (1, 0) - \tfrac12 \cdot (1, 1) = (\tfrac12, -\tfrac12)$.

# %%
torch.manual_seed(0)
w0 = torch.zeros(1, 2)
inputs, targets = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[2.0], [-1.0]])
errors, w1 = dual.gradient_step(w0, inputs, targets, lr=0.5)
print("errors     ", errors.flatten().tolist())
print("new weights", w1.flatten().tolist())

# %% [markdown]
# Why along its input? Change the entry $W_{ab}$ a little: output $a$ moves by $x_b$ times as much, and the loss by $(Wx - y)_a\, x_b$ times as much. So the gradient of
# one example is $(W x_i - y_i) \otimes x_i$, and a step goes against it.
#
# In general the **error signal** of example $i$ is minus the gradient at its output, times the learning rate, and the update is
#
# $$\Delta W = \sum_i e_i \otimes x_i \tag{2.1}$$
#
# errors in the place of values, inputs in the place of keys.

# %% [markdown]
# {exercise:weight_update}


# %% tags=["exercise"]
def weight_update(errors, inputs):
    """(eq. 2.1). errors: [n m], inputs: [n d] → [m d]."""
    # BEGIN SOLUTION
    return errors.T @ inputs
    # END SOLUTION


# %%
check(weight_update)

# %% [markdown]
# {solution:weight_update}
#
# For our loss the error signals are the misses, scaled:
#
# $$e_i = \mathrm{lr}\,(y_i - W x_i)$$
#
# $$W_1 = W + \sum_i e_i \otimes x_i \tag{2.2}$$
#
# {exercise:gradient_step}


# %% tags=["exercise"]
def gradient_step(w, inputs, targets, lr):
    """(eq. 2.2). w: [m d], inputs: [n d], targets: [n m], lr → (errors [n m], new w [m d])."""
    # BEGIN SOLUTION
    errors = lr * (targets - inputs @ w.T)
    return errors, w + errors.T @ inputs
    # END SOLUTION


# %%
check(gradient_step)

# %% [markdown]
# {solution:gradient_step}
#
# Is it the gradient? Torch can differentiate, and has no opinion about outer products:

# %%
rng = torch.Generator().manual_seed(1)
inputs, targets, w0, x = (
    torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((5, 4), (5, 3), (3, 4), (4,))
)
w = w0.clone().requires_grad_()
(0.5 * (inputs @ w.T - targets).square().sum()).backward()
errors, w1 = dual.gradient_step(w0, inputs, targets, lr=0.1)
print("autograd minus (eq. 2.2):", formats.rounding(w0 - 0.1 * w.grad - w1))

# %% [markdown]
# Example by example, the same step. Each matrix is one error, at its left, times one input, above it:

# %% tags=["hide-input"]
plots.step_as_outer_products(
    errors.numpy(), inputs.numpy(), "One gradient step is a sum: error ⊗ input, example by example"
)

# %% [markdown]
# ## 2 · Forget the weights
#
# Ask the trained layer about a new $x$, and multiply out. The matrix need never be formed:
#
# $$W_1 x = W_0 x + \sum_i e_i \,(x_i \cdot x) \tag{2.3}$$
#
# Read the sum aloud: compare $x$ with every training input, weigh its error signal by the comparison, add up. That is (eq. 1.2), linear attention:
# the query is $x$, the keys are the training inputs, the values are the errors. This is the **dual form** (Irie et al. 2022; Aizerman et al. 1964).

# %% [markdown]
# {exercise:dual_forward}


# %% tags=["exercise"]
def dual_forward(w0, errors, inputs, x):
    """(eq. 2.3), never forming ΔW. w0: [m d], errors: [n m], inputs: [n d], x: [d] → [m]."""
    # BEGIN SOLUTION
    return w0 @ x + errors.T @ (inputs @ x)
    # END SOLUTION


# %%
check(dual_forward)

# %% [markdown]
# {solution:dual_forward}
#
# Three ways to the same answer: the trained layer; the sum over its training set; and notebook 01's attention, the training examples as
# tokens and $x$ as the last one, which asks and brings no value.

# %%
q = k = torch.cat([inputs, x[None]])
v = torch.cat([errors, torch.zeros(1, 3, dtype=torch.float64)])
attended = attention.linear_attention(q, k, v)[-1]
answer = dual.dual_forward(w0, errors, inputs, x)
print("layer and dual form  ", formats.rounding(w1 @ x - answer))
print("layer and attention  ", formats.rounding(w1 @ x - (w0 @ x + attended)))

# %% [markdown]
# ## 3 · Many steps
#
# The second step starts from $W_1$, so its errors are others. But they are errors, and its inputs are the same inputs:
#
# $$e_i^{(t)} = \mathrm{lr}\,(y_i - W_{t-1} x_i)$$
#
# $$W_T x = W_0 x + \sum_{t=1}^{T} \sum_i e_i^{(t)} \,(x_i \cdot x) \tag{2.4}$$
#
# Attention over the whole training *history*, $T \cdot n$ tokens long.
#
# {exercise:unrolled_training}


# %% tags=["exercise"]
def unrolled_training(w0, inputs, targets, lr, steps):
    """(eq. 2.4), full-batch steps. w0: [m d], inputs: [n d], targets: [n m] → (errors [steps·n m], inputs [steps·n d])."""
    # BEGIN SOLUTION
    errors, w = [], w0
    for _ in range(steps):
        step, w = gradient_step(w, inputs, targets, lr)
        errors.append(step)
    return torch.cat(errors), inputs.repeat(steps, 1)
    # END SOLUTION


# %%
check(unrolled_training)

# %% [markdown]
# {solution:unrolled_training}
#
# **Break it.** This version takes the errors at $W_0$ again and again. On some data it is right. Find data on which it is wrong.


# %%
def stale(w0, inputs, targets):
    errors = 0.1 * (targets - inputs @ w0.T)
    return w0 + 3 * errors.T @ inputs


def three_steps(w0, inputs, targets):
    errors, seen = dual.unrolled_training(w0, inputs, targets, 0.1, 3)
    return w0 + dual.weight_update(errors, seen)


def counterexample():
    """Inputs (w0 [m d], inputs [n d], targets [n m]) on which `stale` is wrong."""
    # BEGIN SOLUTION
    return torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1)  # the second step misses by less
    # END SOLUTION


break_it(stale, three_steps, counterexample)

# %% [markdown]
# An example comes back in every step with the same input, so its error signals may be added up first: $n$ tokens are enough, however long
# the training. `dual.trained` keeps one row for every example.

# %%
every, history = dual.unrolled_training(w0, inputs, targets, 0.05, 50)
added, w50 = dual.trained(w0, inputs, targets, 0.05, 50)
for name, signals, keys in (("history ", every, history), ("added up", added, inputs)):
    gap = formats.rounding(dual.dual_forward(w0, signals, keys, x) - w50 @ x)
    print(name, tuple(signals.shape), "off by", gap)

# %% [markdown]
# ## 4 · Real digits
#
# 1,797 handwritten digits, 8 × 8 pixels (scikit-learn's). A linear layer of ten outputs, one a digit, is trained on 1,200 of them by
# fifty full-batch steps of (eq. 2.2); targets are 1 for the right digit and 0 elsewhere. Pixels are centred and scaled, so that $x_i \cdot x$ can be negative.

# %%
from sklearn.datasets import load_digits

digits = load_digits()
labels, images = torch.tensor(digits.target), torch.tensor(digits.images)
order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
train, test = order[:1200], order[1200:]
pixels = torch.tensor(digits.data) - torch.tensor(digits.data)[train].mean(0)
pixels = pixels / pixels[train].norm(dim=1).mean()
one_hot = torch.eye(10, dtype=torch.float64)[labels]
start = 0.02 * torch.randn(10, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
digit_errors, w = dual.trained(start, pixels[train], one_hot[train], lr=0.004, steps=50)
said = (pixels[test] @ w.T).argmax(1)
print(f"right, of {len(test)} test digits:")
print(f"before training {((pixels[test] @ start.T).argmax(1) == labels[test]).double().mean():.0%}")
print(f"after training  {(said == labels[test]).double().mean():.0%}")

# %% [markdown]
# Now forget $w$. What is left is $W_0$, the 1,200 digits, and ten error signals for each. The terms of (eq. 2.3), one by one, are the
# **contributions** of the training examples to the answer:
#
# $$c_i = e_i\,(x_i \cdot x) \tag{2.5}$$
#
# $$\sum_i c_i = W_T x - W_0 x$$
#
# {exercise:contributions}


# %% tags=["exercise"]
def contributions(errors, inputs, x):
    """(eq. 2.5). errors: [n m], inputs: [n d], x: [d] → [n m]."""
    # BEGIN SOLUTION
    return errors * (inputs @ x)[:, None]
    # END SOLUTION


# %%
check(contributions)

# %% [markdown]
# {solution:contributions}
#
# We begin with a digit that the layer gets *wrong*: where would you look for the reason?

# %%
predict(
    "reason",
    "The layer takes an 8 for a 1. Which training digits push it most towards 1, away from 8?",
    ["1s that look like it", "8s that look like it", "8s that look unlike it"],
)

# %%
margins = (pixels[test] @ w.T).max(1).values - (pixels[test] @ w.T).gather(1, labels[test][:, None])[:, 0]
case, wrong, right = (z[margins.argmax()].item() for z in (test, said, labels[test]))
shares = dual.contributions(digit_errors, pixels[train], pixels[case])
push = shares[:, wrong] - shares[:, right]
print(f"surest mistake: an {right} taken for a {wrong}")
print(f"lead of the {wrong}: {margins.max():.2f}")

# %% tags=["picture-digits", "hide-input"]
ranked = push.argsort(descending=True)


def shown(places):
    return [(images[train[i]], f"{labels[train[i]]}\n{push[i]:+.2f}") for i in places]


rows = {"test digit": [(images[case], f"{right},\ntaken for {wrong}")]}
rows |= {f"most for {wrong}": shown(ranked[:7]), f"most for {right}": shown(ranked.flip(0)[:7])}
plots.pictures(rows, "The training examples that this prediction attends to, and their shares of “1” minus “8”")

# %% [markdown]
# These are the strongest fourteen. Now all 1,200, added up: do they give the layer's own answer? And which kinds of digit push which way?

# %%
up, down = push.clamp(min=0), push.clamp(max=0)
first = (start[wrong] - start[right]) @ pixels[case]
print(f"{len(push):,} shares {push.sum():+.3f}, from W₀ {first:+.3f}")
print(f"together     {push.sum() + first:+.3f}")
print("minus the layer's own:", formats.rounding(push.sum() + first - (w[wrong] - w[right]) @ pixels[case]))
kinds = {f"all {len(push):,}": torch.ones_like(labels[train]).bool()}
kinds |= {f"{digit}s": labels[train] == digit for digit in range(10)}
sums = {name: (up[kind].sum().item(), down[kind].sum().item()) for name, kind in kinds.items()}

# %% tags=["hide-input"]
title = finding(
    "reason",
    "A small difference of large sums: +{up:.2f} and −{down:.2f}. Most of the push for {wrong} comes from {wrong}s",
    up=up.sum().item(),
    down=-down.sum().item(),
    wrong=wrong,
)
plots.bars(sums, f"shares added up: to the left for {right}, to the right for {wrong}", title)

# %%
reveal(
    "reason",
    "1s that look like it",
    "{ones:.0%} of the push for 1 comes from 1s, {eights:.0%} from 8s that look unlike it.",
    ones=(sums["1s"][0] / up.sum()).item(),
    eights=(sums["8s"][0] / up.sum()).item(),
)

# %% [markdown] tags=["after-reason"]
# **What you should see.** The 1,200 shares sum to the layer's own answer. Hundreds of digits push one way, hundreds the other, each side more than ten times as hard as the lead left over:
# *a prediction is the small difference of two large sums*. Most *members* of each side are digits of other kinds, for an error signal has an entry for every output, of a
# 4 too; but most of the push for 1 comes from 1s. And some 8s push towards 1: where $x_i \cdot x$ is negative, an 8 works backwards.

# %% [markdown]
# ## 5 · Is a share a cause?
#
# If the ten examples that pushed hardest had not been there, the answer would have been smaller by their ten shares. Would it? Let us
# take them away and train again, for 60 test digits, and after fewer and more steps.

# %%
predict(
    "retrain",
    "Fifty steps. Retrained without its ten strongest examples, how much of their shares does the answer really lose?",
    ["all of it", "about half", "less than a fifth"],
)


# %%
def removed(steps, count=10, digits=60):
    """For the answers to some test digits: the shares of their strongest examples, and what retraining loses."""
    digit_errors, w = dual.trained(start, pixels[train], one_hot[train], 0.004, steps)
    pairs = []
    for i in test[:digits]:
        answer = (w @ pixels[i]).argmax()
        shares = dual.contributions(digit_errors, pixels[train], pixels[i])[:, answer]
        rest = train[shares.argsort(descending=True)[count:]]
        without = dual.trained(start, pixels[rest], one_hot[rest], 0.004, steps)[1]
        pairs.append((shares.topk(count).values.sum(), (w - without)[answer] @ pixels[i]))
    return torch.tensor(pairs).T.numpy()


found = {f"{steps} step{'s' * (steps > 1)}": tuple(removed(steps)) for steps in (1, 3, 10, 50)}

# %% tags=["hide-input"]
title = finding("retrain", "One step: what retraining loses is what the shares say. Fifty: hardly any of it")
plots.points(found, "shares of the ten strongest examples", "lost when retrained without them", title, diagonal=True)

# %% [markdown]
# Means over the 60 digits:

# %%
means = {
    name: (f"{added_up.mean():.3f}", f"{lost.mean():.3f}", f"{lost.sum() / added_up.sum():.0%}")
    for name, (added_up, lost) in found.items()
}
pd.DataFrame.from_dict(means, orient="index", columns=["shares", "lost", "lost of shares"])

# %%
reveal(
    "retrain",
    "less than a fifth",
    "{part:.0%} of it: the shares of the 1,190 that stay grow by nearly as much.",
    part=found["50 steps"][1].sum() / found["50 steps"][0].sum(),
)

# %% [markdown] tags=["after-retrain"]
# **What you should see.** After *one* step all points lie on the diagonal: the errors were made at $W_0$ and know nothing of each other. After more
# steps each example's error depends on what the others have already taught. Take ten away, and the errors of the other 1,190 shift, each a little; together
# that makes up for nine tenths.

# %% [markdown]
# Take some away yourself, from the 8 of section 4. What is lost is always measured: the layer is trained again without them.

# %% tags=["hide-input"]
leave_out(images[train], pixels[train], labels[train], start, pixels[case], wrong, right, lr=0.004)

# %% [markdown] tags=["conclusion", "after-retrain"]
# **What you may conclude.** (eq. 2.5) is an exact *account* of a prediction.
#
# **What you may not:** that it says what would have been otherwise.
# An equality shows how a number *is made up*; only an intervention shows what it *depends on*. Keep this for the GPT.

# %% [markdown]
# ## 6 · Momentum and minibatches
#
# (Nothing to fill in.) These two ways to descend change *only the error signals*: an example that is not in the minibatch has error 0 in that
# step; with momentum $\beta$ every error goes on working, multiplied by $\beta$ at each step:
#
# $$u_i^{(t)} = \beta\, u_i^{(t-1)} + e_i^{(t)}$$
#
# $$\Delta W = \sum_i \Big(\sum_t u_i^{(t)}\Big) \otimes x_i \tag{2.6}$$
#
# Torch's own optimiser, which has never heard of the dual form:

# %%
layer = torch.nn.Linear(64, 10, bias=False, dtype=torch.float64)
layer.weight.data.copy_(start)
sgd = torch.optim.SGD(layer.parameters(), lr=0.0005, momentum=0.9)
for _ in range(50):
    sgd.zero_grad()
    (0.5 * (layer(pixels[train]) - one_hot[train]).square().sum()).backward()
    sgd.step()
digit_errors, w = dual.trained(start, pixels[train], one_hot[train], lr=0.0005, steps=50, momentum=0.9)
print("torch minus (eq. 2.6):", formats.rounding(layer.weight - w))

# %% [markdown]
# Each way on the digits: how many test digits are right, and W₀'s part plus all shares against the layer's answer to the 8 of section 4.

# %%
ways = {"plain": {}, "momentum 0.9": {"momentum": 0.9}, "minibatches of 100": {"batch": 100}}
table = {}
for name, options in ways.items():
    lr = 0.004 * (1 - options.get("momentum", 0))
    digit_errors, w = dual.trained(start, pixels[train], one_hot[train], lr=lr, steps=50, **options)
    total = start @ pixels[case] + dual.contributions(digit_errors, pixels[train], pixels[case]).sum(0)
    found_right = ((pixels[test] @ w.T).argmax(1) == labels[test]).double().mean()
    table[name] = (f"{found_right:.0%}", formats.rounding(total - w @ pixels[case]))
pd.DataFrame.from_dict(table, orient="index", columns=["right", "shares minus answer"])

# %% [markdown]
# (With momentum every error counts $1/(1-\beta) = 10$ times in the end, so the rate is a tenth.) *Attention over the training set* is what all three are; the
# dual form does not tell them apart. It has limits: Adam divides every entry of the gradient by a number of its own, and its update is no sum $\sum u_i \otimes x_i$ any more.
# (Momentum comes back in notebook 06, inside attention.)

# %% [markdown]
# ## 7 · On purpose: training that fails
#
# Is the dual form a sign that something has been *learned*? A case where little is, and one where nothing is.
#
# **Too few examples**: five digits, 64 dimensions. Along the 59 directions that no example has, nothing ever pulls.

# %%
few = train[:5]
digit_errors, w = dual.trained(start, pixels[few], one_hot[few], lr=0.4, steps=500)
seen_part = torch.linalg.lstsq(pixels[few].T, pixels[test[0]]).solution @ pixels[few]
blind = pixels[test[0]] - seen_part  # what no example sees of a test digit
found_right = ((pixels[test] @ w.T).argmax(1) == labels[test]).double().mean()
gap = start @ pixels[case] + dual.contributions(digit_errors, pixels[few], pixels[case]).sum(0) - w @ pixels[case]
print(f"right on test digits: {found_right:.0%}")
print("shares minus answer: ", formats.rounding(gap))
print("rank of the update:  ", torch.linalg.matrix_rank(w - start).item(), "of 10")
print("change on the unseen part:", formats.rounding((w - start) @ blind))

# %% [markdown]
# **Too high a rate.** Along each direction of the inputs a step multiplies the error by $1 - \mathrm{lr}\,\lambda$, with $\lambda$ the eigenvalue of
# $\sum_i x_i \otimes x_i$ there. With a rate above $2/\lambda_{\max}$ one of the errors grows at every step.
# Here, ten steps at one and a half times that rate:

# %%
limit = dual.largest_rate(pixels[train]).item()
digit_errors, seen = dual.unrolled_training(start, pixels[train], one_hot[train], 1.5 * limit, 10)
w = start + dual.weight_update(digit_errors, seen)
output = w @ pixels[case]
gap = (dual.dual_forward(start, digit_errors, seen, pixels[case]) - output).abs().max() / output.abs().max()
loss = (pixels[train] @ w.T - one_hot[train]).square().sum(1).mean()
print(f"largest stable rate: {limit:.4f}")
print(f"mean loss at 1.5 times that: {loss:,.0f}")
print("dual form minus layer:", formats.rounding(gap))  # as a part of the answer

# %% [markdown]
# And 2,000 steps at that rate:

# %%
try:
    dual.trained(start, pixels[train], one_hot[train], lr=1.5 * limit, steps=2000)
except ValueError as error:
    print(textwrap.fill(str(error), 36))

# %% [markdown]
# The layer has learned nothing, its answers are absurd, and *still* it attends to its training set, to twelve digits. That is the sentence to take along:

# %% [markdown] tags=["conclusion"]
# **What you may conclude.** *The algebra is always true, and therefore proves little.*
#
# **What you may not:** that a layer has learned something because it attends to its training set.

# %% [markdown]
# ## 8 · Back to the GPT
#
# A real SGD step on the real GPT. In notebook 04 it is finetuned on many demonstrations; here on one line. What moves are the key and value projections of each of
# 30 layers; we look at the values', a linear layer: (eq. 2.1) must hold, with a term for every *token*.

# %%
assets.ensure()
model = gpt.load("smollm2-135m")
task = tasks.load("past", shots=1, seed=0, queries=1)
print("the line:", task.demos[0].text, "->", task.demos[0].label)
step = icl.value_update(model, task, lr=0.01)
change = dual.weight_update(step.errors.transpose(0, 1), step.inputs.transpose(0, 1))  # layers in front
size = step.change.abs().max()
print("errors", tuple(step.errors.shape))  # [tokens layers width]
print("inputs", tuple(step.inputs.shape))
print("ΔW minus Σ e ⊗ x:", formats.rounding((step.change - change) / size))  # as a part of the largest change

# %%
ranks = torch.linalg.matrix_rank(change[::10].double(), rtol=1e-5)
print(f"{len(step.errors)} tokens; rank of Σ e ⊗ x, of {change.shape[1]}:")
print("layers 0, 10, 20:", ", ".join(map(str, ranks.tolist())))
norms = step.errors.norm(dim=-1) * step.inputs.norm(dim=-1)  # [tokens layers]: how large each outer product is
share = (norms / norms.sum(0)).mean(1).tolist()  # of the sum of sizes, mean over layers
words = [model.tokenizer.decode(token) for token in model.bos + icl.demo_ids(model, task)[0]]

# %% tags=["hide-input"]
sizes = {f"{place} · {word.strip()}": (part,) for place, (word, part) in enumerate(zip(words, share, strict=True), 1)}
title = "The start token writes most of the update, the last token nothing"
plots.bars(sizes, "share of the sizes of all e ⊗ x, mean over layers", title)

# %% [markdown]
# The start token, notebook 01's sink on which many heads rest, has most; the last token has nothing: no token comes after it, so no loss reaches it, and
# the rank is four.
#
# One line of text, one step, and in every layer the new weights are the old ones plus a sum of outer products over the line's own tokens. The errors here come from a *loss*:
# they say in which direction the output should have moved. In notebook 03 the same sum is written by a prompt. There, nobody computes a loss.

# %% [markdown]
# ## 9 · Aloud, before you go
#
# 1. Why is the update of a step of rank at most $n$?
# 2. What are query, key and value in (eq. 2.3)?
# 3. After how many steps are shares causes, and why only then?
# 4. What does momentum change in the dual form, and what not?
# 5. A friend shows that a model's answer is attention over its training set, exact to 12 digits. What has she shown about learning?

# %% [markdown]
# {equations:02}
#
# **What comes next.** A gradient step writes errors ⊗ inputs into a matrix; attention writes values ⊗ keys.
# [03 · Meta-gradients](03_meta_gradients.ipynb) reads the second as the first.
