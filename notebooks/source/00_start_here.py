# %% [markdown]
# # 00 · Start here
#
# **In twenty minutes a real GPT will have learned a task from a few examples, without a single one of its weights
# moving. How it does that is the question of this course: is *in-context learning* gradient descent in disguise?**
#
# *You need: this page, and Python enough to read ten lines. About 20 minutes, part of the core path.*
#
# Run the cells from top to bottom (Shift + Enter). Where a box says **predict first**, choose before you go on: that is
# where the learning happens. What the next cells show is explained once you have chosen, or skipped the question.

# %%
from helpers import gpt, icl, plots, tasks
from helpers.check import route
from helpers.course import assets, doctor
from helpers.widgets import finding, predict, reveal

assets.ensure()  # model and sentences are fetched once; from then on this only looks

# %%
route(here="00")

# %% [markdown]
# ## 1 · Is everything here?
#
# The doctor looks at this machine. `ok` needs nothing; a `note` tells you what will be slower or missing; only
# `STOP` stops the course, and it says what to do.

# %% tags=["nbval-ignore-output"]
doctor.show()

# %% [markdown]
# ## 2 · A word it completes with nonsense
#
# Our model is **SmolLM2-135M-Instruct**: a *GPT*, that is a network which reads a text and says, for every possible
# next piece of text (a *token*), how probable it is. It is small enough for any laptop, and as real as the large ones.

# %%
model = gpt.load("smollm2-135m")
before = model.fingerprint()  # a hash over every bit of every weight: we will need it later
print(f"{sum(w.numel() for w in model.network.parameters()) / 1e6:.0f} million weights")

# %% [markdown]
# Its job is to go on with a text. Here is a text that nobody could go on with:

# %%
print("go ->", gpt.complete(model, "go ->", tokens=6))

# %% [markdown]
# No wonder: what *is* the arrow supposed to mean? Now we put lines in front of it that show what we want. Nothing
# else. No training, no instruction: only a longer text.

# %%
predict(
    "lines",
    "How many lines like `see -> saw` does it take until the model answers `go ->` with went?",
    ["1", "4", "16", "it never does"],
)

# %%
pairs = """see saw, walk walked, take took, play played, think thought, make made, eat ate, run ran,
give gave, jump jumped, know knew, write wrote, sing sang, bring brought, break broke, come came"""
lines = ["{} -> {}\n".format(*pair.split()) for pair in pairs.replace("\n", " ").split(", ")]

for count in (0, 1, 4, 8, 16):
    answer = gpt.complete(model, "".join(lines[:count]) + "go ->", tokens=6)
    print(f"{count:2} examples:  go -> {answer.split(chr(10))[0].strip()}")

# %%
reveal("lines", "1", "With these lines a single one says what the arrow means. The model knew English all along.")

# %% [markdown] tags=["after-lines"]
# It has not looked *went* up in the examples, for it isn't there. Is it only this word? We take verbs that are not
# among the sixteen examples either:

# %%
for word in ("hope", "fly", "build", "sleep", "try"):
    answers = [gpt.complete(model, shown + f"{word} ->", tokens=6) for shown in ("", "".join(lines))]
    alone, shown = (answer.split("\n")[0].strip() for answer in answers)
    print(f"{word:6} alone: {alone[:24] or '(an empty line)':26} after 16 examples: {shown}")

# %% [markdown]
# The word for this is **in-context learning**: the model does a task better because examples of it stand in its
# *context*, the text before the question. Those examples are called **demonstrations**, and using none at all is
# called **zero-shot**.

# %% [markdown]
# ## 3 · And nothing has moved
#
# When a network learns, its weights change: that is what training is. So which weights changed?

# %%
print("Is any bit of any weight different now?", "yes" if model.fingerprint() != before else "no")

# %% [markdown]
# Not one bit of 135 million numbers. Whatever has been learned lives in the *activations*, the numbers that flow
# through the network while it reads, and is gone with the text.
#
# That is the riddle. It looks like learning, it helps like learning, and it is one pass through a fixed function.

# %% [markdown]
# ## 4 · Five real sentences
#
# Now a task with real material: sentences that professional writers put on the web about films. Some come from a
# *review*, some tell the *plot*. The model is to say which, by one of those two words.

# %%
task = tasks.load("subj", shots=2, queries=5)
shown = [(demo.text, demo.label) for demo in task.demos]
print(icl.build_prompt(task.template, shown, task.queries[0].text))

# %% [markdown]
# The prompt ends where the answer should begin. We don't let the model write; we ask how probable it finds each of
# the two words there, after none, four, and thirty-two demonstrations. A dot at 1 means: surely a *review*; a filled
# dot means: on the right side of the middle.

