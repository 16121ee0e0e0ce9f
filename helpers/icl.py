"""One run, three ways to predict: zero-shot, in context, finetuned, under the same template and the same scoring.

Scores are mean log-probabilities a token of each label, as in the code of Dai et al. (2022).
Finetuning obeys the paper's three restrictions: the training examples are the demonstrations; each is trained on for
one step, in the order of the prompt; the same template, and the causal language-modelling loss. Only key and value
projections move, unless one asks for all weights.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from helpers import gpt, metrics
from helpers.gpt import GPT, OPTIMIZERS
from helpers.gpt.identity import identity
from helpers.gpt.value_update import ValueUpdate, compute
from helpers.support import cache
from helpers.support.provenance import code_hash
from helpers.tasks import Example, Task, Template

POSITIONS = ("answer", "first_label")  # the token that predicts the answer; the paper's code looks at the first label's


@dataclass(frozen=True)
class Internals:
    """What attention did at one token of every query, in every layer. Demonstration tokens: no BOS, no separators."""

    outputs: Float[Tensor, "n layers d"]  # after W_O, before the residual
    queries: Float[Tensor, "n layers heads d_head"]  # before rotary positions
    demo_scores: Float[Tensor, "n layers heads demo_tokens"]  # before softmax, scaled; none without demonstrations
    query_scores: Float[Tensor, "n layers heads query_tokens"]  # the same over the query's own tokens, padded with 0
    training_queries: Float[Tensor, "training_tokens layers heads d_head"] | None = None  # as each was trained on

    def training_attention(self) -> Float[Tensor, "n layers training_tokens"]:
        """The paper's stand-in for attention to the training tokens: q·q, summed over heads.

        Before rotary positions: those restart with every training example and say nothing of the prompt's order.
        """
        if self.training_queries is None:
            raise ValueError("Only finetuning has training queries: use icl.finetuned(…, internals=True).internals.")
        queries, trained = self.queries.flatten(2), self.training_queries.flatten(2)
        return torch.stack([queries[:, i] @ trained[:, i].T for i in range(queries.shape[1])], 1)


@dataclass(frozen=True)
class Predictions:
    """What one way of predicting made of every query."""

    scores: Float[Tensor, "n labels"]  # mean log-probability a token; free answers: one column, the best right one
    right: Bool[Tensor, " n"]
    gold: Int[Tensor, " n"]  # the column of the right label
    internals: Internals | None = None  # where asked for

    @property
    def accuracy(self) -> float:
        return self.right.float().mean().item()

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy over the queries (Wilson)."""
        return metrics.accuracy_interval(self.right.numpy())

    @property
    def loss(self) -> float:
        """Mean over the queries of −log p of the right answer, a token."""
        return -self.scores.gather(1, self.gold[:, None]).mean().item()

    def calibrated(self) -> "Predictions":
        """The same with label bias removed; free answers have no labels to be biased between and stay as they are."""
        if self.scores.shape[1] == 1:
            return self
        if len(self.scores) == 1:
            raise ValueError("One query can't be calibrated: every label's mean is its own score. Take two or more.")
        scores = calibrate(self.scores)
        return replace(self, scores=scores, right=scores.argmax(1) == self.gold)


def calibrate(scores: Float[Tensor, "n labels"]) -> Float[Tensor, "n labels"]:
    """(eq. 4.2): take from each label its mean score over all queries (batch calibration, Zhou et al. 2309.17249)."""
    return scores - scores.mean(0)


def build_prompt(template: Template, demos: Sequence[tuple[str, str]], text: str) -> str:
    """Demonstrations `(text, label)` and an unanswered query as one string; the last space belongs to the label."""
    shown = [template.pattern.format(text=demo, label=label) + template.separator for demo, label in demos]
    return "".join([*shown, _query(template, text)[0]])


def _query(template: Template, text: str) -> tuple[str, str]:
    """The pattern cut before its label, and the space that then belongs to the label."""
    cut = template.pattern.partition("{label}")[0].format(text=text)
    return cut.rstrip(" "), cut[len(cut.rstrip(" ")) :]


