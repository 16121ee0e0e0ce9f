# %% [markdown]
# # 00 · Start here
#
# **On this page a real GPT does a task that it did not do a moment ago, because examples of the task stand in front of the question. No weight changes.
# How it does that is the question of this course: is *in-context learning* gradient descent in disguise?**
#
# *You need: Python enough to read ten lines. About 30 minutes, all of them part of the core path (★).*
#
# Run the cells from top to bottom (Shift + Enter). Where a box says **predict first**, choose an answer before you go on. What the next cells show is explained
# once you have chosen, or skipped the question.

# %%
from helpers import gpt, icl, plots, tasks
from helpers.check import route
from helpers.course import assets, doctor
from helpers.experiments import shots
from helpers.widgets import finding, predict, reveal

assets.ensure()  # fetches the model and the sentences once; from then on it only checks that they are there

# %%
route(here="00")

# %% [markdown]
# ## 1 · Is everything here? ★
#
# The doctor checks this machine. `ok` needs nothing. A `note` says what will be slower or missing. Only `STOP` stops the course, and it says what to do.

# %% tags=["nbval-ignore-output"]
doctor.show()

# %% [markdown]
# ## 2 · What does the arrow mean? ★
#
# Our model is **SmolLM2-135M-Instruct**, a *GPT*: a network that reads a text and gives a probability to every possible next piece of text, a *token*.
# It is small enough for a laptop, and built like the large ones.

# %%
model = gpt.load("smollm2-135m")
before = model.fingerprint()  # a hash over every bit of every weight: section 3 needs it
print(f"{sum(w.numel() for w in model.network.parameters()) / 1e6:.0f} million weights")

# %% [markdown]
# The model continues a text. Here it takes the most probable token, six times:

# %%
print("go ->", gpt.complete(model, "go ->", tokens=6))

# %% [markdown]
# Nothing in this text says what the arrow means. So we put one line in front of it, `see -> saw`, and change nothing else:

# %%
print(gpt.complete(model, "see -> saw\ngo ->", tokens=6))

# %% [markdown]
# *went* stands nowhere in the text. (After the line break the model goes on with a text of its own.) Did the model take a rule from one line? One verb after one line could be luck. We try five lines and five verbs. Each row
# below is one line that stands in front; each column is a verb to be completed. The table keeps the first word of every answer.

# %%
verbs = ["go", "fly", "hope", "build", "sleep"]
print(f"{'in front':16}", *(f"{verb + ' ->':10}" for verb in verbs))
for line in ("see -> saw", "walk -> walked", "make -> made", "sing -> sang", "play -> played"):
    print(f"{line:16}", *(f"{word:10}" for word in shots.completed(model, [line], verbs)))

# %% [markdown]
# One line is not enough. After `see -> saw`, *fly* becomes *saw*, a word copied from the line. After `play -> played` three verbs become *played*. After `make -> made` the
# model repeats every verb. So an answer can look right for the wrong reason. It may be one of three things, or something else, as *builded* and *1000* are:
#
# - the answer follows the **rule**: it is the verb's own past tense;
# - the answer is a **copy of the verb**;
# - the answer is a **copy from the lines**: a word that stands behind an arrow above it.
#
# To tell them apart takes more verbs, more lines and many random choices of lines. It also takes **controls**: lines of the same form that show something else. Here are
# four lines of each kind that we will use:

# %%
for kind in shots.KINDS:
    drawn = shots.shown(tasks.load("past", shots=4, queries=1), kind, seed=0)
    print(f"{shots.NAMES[kind]:15}", *(f"{demo.text + ' -> ' + demo.label:18}" for demo in drawn.demos))

# %% [markdown]
# *Identity* lines repeat the verb. *Shuffled* lines keep the verbs and the past tenses, but no verb stands before its own. The experiment was recorded before: 40 verbs, none of them in
# the lines; up to 16 lines; ten draws of lines for each kind and number. Two questions, before you see the result:

