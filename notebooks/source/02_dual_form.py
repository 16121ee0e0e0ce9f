# %% [markdown]
# # 02 · The dual form
#
# **A linear layer trained by gradient descent can do without its trained weights. Keep its first weights, its training examples and their error signals: attention to the
# training set gives the same answers.**
#
# *You need: notebook 01. About 135 minutes, 95 of them (★) on the core path. No GPU.*

# %%
import textwrap

import numpy as np
import pandas as pd
import torch

from helpers import attention, dual, gpt, icl, metrics, plots, tasks
from helpers.check import break_it, check, route
from helpers.course import assets
from helpers.support import formats
from helpers.widgets import finding, leave_out, predict, reveal

# %% tags=["hide-input"]
route(here="02")

# %% [markdown]
# ## 1 · One step is a sum ★
#
# **Recall.** In notebook 01 the state of linear attention was a sum of outer products $v_i \otimes k_i$, one for every token read.
#
# **Question.** What does one step of gradient descent do to a weight matrix?
#
# Take a linear layer with weights $W$ `[m d]`; its output is $Wx$. Example $i$ has an input $x_i$ and a target $y_i$; the loss is $\tfrac12 \sum_i \lVert W x_i - y_i \rVert^2$.

# %% [markdown]
# **By hand.** $W = (0, 0)$; $x_1 = (1, 0)$ with $y_1 = 2$; $x_2 = (1, 1)$ with $y_2 = -1$; learning rate ½.
#
# The output is 0 for both, so $2$ and $-1$ are missing. Times the rate, these are the errors: $e_1 = 1$, $e_2 = -\tfrac12$. Each error multiplies
# *its own input*, and the products are added: $W_1 = 1 \cdot (1, 0) - \tfrac12 \cdot (1, 1) = (\tfrac12, -\tfrac12)$.

# %%
by_hand = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
hand_errors, hand_weights = dual.gradient_step(torch.zeros(1, 2), by_hand, torch.tensor([[2.0], [-1.0]]), lr=0.5)
print("errors     ", hand_errors.flatten().tolist())
print("new weights", hand_weights.flatten().tolist())

# %% tags=["hide-input"]
plots.step_as_outer_products(hand_errors.numpy(), by_hand.numpy(), "Each example adds its error times its own input")

# %% [markdown]
# Why its own input? Change the entry $W_{ab}$ a little: output $a$ changes by $x_b$ times as much, and the loss by $(Wx - y)_a\, x_b$ times as much. So the gradient of
# one example's loss is $(W x_i - y_i) \otimes x_i$. A step subtracts the gradient, times the learning rate.
#
# In general the **error signal** $e_i$ of example $i$ is minus the gradient of the loss with respect to the layer's output, times the learning rate, and the update is
#
# $$\Delta W = \sum_i e_i \otimes x_i \tag{2.1}$$
#
# Compare notebook 01's state: errors stand where values stood, inputs where keys stood.

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
# For our loss the error signal is target minus output, times the learning rate:
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
# Is it the gradient? Torch's automatic differentiation was not given (eq. 2.2). It finds the same step:

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
# The same step as a picture. Each matrix is one example's error, drawn at its left, times its input, drawn above it:

# %% tags=["hide-input"]
plots.step_as_outer_products(
    errors.numpy(), inputs.numpy(), "One gradient step is a sum: error ⊗ input, example by example"
)

# %% [markdown]
# ## 2 · The layer without its trained weights ★
#
# Apply the trained layer to a new $x$, and multiply out. The matrix $\Delta W$ need never be formed:
#
# $$W_1 x = W_0 x + \sum_i e_i \,(x_i \cdot x) \tag{2.3}$$
#
# In words: compare $x$ with every training input, multiply its error signal by the result, add up. That is (eq. 1.2), linear attention:
# the query is $x$, the keys are the training inputs, the values are the errors. This is the **dual form** (Aizerman et al. 1964; Irie et al. 2022).

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
# Three ways to the same answer: the trained layer; the sum over its training set; and notebook 01's attention. There the training examples are
# tokens, and $x$ is the last token: it has a query, and its value is 0.

