"""The exercises of notebook 03 that ask for reasoning: softmax to first order, a misleading loss, a test."""

from collections.abc import Iterator

import torch
from torch import Tensor

from helpers.check.claims import Claim, Mistakes, equals, holds, is_diagnosis, is_list, is_tensor
from helpers.check.engine import Attempt, exercise
from helpers.check.exercises.notebook_02 import draw


def update_to_first_order(k: Tensor, v: Tensor) -> Tensor:
    """ΔW of softmax attention to first order: Σ (v_i − v̄) ⊗ k_i / (n √d)."""
    return (v - v.mean(0)).T @ k / (len(k) * k.shape[1] ** 0.5)


def first_order_mistakes(k: Tensor, v: Tensor) -> Mistakes:
    n, d = k.shape
    dw = update_to_first_order(k, v)
    return {
        "Scores enter uncentred: of Σ (s_i − s̄) v_i the part − s̄ Σ v_i is lost.": lambda: v.T @ k / (n * d**0.5),
        "The 1/n of the weights is missing.": lambda: n * dw,
        "The scores are k·q divided by √d: the √d is missing.": lambda: d**0.5 * dw,
        "Divided by d: scores are divided by √d.": lambda: dw / d**0.5,
        "Divided by n − 1, as a covariance often is: the weights (1 + s_i − s̄)/n have an n.": lambda: n / (n - 1) * dw,
        "The mean runs over the tokens, dimension 0, not over a value's entries.": lambda: (
            (v - v.mean(1, keepdim=True)).T @ k / (n * d**0.5)
        ),
        "One mean for all entries: every entry of the values has its own, over the tokens.": lambda: (
            (v - v.mean()).T @ k / (n * d**0.5)
        ),
        "The sign: a score above the mean adds weight.": lambda: -dw,
        "This is only what is taken off, n v̄ ⊗ k̄: take it off Σ v_i ⊗ k_i.": lambda: (
            torch.outer(v.mean(0), k.mean(0)) / d**0.5
        ),
        "Added where it should be taken off: v_i − v̄, not v_i + v̄.": lambda: (v + v.mean(0)).T @ k / (n * d**0.5),
    }


@exercise(
    "3.D1",
    kind="derive",
    title="Softmax to first order, as an update",
    course=update_to_first_order,
    task="Fill in step 4: the matrix ΔW [m d] with which softmax attention is, to first order, v̄ + ΔW q.",
    equation="Σ_i v_i (1 + s_i − s̄)/n = v̄ + ΔW q, s_i = k_i·q / √d",
    minutes=10,
    difficulty=3,
    importance=5,
    core=False,
    hints=(
        "Step 3: what is Σ (s_i − s̄) times a vector that is the same for every i?",
        "It is 0. So you may subtract v̄ from every v_i, and then s̄ may go: Σ (v_i − v̄) is 0 as well.",
        "Put s_i = k_i·q/√d into what is left, (1/n) Σ s_i (v_i − v̄), and read off the matrix before q.",
    ),
    passed="To first order softmax writes values minus their mean: the errors of somebody who always says v̄.",
)
def first_order_update(attempt: Attempt) -> Iterator[Claim]:
    for seed, (n, d, m) in enumerate(((5, 3, 2), (4, 2, 3), (6, 4, 2)), start=7):
        k, v = draw((n, d), (n, m), seed=seed)
        k, v = k + 1, v + 2  # means that can't be overlooked
        out = attempt(k, v)
        yield is_tensor(out, m, d, shapes={(d, m): "It is transposed: a row for each entry of a value."})
        yield equals(out, update_to_first_order(k, v), f"ΔW of {n} random tokens", first_order_mistakes(k, v))


LINES = {
    "1": "Line 1 is (eq. 3.3), with W₀ for W_ZSL: exact for relaxed attention, which is what the argument speaks of.",
    "2": "Line 2 holds: the derivative of v · W k by W is v ⊗ k, so that minus the gradient of L is Σ v_i ⊗ k_i.",
    "3": "Line 3 holds: L is linear in W, and along minus its gradient a linear function falls, however long the step.",
    "5": "Line 5 holds: L is linear in W, so that its gradient is the same everywhere; a second reading adds ΔW again.",
}
REASONS = {
    "A": "L is linear in W: it has no valley that a long step could miss. A step of any rate lowers it.",
    "C": "A gradient depends on W where the loss is curved in W; L is linear, and Σ v_i ⊗ k_i holds no W.",
    "D": "Each line speaks of relaxed attention. A GPT's softmax limits what the argument is worth: it breaks no line.",
}