def encode(model: GPT, task: Task) -> tuple[list[int], list[list[int]], list[list[list[int]]]]:
    """Token ids of what all queries share, of every query, and of its answers with the space before them."""
    if not task.queries:
        raise ValueError(f"Task {task.name!r} has no queries: nothing to predict.")
    asked, spaces = zip(*[_query(task.template, query.text) for query in task.queries], strict=True)
    pairs = zip(task.queries, spaces, strict=True)
    answers = [[space + answer for answer in task.labels or query.answers] for query, space in pairs]
    return gpt.encode_prompts(model, "".join(_shown(task)), list(asked), answers)


def _shown(task: Task) -> list[str]:
    """Every demonstration, and the separator behind it."""
    pattern, separator = task.template.pattern, task.template.separator
    return [piece for demo in task.demos for piece in (pattern.format(text=demo.text, label=demo.label), separator)]


def prefix_ids(model: GPT, task: Task) -> list[int]:
    """One BOS, then every demonstration with its separator."""
    return encode(model, task)[0]


def query_ids(model: GPT, task: Task, query: Example) -> list[int]:
    """Token ids of an unanswered query alone."""
    return encode(model, replace(task, queries=(query,)))[1][0]


def answer_ids(model: GPT, task: Task, query: Example) -> list[list[int]]:
    """Token ids of every label, or of every right answer where answers are free; the space before is part of them."""
    return encode(model, replace(task, queries=(query,)))[2][0]


def prompt_ids(model: GPT, task: Task, query: Example, demos: bool = True) -> list[int]:
    """The exact token ids of one prompt, with or without the demonstrations."""
    prefix, [own], _ = encode(model, replace(task, queries=(query,), demos=task.demos if demos else ()))
    return prefix + own


def demo_ids(model: GPT, task: Task) -> list[list[int]]:
    """Token ids of every demonstration, without separators."""
    return _shown_ids(model, task)[::2]


def demo_places(model: GPT, task: Task) -> list[int]:
    """Where the demonstrations' own tokens stand in a prompt: neither BOS nor separators."""
    lengths = [len(ids) for ids in _shown_ids(model, task)]
    starts = list(accumulate(lengths, initial=len(model.bos)))
    return [place for i in range(0, len(lengths), 2) for place in range(starts[i], starts[i + 1])]


def _shown_ids(model: GPT, task: Task) -> list[list[int]]:
    return gpt.encode_pieces(model, [[*_shown(task), _query(task.template, task.queries[0].text)[0]]])[0][:-1]


def zero_shot(
    model: GPT, task: Task, *, internals: bool = False, at: str = "answer", bos: bool = True, slow: bool = False
) -> Predictions:
    """Predict every query without demonstrations.

    `internals` also keeps what attention did at the token that predicts the answer (`at="answer"`) or at the first
    label's last token, where the paper's code looks (`at="first_label"`). `bos=False`: no sequence starts with a BOS.
    `slow=True`: every answer in a pass of its own, the same to rounding, for families that can't be packed (README).
    """
    return _predict(*_asked(model, internals, at, bos, slow), replace(task, demos=()), "zero-shot")


def in_context(
    model: GPT, task: Task, *, internals: bool = False, at: str = "answer", bos: bool = True, slow: bool = False
) -> Predictions:
    """Predict every query after the demonstrations; options as for `zero_shot`."""
    return _predict(*_asked(model, internals, at, bos, slow), task, "in context")


def finetuned(
    model: GPT,
    task: Task,
    lr: float,
    *,
    internals: bool = False,
    at: str = "answer",
    bos: bool = True,
    slow: bool = False,
) -> Predictions:
    """Predict every query without demonstrations, after one SGD step on each demonstration: the paper's finetuning.

    Options as for `zero_shot`; the internals then also hold the queries of the tokens trained on.
    """
    if internals and not task.demos:
        raise ValueError(f"Task {task.name!r} has no demonstrations: no training to look into.")
    model, where = _asked(model, internals, at, bos, slow)
    return _learn(model, task, lr, (1,), "sgd", False, where)[0]