# %%
q = k = torch.cat([inputs, x[None]])
v = torch.cat([errors, torch.zeros(1, 3, dtype=torch.float64)])
attended = attention.linear_attention(q, k, v)[-1]
answer = dual.dual_forward(w0, errors, inputs, x)
print("layer and dual form  ", formats.rounding(w1 @ x - answer))
print("layer and attention  ", formats.rounding(w1 @ x - (w0 @ x + attended)))

# %% tags=["hide-input"]
names = [*(f"$x_{i}$" for i in range(1, 6)), "x"]
title = "Linear attention with errors as values gives what the step adds: ΔW x"
plots.attention_flow(names, q.numpy(), k.numpy(), v.numpy(), title, reading="linear")

# %% [markdown]
# ## 3 · Many steps ★
#
# The second step starts from $W_1$. Its errors differ from step 1's, but they enter the sum the same way, and they multiply the same inputs:
#
# $$e_i^{(t)} = \mathrm{lr}\,(y_i - W_{t-1} x_i)$$
#
# $$W_T x = W_0 x + \sum_{t=1}^{T} \sum_i e_i^{(t)} \,(x_i \cdot x) \tag{2.4}$$
#
# This is attention over the whole training *history*: $T \cdot n$ tokens.
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
# In every step an example comes with the same input, so its error signals may be added up first: $n$ tokens are enough, however long
# the training. `dual.trained` keeps one row for every example.

# %%
every, history = dual.unrolled_training(w0, inputs, targets, 0.05, 50)
added, w50 = dual.trained(w0, inputs, targets, 0.05, 50)
for name, signals, keys in (("history ", every, history), ("added up", added, inputs)):
    gap = formats.rounding(dual.dual_forward(w0, signals, keys, x) - w50 @ x)
    print(name, tuple(signals.shape), "off by", gap)

# %% [markdown]
# The lengths of the five examples' error signals, step by step:

# %% tags=["hide-input"]
lengths = every.view(50, 5, 3).norm(dim=-1).numpy()
curves = {f"example {i + 1}": (np.arange(1, 51), lengths[:, i]) for i in range(5)}
plots.lines(
    curves, "step", "length of the error signal", "Error signals are smaller in the end, but not at every step", log="y"
)

# %% [markdown]
# Why do the five fall at different speeds? Take one output and $W_0 = 0$. After $t$ steps let $p_t$ `[n]` be the layer's outputs for its training inputs, and $r_t = y - p_t$ the **residuals**: what is still missing.
# A step adds lr $\sum_i r_i x_i$ to the weights. So it adds lr $\sum_i r_i\,(x_i \cdot x_j)$ to the output for $x_j$, or, for all at once, with the table of comparisons $K = X X^\top$ `[n n]`:
#
# $$p_t = p_{t-1} + \mathrm{lr}\, K\, r_{t-1}$$
#
# The matrix $H$ that turns targets into outputs, $p_T = H y$, is called the **hat matrix**. Complete its derivation.

# %% [markdown]
# {exercise:hat_matrix}


# %% tags=["exercise"]
def hat_matrix(inputs, lr, steps):
    """H [n n] with p_T = H y, after `steps` full-batch steps from p_0 = 0. inputs: [n d]."""
    k = inputs @ inputs.T
    # One step:     p_t = p_{t−1} + lr K (y − p_{t−1})
    # Residuals:    r_t = y − p_t = (  ?  ) r_{t−1},  r_0 = y
    # T steps:      r_T = (  ?  ) y
    # Outputs:      p_T = y − r_T = H y. Return H.
    # BEGIN SOLUTION
    one = torch.eye(len(inputs), dtype=inputs.dtype)
    return one - torch.linalg.matrix_power(one - lr * k, steps)
    # END SOLUTION


# %%
check(hat_matrix)

# %% [markdown]
# {solution:hat_matrix}
#
# A residual is not multiplied by a number but by the *matrix* $I - \mathrm{lr} K$: what is left of one example's residual depends on all examples. We use this in section 5.
#
# **Break it.** "A step goes against the gradient. So it lowers the loss, if there is any left." `careful` should return what three plain steps return. It also tests that
# the loss falls; if the sentence is true, that changes nothing. Find data on which the two differ.