def loses_its_way() -> tuple[int, str]:
    """The line and the reason."""
    return 4, "B"


@exercise(
    "3.D2",
    kind="diagnose",
    title="What a lower loss means",
    course=loses_its_way,
    task='Return the number of the one wrong line of these five and the letter of the reason, such as `return 1, "A"`.',
    equation="L(W) = − Σ_i v_i · W k_i",
    minutes=6,
    difficulty=3,
    importance=5,
    core=True,
    hints=(
        "Try the smallest case: one demonstration, numbers for matrices, k = 1, v = 1. What is L at W = 0, 1, 2, 3?",
        "At which W does the key get its value, W k = v? Compare L there with L one step further.",
        "Lines 1, 2, 3 and 5 speak of L and its gradient. One line speaks of something that L doesn't measure.",
    ),
    passed="L falls without end as W k_i grows along v_i: it is lower at twice the value than at the value itself.",
)
def lower_loss(attempt: Attempt) -> Iterator[Claim]:
    yield from is_diagnosis(attempt(), loses_its_way(), LINES, REASONS)


def words_that_tell(answers: dict[str, str], shown: list[str], patched: str) -> list[str]:
    """The words that were neither shown nor patched, and whose answer isn't the patched word's."""
    return [word for word in answers if word not in shown and answers[word] != answers[patched]]


VERBS = {"go": "went", "see": "saw", "walk": "walked", "hope": "hoped", "take": "took", "sing": "sang"}
OPPOSITES = {"large": "small", "big": "small", "hot": "cold", "wide": "narrow", "tiny": "large", "thin": "thick"}
CAPITALS = {"France": "Paris", "Peru": "Lima", "Norway": "Oslo", "Kenya": "Nairobi"}
SPLITS = (
    (VERBS, ["hope", "walk"], "go"),
    (OPPOSITES, ["hot", "thin"], "big"),
    (CAPITALS, ["Peru", "Kenya"], "Kenya"),
)


@exercise(
    "3.D3",
    kind="design",
    title="A test that a lookup fails and a rule passes",
    course=words_that_tell,
    task="Return the list of all words on which the two explanations must answer differently.",
    equation="lookup: a shown word's own answer, else the patched word's; rule: every word's own answer",
    minutes=6,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "Write down what the lookup says to each kind of word: the patched one, those of the prompt, all others.",
        "A word tells the two apart only where the lookup is wrong. Three kinds of words drop out.",
        "The third kind: a new word whose right answer happens to be the patched word's (big → small, large → small).",
    ),
    passed="Here the lookup gets nothing, the rule everything: what a patch scores on these words says which it holds.",
)
def transfer_words(attempt: Attempt) -> Iterator[Claim]:
    for answers, shown, patched in SPLITS:
        words = attempt(answers, shown, patched)
        yield is_list(words, answers, "the keys of `answers`")
        yield holds(bool(words), "there is something to test", "The test is empty: on no words both explanations pass.")
        once = "A word stands in the test twice: it would count double."
        yield holds(len(set(words)) == len(words), "every word once", once)
        lookup = {word: answers[word] if word in shown else answers[patched] for word in answers}
        passes = [word for word in words if lookup[word] == answers[word]]
        says = f"the lookup gets no word right, patched: “{patched}”"
        yield holds(not passes, says, why_it_passes(passes, shown, patched), counts=True)
        lost = [word for word in answers if lookup[word] != answers[word] and word not in words]
        left = (
            f"“{''.join(lost[:1])}” is left out: the lookup fails on it and the rule doesn't, so it is worth testing."
        )
        yield holds(not lost, f"every word that tells is tested, patched: “{patched}”", left, counts=True)


def why_it_passes(words: list[str], shown: list[str], patched: str) -> str:
    """Why the lookup is right on these."""
    if patched in words:
        return f"“{patched}” itself is tested: the patch was made for it, and both explanations answer it."
    if set(words) & set(shown):
        return "Words of the prompt are tested: a lookup of the prompt answers them, too."
    return f"The lookup is right on “{''.join(words[:1])}” by luck: its answer is the patched word's."