def _asked(model: GPT, internals: bool, at: str, bos: bool, slow: bool) -> tuple[GPT, str | None]:
    """The model as it is to be read, and where to look into it."""
    if at not in POSITIONS:
        raise ValueError(f"at={at!r}: attention can be looked at at {' or '.join(map(repr, POSITIONS))}.")
    if internals and (slow or model.slow):
        raise ValueError("slow=True only scores, by whole passes.\nAsk for internals=True or slow=True, not both.")
    return replace(model, starts=model.starts and bos, slow=slow or model.slow), at if internals else None


def learning_curve(
    model: GPT, task: Task, lr: float, epochs: tuple[int, ...], optimizer: str = "sgd", all_weights: bool = False
) -> list[Predictions]:
    """Predictions without demonstrations after each of the given numbers of passes over them, in increasing order.

    The model is given back bitwise as it was, whatever happens. Raises ValueError for a rate that isn't positive.
    """
    return _learn(model, task, lr, epochs, optimizer, all_weights, None)


def _learn(
    model: GPT, task: Task, lr: float, epochs: tuple[int, ...], optimizer: str, all_weights: bool, at: str | None
) -> list[Predictions]:
    _check_training(lr, epochs, optimizer)
    key = _key(model, task, "finetuned", lr, epochs, optimizer, all_weights, at, model.slow)
    kept = cache.remember(lambda: _train(model, task, lr, epochs, optimizer, all_weights, at), key)
    return [_unfold(kept, f"{epoch} ") for epoch in epochs]


def _check_training(lr: float, epochs: tuple[int, ...], optimizer: str) -> None:
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr={lr}: a learning rate is a positive number.")
    if not epochs or list(epochs) != sorted(set(epochs)) or epochs[0] < 0:
        raise ValueError(f"epochs={epochs}: numbers of passes in increasing order, such as (0, 1, 4).")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer={optimizer!r}: there are {', '.join(OPTIMIZERS)}.")


def _train(
    model: GPT, task: Task, lr: float, epochs: tuple[int, ...], optimizer: str, all_weights: bool, at: str | None
) -> dict[str, Tensor]:
    """Train on the demonstrations, one step each and in their order, pass after pass; predict where `epochs` says."""
    weights = dict(model.network.named_parameters()) if all_weights else gpt.key_and_value_weights(model.network)
    kept, bare, demos = {}, replace(task, demos=()), demo_ids(model, task)
    encode(model, bare)  # what can't be read is said before any training
    queries = torch.zeros(sum(map(len, demos)) if at else 0, *model.attention_shape)
    with gpt.trainable(model.network, weights):
        step = gpt.stepper(list(weights.values()), optimizer, lr)
        for epoch in range(max(epochs) + 1):
            places = queries.split([len(demo) if at else 0 for demo in demos])
            for demo, place in zip(demos, places, strict=True) if epoch else ():
                with gpt.watch_training(model, place) if at else nullcontext():
                    loss = gpt.language_model_loss(model, demo)
                step(loss)
            if epoch in epochs:
                found = _fold(_evaluate(model, bare, at)) | ({"training_queries": queries} if at else {})
                kept |= {f"{epoch} {name}": tensor for name, tensor in found.items()}
    return kept


def value_update(model: GPT, task: Task, lr: float) -> ValueUpdate:
    """(eq. 4.7): finetune as `finetuned` does, keep what reaches every value projection; a plain pass for every query.

    Raises ValueError for a model in half precision (no equality would hold), or one without value projections.
    """
    if model.dtype.itemsize < 4 or not task.demos:
        raise ValueError(f"The update of {model.name} needs float32 weights and demonstrations to be trained on.")
    _check_training(lr, (1,), "sgd")
    bos, queries, _ = encode(model, replace(task, demos=()))
    demos, prompts = demo_ids(model, task), [bos + query for query in queries]
    kept = cache.remember(lambda: compute(model, demos, prompts, lr), _key(model, task, "value update", lr))
    return ValueUpdate(**kept)


def _predict(model: GPT, at: str | None, task: Task, way: str) -> Predictions:
    return _unfold(cache.remember(lambda: _fold(_evaluate(model, task, at)), _key(model, task, way, at, model.slow)))