# %%
predict(
    "curve",
    "True lines. How many does it take until more than six of ten answers are the verb's own past tense?",
    ["1", "2", "4", "8", "16", "16 are not enough"],
)

# %%
predict(
    "controls",
    "After sixteen shuffled lines, such as see -> took: what is the most frequent answer, for example to build -> ?",
    [
        "a past tense copied from the lines",
        "the verb's own past tense (built)",
        "another verb's past tense, one that is not in the lines",
        "the verb itself (build)",
    ],
)

# %% tags=["hide-input"]
curves = {shots.NAMES[kind]: shots.curve(kind) for kind in shots.KINDS}
title = finding(
    "controls",
    "Up to four lines shuffled ones do as well as true ones, with sixteen about half as well; identity lines never",
)
plots.lines(curves, "lines in front of the verb", "share of answers: own past tense", title)
shots.SHOTS_STUDY.show_source()

# %%
few, more, most = (shots.estimate("true", count)[0] for count in (4, 8, 16))
reveal(
    "curve",
    "8",
    "Right answers: {few:.2f} after 4 lines, {more:.2f} after 8, {most:.2f} after 16.",
    few=few,
    more=more,
    most=most,
)

# %%
reveal(
    "controls",
    "the verb's own past tense (built)",
    "Own past tenses: {own:.2f} of the answers, though no line shows one.",
    own=shots.estimate("shuffled", 16)[0],
)

# %% [markdown] tags=["after-controls"]
# **What you should see.** (This was recorded earlier, not computed now.) Each point is a share of 400 answers: 40 verbs after each of ten random choices (*draws*) of lines; at 0 lines 40 answers. The bands are 95 % intervals over draws and verbs
# (*bootstrap*: see the glossary in section 6). This is
# what the answers are after sixteen lines, with the same intervals:
#
# {result:shots 16}
#
# Now the copies. Here is what the answers after *true* lines are, from no line to sixteen; and for one line what each of the ten draws gives:

# %% tags=["hide-input"]
kinds = {said: shots.curve("true", what) for what, said in shots.ANSWERS.items()}
plots.lines(
    kinds,
    "true lines in front of the verb",
    "share of answers",
    "After one or two true lines the verb itself is most frequent, from eight on clearly its past tense",
)
print("after one true line, share of own past tenses by draw:", *sorted(shots.marks("true", 1).mean(1).round(2)))

# %% [markdown] tags=["conclusion", "after-controls"]
# **What you may conclude.** After one or two true lines the verb itself is the most frequent answer, so one right answer shows little. After sixteen, no answer copies a word from the lines, and few copy the verb. After
# sixteen identity lines the verb is repeated. Whether a verb stands before its *own* past tense matters only with many lines: up to four, shuffled lines do as well as true ones; after sixteen the intervals
# do not touch.
#
# **What you may not:** that the lines *taught* the rule. The model knew past tenses before; lines may only say what is wanted. And this is one small model and one task.

# %% [markdown]
# The term for this is **in-context learning**: the model does a task better because examples of it stand in its *context*, the text before the question. The examples are called
# **demonstrations**. No demonstrations at all is called **zero-shot**.

# %% [markdown]
# ## 3 · No weight has changed ★
#
# Training a network changes its weights. Which weights changed here? We take the hash again:

# %%
print("Is any bit of any weight different now?", "yes" if model.fingerprint() != before else "no")

# %% [markdown]
# None of 135 million weights changed. The lines can only act through the *activations*, the numbers that flow through the network while it reads this text. They are
# gone when the text is gone. It looks like learning and it is one pass through a fixed function.

# %% [markdown]
# ## 4 · Five real sentences ★
#
# Now a task with real material: sentences from the web about films. Some come from a *review*, some tell the *plot*. The model is to say which, by one of those two
# words.

# %%
task = tasks.load("subj", shots=2, queries=5)
shown = [(demo.text, demo.label) for demo in task.demos]
print(icl.build_prompt(task.template, shown, task.queries[0].text))

