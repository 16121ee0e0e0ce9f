"""The exercises of notebook 02 that ask for reasoning: the hat matrix, a flaw in an analysis, labels as a control."""

from collections.abc import Iterator

import torch
from torch import Tensor

from helpers.check import seeds
from helpers.check.claims import Claim, Mistakes, equals, holds, is_diagnosis, is_pair, is_tensor
from helpers.check.engine import Attempt, exercise
from helpers.check.exercises.notebook_02 import draw


def hat(inputs: Tensor, lr: float, steps: int) -> Tensor:
    """H = I − (I − lr X Xᵀ)^T: predictions on the training inputs after full-batch steps from W₀ = 0 are H y."""
    one = torch.eye(len(inputs), dtype=inputs.dtype)
    return one - torch.linalg.matrix_power(one - lr * inputs @ inputs.T, steps)


def hat_mistakes(inputs: Tensor, lr: float, steps: int) -> Mistakes:
    one, table = torch.eye(len(inputs), dtype=inputs.dtype), inputs @ inputs.T
    return {
        "This is what is left of the targets: the predictions are the targets without it.": lambda: (
            one - hat(inputs, lr, steps)
        ),
        "The power is missing: this is H after one step.": lambda: lr * table,
        "This takes the errors at W₀ in every step: each step begins with what the last one left.": lambda: (
            steps * lr * table
        ),
        "The identity in the bracket is missing: a step leaves I − lr K of a residual.": lambda: (
            one - torch.linalg.matrix_power(lr * table, steps)
        ),
        "The sign: the residual is y minus the prediction, so that a step leaves I − lr K of it.": lambda: (
            one - torch.linalg.matrix_power(one + lr * table, steps)
        ),
        "The learning rate is missing: a step leaves I − lr K of a residual.": lambda: hat(inputs, 1.0, steps),
        "Divided by the number of examples: the loss is a sum, not a mean.": lambda: hat(
            inputs, lr / len(inputs), steps
        ),
        "One step fewer: before the first step all of y is left, after the first I − lr K of it.": lambda: hat(
            inputs, lr, steps - 1
        ),
        "One step more: after T steps the residual was multiplied T times.": lambda: hat(inputs, lr, steps + 1),
        "`**` raises every entry by itself: `torch.linalg.matrix_power` multiplies matrices.": lambda: (
            one - (one - lr * table) ** steps
        ),
        "This is the limit of endless steps: after T steps a part of every residual is left.": lambda: (
            table @ torch.linalg.pinv(table)
        ),
        "This is descent in continuous time, e^(−lr T K): these steps are whole ones.": lambda: (
            one - torch.linalg.matrix_exp(-lr * steps * table)
        ),
    }


@exercise(
    "2.D1",
    kind="derive",
    title="What is left after T steps?",
    course=hat,
    task="Return the hat matrix H [n n]: from W₀ = 0, after `steps` full-batch steps the layer says H y to its inputs.",
    equation="p_T = H y, where p_t = p_{t−1} + lr K (y − p_{t−1}), p_0 = 0, K = X Xᵀ",
    minutes=12,
    difficulty=3,
    importance=5,
    core=False,
    hints=(
        "Look at the residuals r_t = y − p_t, not at the predictions: what does one step do to them?",
        "Put p_t into r_t = y − p_t: the same matrix multiplies the residual at every step. Predictions are what it "
        "has taken away from y.",
        "r_T is y, multiplied T times by I − lr K (`torch.linalg.matrix_power`), and p_T = y − r_T.",
    ),
    passed="Every step multiplies the residuals by I − lr K: each example's residual depends on all other examples.",
)
def hat_matrix(attempt: Attempt) -> Iterator[Claim]:
    cases = ((5, 3, 3, 0.1), (4, 2, 2, 0.2), (1, 2, 4, 0.3), (5, 2, 1, 0.1))
    for seed, (n, d, steps, lr) in enumerate(cases):
        (inputs,) = draw((n, d), seed=seed)
        out = attempt(inputs, lr, steps)
        shapes = {
            (d, d): "This compares entries of x, Xᵀ X: H has a row and a column for every example, K = X Xᵀ.",
            (n, d): "H acts on the targets of n examples: it is [n n].",
        }
        yield is_tensor(out, n, n, name="H", shapes=shapes)
        says = f"H of {n} example{'s' * (n > 1)} after {steps} step{'s' * (steps > 1)}, lr = {lr}"
        yield equals(out, hat(inputs, lr, steps), says, hat_mistakes(inputs, lr, steps))