def _fold(predictions: Predictions) -> dict[str, Tensor]:
    """Predictions and their internals as one flat dict of tensors, to be kept."""
    inside = vars(predictions.internals) if predictions.internals else {}
    return {name: t for name, t in {**vars(predictions), **inside}.items() if isinstance(t, Tensor)}


def _unfold(kept: dict[str, Tensor], prefix: str = "") -> Predictions:
    """Predictions from the tensors whose names start so."""
    own = {name.removeprefix(prefix): tensor for name, tensor in kept.items() if name.startswith(prefix)}
    inside = {name: own.pop(name) for name in Internals.__dataclass_fields__ if name in own}
    return Predictions(**own, internals=Internals(**inside) if inside else None)


def _evaluate(model: GPT, task: Task, at: str | None = None) -> Predictions:
    """Score all answers of all queries after the task's demonstrations, if it has any; look inside where `at` says."""
    prefix, prompts, answers = encode(model, task)
    internals, look = _observe(model, task, prompts, answers, at) if at else (None, None)
    follow = not task.labels or at == "first_label"
    scored = gpt.score(model, prefix, prompts, answers, follow, look)
    scores = [torch.stack([continuation.logprobs.mean() for continuation in options]) for options in scored]
    if not torch.cat(scores).isfinite().all():
        raise ValueError(
            f"{model.name} scores an answer of {task.name!r} as nan or infinite: try a smaller learning rate."
        )
    if not task.labels:
        right = torch.tensor([any(c.greedy and _ends_word(model, c.following) for c in options) for options in scored])
        return Predictions(
            torch.stack([s.max()[None] for s in scores]), right, torch.zeros_like(right).long(), internals
        )
    gold = torch.tensor([task.labels.index(query.label) for query in task.queries])
    return Predictions(torch.stack(scores), torch.stack(scores).argmax(1) == gold, gold, internals)


def _observe(
    model: GPT, task: Task, prompts: list[list[int]], answers: list[list[list[int]]], at: str
) -> tuple[Internals, gpt.Look]:
    """Internals to be filled, and what fills them while packed rows pass."""
    layers, heads, width = model.attention_shape
    n, demos = len(prompts), torch.tensor(demo_places(model, task), dtype=torch.long)
    longest = max(len(p) + (len(a[0]) if at == "first_label" else 0) for p, a in zip(prompts, answers, strict=True))
    internals = Internals(
        torch.zeros(n, layers, model.network.config.hidden_size),
        torch.zeros(n, layers, heads, width),
        torch.zeros(n, layers, heads, len(demos)),
        torch.zeros(n, layers, heads, longest),
    )

    def look(row: gpt.Packed, here: slice) -> AbstractContextManager:
        places = [options[0][0 if at == "answer" else -1] for options in row.reads]
        prefix = row.sees.shape[1] - row.sees.shape[0]
        own = [prefix + row.sees[place, prefix:].nonzero()[:, 0] for place in places]
        own = nn.utils.rnn.pad_sequence(own, batch_first=True, padding_value=-1)
        each = torch.arange(len(places))[:, None]

        def keep(layer: int, attended: gpt.Attended) -> None:
            internals.outputs[here, layer] = attended.outputs.cpu()
            internals.queries[here, layer] = attended.queries.cpu()
            scores = attended.scores.cpu()
            internals.demo_scores[here, layer] = scores[..., demos].transpose(0, 1)
            internals.query_scores[here, layer, :, : own.shape[1]] = (scores[:, each, own] * (own >= 0)).transpose(0, 1)

        return gpt.watch(model, places, keep)

    return internals, look


def _ends_word(model: GPT, token: int) -> bool:
    """The word before this token is complete: the token doesn't go on with a letter or digit."""
    return not model.tokenizer.decode([token])[:1].isalnum()


def _key(model: GPT, task: Task, *how: object) -> tuple | None:
    """Everything a prediction depends on; None where the model can't be known again, or nothing is kept."""
    known = None if cache.is_bypassed() else identity(model)
    return known and (*how, task, known, code_hash("icl", "gpt"))