# %% [markdown]
# The prompt ends where the answer should begin. The model does not write here: we read how probable it finds each of the two words, after 0, 4 and 32 demonstrations.
# A dot at 1 means that it puts everything on *review*. A filled dot is on the right side of the middle.

# %%
predict(
    "dots",
    "How many of the five sentences are on their right side with 32 demonstrations?",
    ["all five", "four", "three or fewer"],
)

# %%
shares, counts = {query.text: [] for query in task.queries}, (0, 4, 32)
for count in counts:
    shown = tasks.load("subj", shots=count, queries=5)
    scores = icl.in_context(model, shown).scores
    for query, share in zip(shown.queries, scores.softmax(1)[:, 1], strict=True):
        shares[query.text].append(share.item())
truths = [query.label for query in task.queries]
title = finding("dots", "From 0 to 32 demonstrations all five dots move towards “review”")
plots.answers(shares, [str(count) for count in counts], truths, positive="review", title=title)

# %%
reveal(
    "dots", "four", "The three reviews and one plot, just; the other plot, hardly a sentence, ends among the reviews."
)

# %% [markdown] tags=["after-dots"]
# **What you should see.** Without demonstrations (circles) two of the three reviews are on the wrong side; after 32 (triangles) all three are on the right one. But all five dots
# moved towards *review*, the two plots too. One plot ends on the wrong side, the other just left of the middle. Two explanations fit: the demonstrations taught the model something about
# sentences, or they only made the word *review* more likely. Five sentences cannot tell them apart. Notebook 04 does, by removing the preference for one answer from the scores (*calibration*).

# %% [markdown] tags=["conclusion", "after-dots"]
# **What you may conclude.** Thirty-two demonstrations moved all five probabilities towards *review*.
#
# **What you may not:** that the model now judges sentences better, or that it learned this from what the examples say. Notebook 04 takes a hundred sentences on several tasks, with intervals.

# %% [markdown]
# ## 5 · The question ★
#
# In 2022 Damai Dai and colleagues proposed an answer ([Why Can GPT Learn In-Context?](https://arxiv.org/abs/2212.10559)): attention over demonstrations has the form of
# a step of **gradient descent**. They say: the forward pass computes *meta-gradients* from the demonstrations and applies them to the model through attention.
# In-context learning would then be finetuning in disguise.

# %% tags=["hide-input"]
demonstrations = [(demo.text, demo.label) for demo in task.demos]
ways = "Three ways to an answer. The question of this course: do the last two do the same inside?"
plots.prompt_against_finetuning(model.name, demonstrations, task.queries[0].text, ways)

# %% [markdown]
# For *linear* attention, attention without its softmax, the algebra behind this is true, and you will derive it. It is a statement about form: linear attention **can be written** as a gradient
# step. A GPT has softmax attention, and its weights were trained to predict text. Whether it uses this form to learn a task must be measured, beside controls that ought to destroy
# the effect. Others have measured it and disagree with the paper; notebook 04 (and 05, when it exists) lets you judge.