LINES = {
    "1": "Line 1 is training as in section 4: what the layer says to x is to be explained, and nothing is assumed.",
    "2": "Line 2 is (eq. 2.5): with W₀'s part the shares sum to the answer, to rounding.",
    "3": "Line 3 only sorts. Whether the ten are the right ones to take away is not what goes wrong here.",
    "5": "Line 5 holds for the matrix that it is given: (eq. 2.3) makes both numbers equal, whatever the errors are.",
    "6": "Line 6 only puts into words what was computed. Were all before it right, it would follow. Look further up.",
}
REASONS = {
    "A": "W₀'s part is in line 2's sum. It is the same with and without the ten, so that it drops out of a difference.",
    "C": "A large negative share lowers the answer. The question is what raised it, so the sign has to count.",
    "D": "It can't fail, true, so it tests the typing alone. Line 5 says no more of it, and no number is wrong by it.",
    "E": "That guesses how large the effect is. The flaw is in how it is computed, whatever its size.",
}


def the_flaw() -> tuple[int, str]:
    return 4, "B"


@exercise(
    "2.D2",
    kind="diagnose",
    title="What is wrong with this analysis?",
    course=the_flaw,
    task="Return the number of the first line of this analysis that is wrong, and the letter of the reason.",
    equation="(line number, letter of the reason)",
    minutes=6,
    difficulty=3,
    importance=5,
    core=True,
    hints=(
        "Go line by line: which objects were made by training on all examples, and which ought not to have been?",
        "One line says of a matrix what it is. Would the loop of exercise 2.4, run on the others alone, return it?",
        "In that loop, an error after the first step contains the current weights, and these contain every example.",
    ),
    passed="The other examples' errors were made while the ten were there; without them they would be different.",
)
def flaw_of_the_influence(attempt: Attempt) -> Iterator[Claim]:
    yield from is_diagnosis(attempt(), the_flaw(), LINES, REASONS)


COUNTS = (100, 100, 100), (150, 90, 60)  # examples of each label
LABELS, WIDTH, TRIES = 3, 40, 4
NEAR = 0.12  # how far from chance a learner's accuracy, the mean over all tries, may be