# %%
predict(
    "dots",
    "How many of the five sentences end on their right side with 32 demonstrations?",
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
title = finding("dots", "Demonstrations turn two reviews round, and lose one plot sentence")
plots.answers(shares, [str(count) for count in counts], truths, positive="review", title=title)

# %%
reveal("dots", "four", "One of the two true plots, which is hardly a sentence, ends among the reviews.")

# %% [markdown] tags=["after-dots"]
# **What you should see.** Without demonstrations (circles) the model calls two of the three reviews a plot; after 32
# (triangles) all three reviews are on the right. But the 32 have pushed *every* dot to the right, true plots too, and
# the second sentence, which is hardly a sentence, ends on the wrong side. Keep both effects in mind: some of what a
# prompt does is about the *sentence*, and some of it is a taste for one of the *answers*. Notebook 04 takes them apart.

# %% [markdown] tags=["conclusion"]
# **What you may conclude.** Text in front of a question changed this model's answers.
#
# **What you may not.** That it changed them for the better, or for what the examples say. Five sentences are an anecdote. Notebook 04 takes a hundred, on several
# tasks, with intervals. Notebook 05 will ask whether the gain comes from the *examples* or from something cheaper, such
# as having seen the two words before.

# %% [markdown]
# ## 5 · The question
#
# In 2022 Damai Dai and colleagues gave a daring answer ([Why Can GPT Learn In-Context?](https://arxiv.org/abs/2212.10559)):
# attention over demonstrations has the same form as a step of **gradient descent**. The forward pass, they say,
# computes *meta-gradients* from the demonstrations and applies them, through attention, to the model itself. In-context
# learning would be finetuning in disguise.

# %% tags=["hide-input"]
shown = [(demo.text, demo.label) for demo in task.demos]
title = "Three ways to an answer. The question of this course: do the last two do the same inside?"
plots.prompt_against_finetuning(model.name, shown, task.queries[0].text, title)

# %% [markdown]
# The algebra behind that sentence is true, and you will derive it. But *linear attention can be written as a gradient
# step* is a statement about a form. Whether a trained GPT uses the form for that purpose must be measured, against
# controls that ought to destroy the effect. Critics did measure. So will you.

# %% [markdown]
# ## 6 · The route
#
# Seven notebooks, about 12 hours; the core path (exercises with a ★) takes about 6. The minutes of notebooks that
# don't exist yet are planned, not measured.
#
# | | notebook | the moment it exists for | minutes | core |
# |---|---|---|---|---|
# | 00 | **start here** | a GPT learns from a text, and no weight has changed | 20 | 20 |
# | 01 | [linear attention](01_linear_attention.ipynb) | three programs, one output | 120 | 60 |
# | 02 | [the dual form](02_dual_form.ipynb) | a trained layer attends to its training set | 100 | 60 |
# | 03 | [meta-gradients](03_meta_gradients.ipynb) | one attention layer that *is* a gradient step | 140 | 70 |
# | 04 | [in context against finetuned](04_icl_vs_finetuning.ipynb) | a real GPT, three ways | 90 | 70 |
# | 05 | controls | spot the GPT among four curves | 110 | 50 |
# | 06 | [momentum attention](06_momentum_attention.ipynb) | if attention is descent, give it momentum | 90 | 30 |

# %% [markdown]
# ## 7 · Notation
#
# The same letters everywhere, on the page and in the code. `helpers` keeps one token in a row.
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

# %% [markdown]
# ## 8 · Glossary
#
# - **Token**: the piece of text a model reads and writes; a word, a part of one, a line break.
# - **Log-probability**: the logarithm of a probability, in *nats*; 0 is certain, −0.7 is even odds, −7 is one in a thousand.
# - **Prompt**: the text before the answer. **Demonstrations**: solved examples in it. **Query**: the unsolved one.
# - **Zero-shot**, **in context**: without, and with, demonstrations in the prompt.
# - **Finetuning**: changing weights by gradient steps on examples. **Learning rate**: how far one step goes.
# - **Attention**: each token's weighted look at the tokens before it; the weights compare its *query* with their *keys*, and what is added up are their *values*.
# - **Linear attention**: the same without the softmax. Its **state** is all it keeps of what it read: a sum of **outer products**, $v \otimes k$,
#   the matrix of all products of an entry of $v$ with one of $k$. **Interference**: what other pairs add when one is read from it.
# - **Chunk**: a piece of the text that is taken all at once.
# - **Dual form**: a sum over training examples instead of a weight matrix; the same numbers, seen from the other side.
# - **Meta-gradient**: what plays the gradient's part when attention is read as a gradient step.
# - **Label bias**: a model's taste for one answer whatever the question. **Calibration**: taking it out.
# - **Momentum**: a step that also has a part of the steps before. **Recency bias**: a taste for what stands near.
# - **Stream**: the vector of a token that every layer adds to. **MLP**: what a layer does after attention, two matrix products with a nonlinearity between.
# - **95 % interval**: where the true value plausibly lies, given only a hundred queries. *Wilson's* is for one share of right answers, the *bootstrap* redraws the queries ten thousand times.
# - **SGD**, **Adam**: ways to take a gradient step; SGD follows the gradient as it is, Adam scales it weight by weight.

# %% [markdown]
# ## 9 · Ten questions, before
#
# Notebook 06 ends with the same ten. Write one line for each now, guesses too, and how sure you are (1 to 5).
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
# ## 10 · Clean up, and go on
#
# A model takes half a gigabyte of memory for as long as its notebook's kernel runs. *Kernel → Shut Down Kernel* gives it back.
#
# **Next:** [01 · linear attention](01_linear_attention.ipynb), the first page where you write code yourself.