# %% [markdown]
# ## 6 · The route
#
# Seven notebooks, about 15 hours; the core path (everything with a ★) takes about 10. The minutes are counted: reading, thinking, writing. Those of notebook 05, which does not exist yet, are planned.
#
# | | notebook | what you will see | minutes | ★ |
# |---|---|---|---|---|
# | 00 | **start here** | a GPT does a new task, and no weight has changed | 30 | 30 |
# | 01 | [linear attention](01_linear_attention.ipynb) | three programs, one output | 165 | 85 |
# | 02 | [the dual form](02_dual_form.ipynb) | a trained layer attends to its training set | 135 | 95 |
# | 03 | [meta-gradients](03_meta_gradients.ipynb) | one attention layer that *is* a gradient step | 245 | 185 |
# | 04 | [in context against finetuned](04_icl_vs_finetuning.ipynb) | a real GPT, three ways | 90 | 90 |
# | 05 | controls | spot the GPT among four curves | 110 | 50 |
# | 06 | [momentum attention](06_momentum_attention.ipynb) | if attention is descent, give it momentum | 150 | 75 |
#
# Two lists to come back to:
#
# <details><summary>Notation: the same letters on every page and in the code</summary>
#
# `helpers` keeps one token in a row.
#
# | symbol | code | shape | meaning |
# |---|---|---|---|
# | $n, d, m$ | | | tokens, key width, value width |
# | $Q, K, V$ | `q`, `k`, `v` | `[n d]`, `[n d]`, `[n m]` | queries, keys, values: a row a token |
# | $W_V, W_K$ | `w_v`, `w_k` | `[m e]`, `[d e]` | projections, `v = x @ w_v.T` |
# | $X', X$ | `demos`, `context` | `[n' e]`, `[n e]` | demonstration tokens, tokens of the query's own text |
# | $q$ | `query` | `[d]` | the query vector of the last token |
# | $W_0, \Delta W$ | `w0`, `dw` | `[m d]` | initial weights and their update |
# | $e_i$ | `errors` | `[n m]` | error signal of example $i$, the learning rate already in it |
# | $\eta$ | `eta` | a number | momentum |
#
# </details>
#
# <details><summary>Glossary: the terms of the course, a line each</summary>
#
# - **Token**: the piece of text that a model reads and writes: a word, a part of one, a line break.
# - **Log-probability**: the logarithm of a probability, in *nats*; 0 is certain, −0.7 is even odds, −7 is one in a thousand.
# - **Prompt**: the text before the answer. **Demonstrations**: solved examples in it. **Query**: the unsolved one.
# - **Zero-shot**, **in context**: without, and with, demonstrations in the prompt.
# - **Finetuning**: changing weights by gradient steps on examples. **Learning rate**: how far one step goes.
# - **Attention**: what a token takes from itself and the tokens before it. Its *query* is compared with their *keys*; that gives weights. The output is the weighted sum of their *values*.
# - **Linear attention**: the same without the softmax, the step that makes the weights positive and their sum one. Its **state** is all it keeps of what it read: a sum of **outer products** $v \otimes k$,
#   the matrix of all products of an entry of $v$ with one of $k$. **Interference**: what the other pairs add when one pair's value is read.
# - **Chunk**: a piece of the text whose tokens are computed together.
# - **Dual form**: the same output written as a sum over training examples instead of with a trained weight matrix.
# - **Meta-gradient**: what plays the gradient's part when attention is read as a gradient step.
# - **Label bias**: a model's preference for one answer whatever the question. **Calibration**: removing it.
# - **Momentum**: a step to which a part of the step before is added. **Recency bias**: a preference for what stands near.
# - **Stream** (residual stream): the vector of a token that every layer adds to. **MLP**: what a layer does to each token after attention: matrix products with a nonlinearity between them; SmolLM2's
#   has three matrices, one of them a gate.
# - **95 % interval**: computed so that in about 95 of 100 repetitions of the experiment it holds the true value. *Wilson's* is for one share of right answers; the *bootstrap* draws queries (or draws of
#   demonstrations) anew, ten thousand times, and keeps the middle 95 % of the means.
# - **SGD**, **Adam**: ways to take a gradient step; SGD follows the gradient as it is, Adam scales it weight by weight.
#
# </details>

# %% [markdown]
# ## 7 · Ten questions, before ★
#
# Notebook 06 ends with the same ten. Write one line for each into the cell below, guesses too, and how sure you are (1 to 5). Then you can see later what you have learned.
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

# %%
my_answers = """
1.
2.
3.
4.
5.
6.
7.
8.
9.
10.
"""

# %% [markdown]
# ## 8 · Go on
#
# Save this notebook, so that your ten answers stay. The model takes half a gigabyte of memory as long as this kernel runs; *Kernel → Shut Down Kernel* gives it back.
#
# **Next:** [01 · linear attention](01_linear_attention.ipynb), where you write code yourself.