# %%
def loss(w, inputs, targets):
    return 0.5 * (inputs @ w.T - targets).square().sum()


def careful(w0, inputs, targets):
    for _ in range(3):
        w = dual.gradient_step(w0, inputs, targets, 0.001)[1]
        w0 = w if loss(w, inputs, targets) < loss(w0, inputs, targets) else w0
    return w0


def three_steps(w0, inputs, targets):
    return dual.trained(w0, inputs, targets, 0.001, 3)[1]


# %%
def counterexample():
    """Inputs (w0 [m d], inputs [n d], targets [n m]) on which `careful` is wrong."""
    # BEGIN SOLUTION
    return torch.zeros(1, 1), 100 * torch.ones(1, 1), torch.ones(1, 1)  # 0.001 · 100² = 10: far too long a step
    # END SOLUTION


break_it(careful, three_steps, counterexample)

# %% [markdown]
# The sentence is certain for small steps only. $K$ and $\sum_i x_i \otimes x_i$ have the same eigenvalues $\lambda > 0$. A step multiplies the residual's part along the eigenvector of $\lambda$ by
# $1 - \mathrm{lr}\,\lambda$. With a rate above $2/\lambda_{\max}$ the part along the steepest direction grows at every step, and in the end it dominates.

# %% [markdown]
# On purpose: at one and a half times that rate, the course's function stops and says why.

# %%
try:
    dual.trained(w0, inputs, targets, 1.5 * dual.largest_rate(inputs).item(), steps=2000)
except ValueError as error:
    print(textwrap.fill(str(error), 60))

# %% [markdown]
# ## 4 · Real digits ★
#
# 1,797 handwritten digits, 8 × 8 pixels (scikit-learn's). A linear layer with ten outputs, one for each digit, is trained on 1,200 of them by
# fifty steps of (eq. 2.2), each over all of them (*full-batch*). Targets are 1 for the right digit and 0 elsewhere. Pixels are centred and scaled, so that $x_i \cdot x$ can be negative.

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

# %% tags=["hide-input"]
plots.pictures({"training digits": [(images[i], f"a {labels[i]}") for i in train[:8]]}, "The first eight of 1,200")

# %%
digit_errors, digit_w = dual.trained(start, pixels[train], one_hot[train], lr=0.004, steps=50)
said = (pixels[test] @ digit_w.T).argmax(1)
print(f"right, of {len(test)} test digits:")
print(f"before training {((pixels[test] @ start.T).argmax(1) == labels[test]).double().mean():.0%}")
print(f"after training  {(said == labels[test]).double().mean():.0%}")

# %% [markdown]
# Now put the trained matrix aside. What is left is $W_0$, the 1,200 digits, and for each its error signal $e_i = \sum_t e_i^{(t)}$: ten numbers, added up over the steps. The terms
# $e_i (x_i \cdot x)$ are the **contributions**, or shares, of the training examples:
#
# $$c_i = e_i\,(x_i \cdot x) \tag{2.5}$$
#
# $$W_0 x + \sum_i c_i = W_T x$$
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
# We begin with a digit that the layer gets *wrong*. Whose shares speak for the wrong answer?

# %%
predict(
    "reason",
    "The layer takes an 8 for a 1. Which training digits push it most towards 1, away from 8 (share of output 1 minus share of output 8)?",
    ["8s that look unlike it", "1s that look like it", "8s that look like it"],
)

# %%
outputs = pixels[test] @ digit_w.T
margins = outputs.max(1).values - outputs.gather(1, labels[test][:, None])[:, 0]
case, wrong, right = (z[margins.argmax()].item() for z in (test, said, labels[test]))
shares = dual.contributions(digit_errors, pixels[train], pixels[case])
push = shares[:, wrong] - shares[:, right]
print(f"surest mistake: an {right} taken for a {wrong}")
print(f"output {wrong} minus output {right}: {margins.max():.3f}")

# %% tags=["picture-digits", "hide-input"]
ranked = push.argsort(descending=True)


def shown(places):
    return [(images[train[i]], f"{labels[train[i]]}\n{push[i]:+.2f}") for i in places]