def samples(means: Tensor, counts: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Inputs [n d] around the mean of their label, in the order of the labels, as data often are stored; labels [n]."""
    labels = torch.repeat_interleave(torch.arange(LABELS), torch.tensor(counts))
    (noise,) = draw((len(labels), means.shape[1]), seed=seed)
    return means[labels] + noise, labels


def read(inputs: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    """The labels that a linear layer, fitted to the inputs by least squares, gives to others."""
    targets = torch.eye(LABELS, dtype=inputs.dtype)[labels]
    return (test @ torch.linalg.lstsq(inputs, targets).solution).argmax(1)


def own_labels(inputs: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
    """For each of the inputs `kept`, in whatever order they are, the label that it had."""
    own = torch.empty_like(labels)
    own[kept[:, 0].argsort()] = labels[inputs[:, 0].argsort()]
    return own


def what_links(own: Tensor, dealt: Tensor, moved: bool, accuracy: float) -> str:
    """Why a learner that reads the inputs is not at chance."""
    table = torch.zeros(LABELS, LABELS).index_put((own, dealt), torch.ones(len(own)), accumulate=True)
    same, chance = table.trace() / len(own), (table.sum(1) * table.sum(0)).sum() / len(own) ** 2
    told = f"A learner that reads them gets {accuracy:.0%} of new ones right, by chance 33%."
    if same == 1 and moved:
        return f"Inputs and labels have moved together: each input still has its own label. {told}"
    if same == 1:
        return f"Each input still has its own label: nothing has changed, or only within a label. {told}"
    if ((table > 0).sum(1) == 1).all():
        return f"This is a consistent renaming: the links are whole, and the new names can be learned. {told}"
    if same == 0:
        return f"No input has its own label: the learner finds out what an input is *not*, a link as well. {told}"
    still = f"{same:.0%} of the inputs have their own label, by chance {chance:.0%}"
    return f"The links are weakened, not broken: {still}. {told}"


def is_labelled(labels: object, n: int) -> Claim:
    """Labels as they came: whole numbers [n]."""
    form = isinstance(labels, Tensor) and labels.dtype == torch.int64 and tuple(labels.shape) == (n,)
    return holds(form, f"the labels are {n} whole numbers", f"The labels must be an int64 tensor of shape [{n}].")


def shuffle(inputs: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The same inputs, and the same labels dealt out anew among them."""
    order = torch.randperm(len(labels), generator=seeds.generator(seed))
    return inputs, labels[order]


@exercise(
    "2.D3",
    kind="design",
    title="Nothing to learn but the frequencies",
    course=shuffle,
    task="Return a training set (inputs, labels) with the same inputs, each label as often, and no link between them.",
    equation="(inputs [n d], labels [n] int64, seed) → (inputs [n d], labels [n]), the same again for the same seed",
    minutes=10,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "Two learners will look at your set: one counts labels, one reads inputs. What must each of them find?",
        "The one that counts must see no difference: no label may be drawn anew. The other must find nothing: an input "
        "may keep its label by chance, but not more or less often than that.",
        "`torch.randperm(n, generator=…)` is a random order of n places. Apply it to one of the two, not to both.",
    ),
    passed="Frequencies are kept, links are gone: what a learner gets right beyond chance now was not in the labels.",
)
def shuffled(attempt: Attempt) -> Iterator[Claim]:
    few = samples(*draw((LABELS, 3), seed=30), (4,) * LABELS, 31)
    yield from keeps(*few, attempt(*few, 0), counts=False)
    for place, counts in enumerate(COUNTS):
        (means,) = draw((LABELS, WIDTH), seed=10 * place)
        inputs, labels = samples(means, counts, 10 * place + 1)
        found = []
        for seed in range(TRIES):
            found.append(attempt(inputs, labels, seed))
            yield from keeps(inputs, labels, found[-1], counts=seed == 0)
        yield at_chance(inputs, labels, found, *samples(means, (100,) * LABELS, 10 * place + 2))
        fixed = "Another seed gives the same set again: let the seed decide the order, or one shuffle is all there is."
        same = all(a.equal(b) for a, b in zip(*found[:2], strict=True))
        yield holds(not same, "another seed shuffles otherwise", fixed)


def keeps(inputs: Tensor, labels: Tensor, found: object, counts: bool) -> Iterator[Claim]:
    """What the control must not touch: the inputs themselves, and how often each label occurs."""
    yield is_pair(found, "inputs", "labels")
    kept, dealt = found
    yield is_tensor(kept, *inputs.shape, name="`inputs`")
    yield is_labelled(dealt, len(labels))
    before, after = (x[x[:, 0].argsort()] for x in (inputs, kept))
    changed = "It changes the inputs themselves: a learner that now fails may fail for that reason. Keep every input."
    yield holds(after.equal(before), "the inputs are those that were there", changed, counts=counts)
    was, now = (x.clamp(0, LABELS).bincount(minlength=LABELS).tolist() for x in (labels, dealt))
    drawn = (
        f"The labels' frequencies have changed: deal out those that are there. They occurred {was}, now {now} times."
    )
    yield holds(now == was, "a learner that only counts labels sees no difference", drawn, counts=counts)


def at_chance(inputs: Tensor, labels: Tensor, found: list[tuple], test: Tensor, gold: Tensor) -> Claim:
    """A learner that reads inputs gets no more, and no fewer, of new ones right than by chance: mean over the seeds."""
    right = torch.stack([read(*result, test) == gold for result in found])
    accuracy, (kept, dealt) = right.double().mean().item(), found[0]
    links = what_links(own_labels(inputs, labels, kept), dealt, not kept.equal(inputs), accuracy)
    says = f"a learner that reads inputs is at chance, 33%, over {len(found)} seeds"
    return holds(abs(accuracy - 1 / LABELS) < NEAR, says, links, counts=True)