rows = {"test digit": [(images[case], f"{right},\ntaken for {wrong}")]}
rows |= {f"most for {wrong}": shown(ranked[:7]), f"most for {right}": shown(ranked.flip(0)[:7])}
plots.pictures(rows, "The training examples that this prediction attends to, and their shares of “1” minus “8”")

# %% [markdown]
# These are the strongest seven for each side. Now all 1,200, added up, and with $W_0$'s own part: do they give the layer's answer? And which kinds of digit push which way?

# %%
up, down = push.clamp(min=0), push.clamp(max=0)
first = (start[wrong] - start[right]) @ pixels[case]
print(f"{len(push):,} shares {push.sum():+.3f}")
print(f"from W₀      {first:+.3f}")
print(f"together     {push.sum() + first:+.3f}")
print("minus the layer's own:", formats.rounding(push.sum() + first - (digit_w[wrong] - digit_w[right]) @ pixels[case]))
for digit, side in ((wrong, push > 0), (right, push < 0)):
    print(f"{side.sum()} digits push for {digit}; {(labels[train][side] != digit).double().mean():.0%} are no {digit}s")

# %% tags=["hide-input"]
kinds = {f"all {len(push):,}": torch.ones_like(labels[train]).bool()}
kinds |= {f"{digit}s": labels[train] == digit for digit in range(10)}
sums = {name: (up[kind].sum().item(), down[kind].sum().item()) for name, kind in kinds.items()}
title = finding(
    "reason",
    "Positive shares sum to +{up:.2f}, negative ones to −{down:.2f}. Most of the push for {wrong} comes from {wrong}s",
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

# %% [markdown]
# Is this digit special? The same for every test digit that is read *correctly*: the sum of the positive shares, divided by the lead: the right output minus the second largest.

# %%
read_well = said == labels[test]
best = outputs[read_well].topk(2)
first_two = digit_errors[:, best.indices]  # [training digits, test digits, 2]
pushes = (first_two[..., 0] - first_two[..., 1]).T * (pixels[test[read_well]] @ pixels[train].T)
ratios = pushes.clamp(min=0).sum(1) / (best.values[:, 0] - best.values[:, 1])
print(f"positive shares over the lead, {len(ratios)} digits: median {ratios.median():.0f}, middle half", end=" ")
print(" to ".join(f"{end:.0f}" for end in ratios.quantile(torch.tensor([0.25, 0.75], dtype=torch.float64)).tolist()))

# %% [markdown] tags=["after-reason"]
# **What you should see.** The shares and $W_0$'s part sum to the layer's own answer. Positive and negative shares nearly cancel, here and with correctly read digits:
# *a prediction is the small difference of two large sums*. Most of the *digits* that push for 1 are no 1s: every digit has an error signal for every output, a 4 too.
# But most of the *push* comes from 1s. Some 8s push towards 1 as well: where $x_i \cdot x$ is negative, an 8 lowers the output for 8.

# %% [markdown]
# ## 5 · Is a share a cause? ★
#
# Which examples does an answer *depend* on? A friend wants to know what would have become of the answer to $x$ without the ten examples that pushed it hardest. Her analysis, line by line:
#
# 1. `errors, w = dual.trained(start, inputs, targets, lr, 50)`. The layer's answer is output `a`, the largest of `w @ x`.
# 2. `shares = dual.contributions(errors, inputs, x)[:, a]`. With W₀'s part they sum to the answer.
# 3. `gone = shares.argsort(descending=True)[:10]`, the ten that pushed hardest; `rest` are the others.
# 4. The layer that training on the others alone would have given: `without = start + dual.weight_update(errors[rest], inputs[rest])`. In the dual form nothing has to be trained again.
# 5. What the answer loses: `((w - without) @ x)[a]`. A check of the typing: it equals `shares[gone].sum()` to 12 digits.
# 6. So without these ten in the training set, the answer would have been smaller by this number.

# %% [markdown]
# Which line is the *first* that is wrong, and what is the reason? (Later lines only build on it.)
#
# - **A** · W₀'s part is missing.
# - **B** · The errors of the other examples come from a training in which the ten took part.
# - **C** · The strongest shares are those of largest *absolute* value.
# - **D** · The check cannot fail, so the number is not to be trusted.
# - **E** · Ten examples of many cannot make a difference.
#
# {exercise:flaw_of_the_influence}


# %% tags=["exercise"]
def flaw_of_the_influence():
    """The number of the line and the letter of the reason, like (1, "A")."""
    # BEGIN SOLUTION
    return 4, "B"
    # END SOLUTION


# %%
check(flaw_of_the_influence)

# %% [markdown]
# {solution:flaw_of_the_influence}
#
# So we train again without the ten, and compare. We do it for 60 test digits, after 1, 3, 10 and 50 steps.

# %%
predict(
    "retrain",
    "Fifty steps. Retrained without its ten strongest examples, how much of their shares does the answer really lose?",
    ["nearly all of it", "about half", "less than a fifth"],
)


# %%
def removed(steps, count=10, digits=60):
    """For the answers to some test digits: the shares of their strongest examples, and what retraining loses."""
    errors, w = dual.trained(start, pixels[train], one_hot[train], 0.004, steps)
    pairs = []
    for i in test[:digits]:
        answer = (w @ pixels[i]).argmax()
        shares = dual.contributions(errors, pixels[train], pixels[i])[:, answer]
        rest = train[shares.argsort(descending=True)[count:]]
        without = dual.trained(start, pixels[rest], one_hot[rest], 0.004, steps)[1]
        pairs.append((shares.topk(count).values.sum(), (w - without)[answer] @ pixels[i]))
    return torch.tensor(pairs).T.numpy()


found = {f"{steps} step{'s' * (steps > 1)}": tuple(removed(steps)) for steps in (1, 3, 10, 50)}

# %% tags=["hide-input"]
title = finding("retrain", "One step: retraining loses what the shares say. Fifty steps: a small part of it")
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
# **What you should see.** After *one* step all points lie on the diagonal: all errors were made at $W_0$, so none depends on another example. After more
# steps they do (exercise 2.D1), and less and less of the shares is lost.

# %% [markdown] tags=["after-retrain"]
# **Why so little?** Let $S$ be the ten, and $D_t$ the layer trained on all examples minus the layer trained without them; $D_0 = 0$. Subtract one training loop from the other (eq. 2.2):
#
# $$D_t = D_{t-1}\,M + \sum_{i \in S} e_i^{(t)} \otimes x_i$$
#
# $$M = I - \mathrm{lr} \sum_{i \notin S} x_i \otimes x_i$$
#
# At every step the ten add their errors to the difference; that is all that shares count. But $M$ also *shrinks* the difference: where the two layers differ on one of the other examples, the next step
# reduces this difference. ($M$ does to weights what $I - \mathrm{lr} K$ of 2.D1 does to residuals.) What an error adds at step $t$ is reduced $T - t$ times:
#
# $$D_T\, x = \sum_{t=1}^{T} \sum_{i \in S} e_i^{(t)}\; x_i \cdot (M^{\,T-t} x)$$
#
# With $M = I$ these are the shares. Is the formula right? For the first test digit:


# %%
def explained(i, steps=50, lr=0.004):
    """For the answer to digit i: its ten strongest shares, what the formula says is lost, and what retraining loses."""
    errors = dual.unrolled_training(start, pixels[train], one_hot[train], lr, steps)[0].view(steps, len(train), 10)
    w = start + dual.weight_update(errors.sum(0), pixels[train])
    answer, seen, lost = (w @ pixels[i]).argmax(), pixels[i], 0.0
    shares = dual.contributions(errors.sum(0), pixels[train], pixels[i])[:, answer]
    gone, rest = shares.argsort(descending=True).split([10, len(train) - 10])
    for t in reversed(range(steps)):
        lost += (errors[t, gone, answer] * (pixels[train[gone]] @ seen)).sum()
        seen = seen - lr * pixels[train[rest]].T @ (pixels[train[rest]] @ seen)  # M seen
    without = dual.trained(start, pixels[train[rest]], one_hot[train[rest]], lr, steps)[1]
    return shares[gone].sum(), lost, ((w - without) @ pixels[i])[answer]


by_shares, by_formula, by_retraining = explained(test[0])
print(f"shares {by_shares:.3f}, formula {by_formula:.3f}, retrained {by_retraining:.3f}")
print("formula minus retrained:", formats.rounding(by_formula - by_retraining))

# %% [markdown]
# How fast does it shrink? All 1,200 examples lie in the same 61 directions, the eigenvectors of $\sum_i x_i \otimes x_i$. Along each, $|1 - \mathrm{lr}\,\lambda|^T$ is left after $T$ steps:

# %% tags=["hide-input"]
steepness = torch.linalg.svdvals(pixels[train])[:61] ** 2
left = {
    f"after {T} step{'s' * (T > 1)}": (np.arange(1, 62), ((1 - 0.004 * steepness) ** T).abs().numpy())
    for T in (1, 3, 10, 50)
}
plots.lines(
    left,
    "direction, the one with the largest inputs first",
    "part of a residual that is left",
    "More steps: along more directions nothing is left",
)

# %% [markdown]
# Now take training digits away yourself; the test digit is the 8 of section 4. What is lost is always measured: the layer is trained again without them.

# %% tags=["hide-input"]
leave_out(images[train], pixels[train], labels[train], start, pixels[case], wrong, right, lr=0.004)

# %% [markdown] tags=["conclusion", "after-retrain"]
# **What you may conclude.** Shares (eq. 2.5) are an exact *account* of a prediction: they say how this training made up its number.
#
# **What you may not:** that they say what the number would have been without an example. After more than one step, only training again (or the formula, which does the same) tells what the number *depends on*. Keep this for the GPT.

# %% [markdown]
# ## 6 · Momentum, minibatches, Adam
#
# (Optional; nothing to fill in.) Momentum and minibatches change *only the error signals*. An example that is not in the minibatch has error 0 in that
# step. With momentum $\beta$ an error acts again in every later step, each time multiplied by $\beta$ once more:
#
# $$u_i^{(t)} = \beta\, u_i^{(t-1)} + e_i^{(t)}$$
#
# $$\Delta W = \sum_i \Big(\sum_t u_i^{(t)}\Big) \otimes x_i \tag{2.6}$$
#
# Torch's own optimiser, which does not use the dual form, against this equation:


# %%
def with_torch(optimiser, **options):
    """Fifty steps of one of torch's optimisers on the digits: the layer's weights, and the gradient of every step."""
    layer, gradients = torch.nn.Linear(64, 10, bias=False, dtype=torch.float64), []
    layer.weight.data.copy_(start)
    stepper = optimiser(layer.parameters(), **options)
    for _ in range(50):
        stepper.zero_grad()
        (0.5 * (layer(pixels[train]) - one_hot[train]).square().sum()).backward()
        gradients.append(layer.weight.grad.clone())
        stepper.step()
    return layer.weight.detach(), torch.stack(gradients)


momentum_w = dual.trained(start, pixels[train], one_hot[train], lr=0.0005, steps=50, momentum=0.9)[1]
torch_w = with_torch(torch.optim.SGD, lr=0.0005, momentum=0.9)[0]
print("torch minus (eq. 2.6):", formats.rounding(torch_w - momentum_w))

# %% [markdown]
# For each way: how many test digits are right, and whether W₀'s part plus all shares is the layer's answer to the 8 of section 4.

# %%
ways = {"plain": {}, "momentum 0.9": {"momentum": 0.9}, "minibatches of 100": {"batch": 100}}
table = {}
for way, options in ways.items():
    lr = 0.004 * (1 - options.get("momentum", 0))
    way_errors, way_w = dual.trained(start, pixels[train], one_hot[train], lr=lr, steps=50, **options)
    total = start @ pixels[case] + dual.contributions(way_errors, pixels[train], pixels[case]).sum(0)
    way_right = ((pixels[test] @ way_w.T).argmax(1) == labels[test]).double().mean()
    table[way] = (f"{way_right:.0%}", formats.rounding(total - way_w @ pixels[case]))
pd.DataFrame.from_dict(table, orient="index", columns=["right", "shares minus answer"])

# %% [markdown]
# (With momentum an error acts with total weight $1/(1-\beta) = 10$, so the rate is a tenth. That the shares add up is built into `dual.trained`; torch, above, is the independent test.) All three are *attention over the
# training set*. And **Adam**, which divides every entry of the gradient by a number of its own? Two questions to its update $\Delta W$: is it a sum $\sum_i u_i \otimes x_i$ with *any* $u_i$?
# And with $u_i = \sum_t a_t\, e_i^{(t)}$: its *own errors*, with one number $a_t$ a step, the same for all examples?

# %%
adam_w, gradients = with_torch(torch.optim.Adam, lr=0.01)
adam_dw = adam_w - start
u = torch.linalg.lstsq(pixels[train].T, adam_dw.T, driver="gelsd").solution
print("directions of the inputs: ", torch.linalg.matrix_rank(pixels[train]).item(), "of 64")
print("ΔW minus Σ u ⊗ x, any u:  ", formats.rounding(adam_dw - u.T @ pixels[train]))
steps_taken = gradients.flatten(1).T  # a column a step: minus Σ (y − Wx) ⊗ x, from the examples' own errors
weights = torch.linalg.lstsq(steps_taken, adam_dw.flatten()[:, None], driver="gelsd").solution
missed = (adam_dw.flatten() - (steps_taken @ weights)[:, 0]).norm() / adam_dw.norm()
print(f"own errors, a weight a step: {missed:.0%} of ΔW's length is missed")

# %% [markdown]
# The first answer is yes, and it means nothing: three pixels never change, and the inputs span all other directions, so *every* change of the other weights is such a sum.
# The second is no. So Adam's update has the form of the sum here, because the inputs span everything, but its values are not the examples' own errors, weighted step by step. (Momentum comes back in notebook 06, inside attention.)

# %% [markdown]
# ## 7 · On purpose: labels that mean nothing ★
#
# Is the dual form a sign that something has been *learned*? Test it where there is nothing to learn: 50 digits, their labels shuffled, so that an image says nothing about its label.

# %%
predict(
    "nothing",
    "500 steps on 50 digits with shuffled labels. Does the layer learn these 50 labels by heart? Is its dual form exact?",
    [
        "not learned, dual form broken",
        "not learned, dual form exact",
        "learned, dual form broken",
        "learned, dual form exact",
    ],
)

# %% [markdown]
# Such a control has to change *one* thing. It keeps all inputs, and it keeps how often each label occurs: a learner that only counts labels must find no difference. What it removes is every link between input and label: a learner that reads the inputs must fall to chance on new ones, not below.
#
# {exercise:shuffled}


# %% tags=["exercise"]
def shuffled(inputs, labels, seed):
    """inputs: [n d], labels: [n] whole numbers → (inputs [n d], labels [n]); the same again for the same seed."""
    # BEGIN SOLUTION
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return inputs, labels[order]
    # END SOLUTION


# %%
check(shuffled)

# %% [markdown]
# {solution:shuffled}
#
# Ten draws of 50 training digits. One layer is trained on each draw with its own labels, one with shuffled labels.


# %%
def fitted(chosen, given):
    """Train on the digits `chosen` with labels `given`: accuracy on these, on the test digits; dual form minus layer."""
    lr = 0.9 * dual.largest_rate(pixels[chosen]).item()
    errors, w = dual.trained(start, pixels[chosen], torch.eye(10, dtype=torch.float64)[given], lr, 500)
    by_dual = pixels[test] @ start.T + pixels[test] @ pixels[chosen].T @ errors
    cases = (chosen, given), (test, labels[test])
    right = [((pixels[places] @ w.T).argmax(1) == told).double().mean() for places, told in cases]
    return [*right, (by_dual - pixels[test] @ w.T).abs().max()]


outcomes = {"own labels": [], "shuffled labels": []}
for draw in range(10):
    rng = torch.Generator().manual_seed(draw)
    chosen = train[torch.randperm(len(train), generator=rng)[:50]]
    outcomes["own labels"].append(fitted(chosen, labels[chosen]))
    outcomes["shuffled labels"].append(fitted(chosen, labels[chosen][torch.randperm(50, generator=rng)]))

# %% tags=["hide-input"]
rows = {}
for name, measured in outcomes.items():
    for place, where in enumerate(("its 50 digits", "new digits")):
        values = torch.tensor(measured)[:, place].numpy()
        rows[f"{name}: {where}"] = (values, (values.mean(), *metrics.bootstrap_interval(values)))
title = finding("nothing", "Layers of both kinds know their 50 labels by heart; only one kind reads new digits")
plots.differences(rows, "accuracy: ten draws, their mean and its 95 % interval", title)

# %%
for name, measured in outcomes.items():
    fit, new, gap = torch.tensor(measured).T
    low, high = metrics.bootstrap_interval(new)
    print(f"{name:15} {fit.mean():.0%} of the 50; new digits {new.mean():.1%}, 95 % interval {low:.1%} to {high:.1%}")
    print(" " * 15, "dual form minus layer, largest of ten:", formats.rounding(gap))

# %%
reveal(
    "nothing",
    "learned, dual form exact",
    "All 50 labels are right, and the dual form is exact to rounding. Of new digits {new:.0%} are right, where guessing "
    "gives about 10 %.",
    new=torch.tensor(outcomes["shuffled labels"])[:, 1].mean().item(),
)

# %% [markdown] tags=["after-nothing"]
# **What you should see.** 50 examples in 61 directions can be fitted whatever their labels are. The two kinds of layers differ on new digits; compare the printed differences between dual form and layer yourself.
# With shuffled labels the accuracy on new digits cannot be told from guessing: the interval contains one in ten.

# %%
predict(
    "sentence-02",
    "Which sentence does this figure, with the printed differences, allow?",
    [
        "nothing general: ten draws of 50 digits are too few",
        "where labels are shuffled, gradient descent learns nothing",
        "an exact dual form is no evidence that what was learned transfers",
        "a linear layer can learn any labels by heart",
    ],
)

# %%
reveal(
    "sentence-02",
    "an exact dual form is no evidence that what was learned transfers",
    "It was exact for all twenty layers, those that transfer and those that do not: it cannot tell them apart. So the "
    "first sentence is too modest. The layer learned its 50 labels, so the second is false. The last goes beyond 50 examples.",
)

# %% [markdown] tags=["conclusion", "after-sentence-02"]
# **What you may conclude.** Every linear layer that plain gradient descent has trained has an exact dual form. It has one if it learned something that transfers, and if it did not. *The algebra is always true, and therefore proves little.*
#
# **What you may not:** that a layer has learned something because it attends to its training set.

# %% [markdown]
# ## 8 · Back to the GPT ★
#
# Now one step of gradient descent on the real GPT, on one line of text. (In notebook 04 it is finetuned on many demonstrations.) The step changes the key and value projections of each of its
# 30 layers. We look at the value projections. Each is a linear layer: (eq. 2.1) must hold, with a term for every *token*. (The loss: every token of the line is to be predicted from those before it.)

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
print("ΔW minus Σ e ⊗ x:", formats.rounding((step.change - change) / size))  # of the largest; float32

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
# The start token, notebook 01's sink to which many heads attend, has the largest part. The last token has none: no token comes after it, so its value has no effect on the loss, and
# the rank is four.
#
# So in every layer this step adds to the weights a sum of outer products over the line's own tokens. Its errors come from a *loss*:
# they say in which direction the layer's output should have moved. In notebook 03 a prompt writes a sum of the same form, and there nobody computes a loss.

# %% [markdown]
# ## 9 · Aloud, before you go ★
#
# 1. Why is the update of a step of rank at most $n$?
# 2. What are query, key and value in (eq. 2.3)?
# 3. After how many steps are shares causes, and why only then?
# 4. (Section 6) What does momentum change in the dual form, and what not? What does Adam?
# 5. A friend shows that a model's answer is attention over its training set, exact to 12 digits. What has she shown about learning?

# %% [markdown]
# {equations:02}
#
# **What comes next.** A gradient step writes errors ⊗ inputs into a matrix; attention writes values ⊗ keys.
# [03 · Meta-gradients](03_meta_gradients.ipynb) reads the second as the first.
