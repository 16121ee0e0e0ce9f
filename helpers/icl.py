"""One run, three ways to predict: zero-shot, in context, finetuned, under the same template and the same scoring.

Scores are mean log-probabilities a token of each label, as in the code of Dai et al. (2022).
Finetuning obeys the paper's three restrictions: the training examples are the demonstrations; each is trained on for
one step, in the order of the prompt; the same template, and the causal language-modelling loss. Only key and value
projections move.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import transformers
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from helpers import cache, gpt, metrics
from helpers.gpt import GPT
from helpers.tasks import Example, Task, Template

CODE = cache.digest(*(Path(file).read_text(encoding="utf-8") for file in (gpt.__file__, __file__)))  # as imported
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


@dataclass(frozen=True)
class Predictions:
    """What one way of predicting made of every query."""

    scores: Float[Tensor, "n labels"]  # mean log-probability a token; free answers: one column, the best right one
    right: Bool[Tensor, " n"]
    gold: Int[Tensor, " n"]  # the column of the right label

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
        scores = calibrate(self.scores)
        return replace(self, scores=scores, right=scores.argmax(1) == self.gold)


def calibrate(scores: Float[Tensor, "n labels"]) -> Float[Tensor, "n labels"]:
    """Remove from each label its mean score over the unlabelled queries (batch calibration, Zhou et al. 2309.17249)."""
    return scores - scores.mean(0)


def build_prompt(template: Template, demos: Sequence[tuple[str, str]], text: str) -> str:
    """Demonstrations `(text, label)` and an unanswered query as one string; the last space belongs to the label."""
    shown = [template.pattern.format(text=demo, label=label) + template.separator for demo, label in demos]
    return "".join([*shown, _query(template, text)[0]])


def _query(template: Template, text: str) -> tuple[str, str]:
    """The pattern cut before its label, and the space that then belongs to the label."""
    cut = template.pattern.partition("{label}")[0].format(text=text)
    return cut.rstrip(" "), cut[len(cut.rstrip(" ")) :]


def demo_ids(model: GPT, task: Task) -> list[list[int]]:
    """Token ids of every demonstration, without separators."""
    return [model.encode(task.template.pattern.format(text=demo.text, label=demo.label)) for demo in task.demos]


def prefix_ids(model: GPT, task: Task) -> list[int]:
    """One BOS, then every demonstration with its separator."""
    separator = model.encode(task.template.separator)
    return model.bos + [token for demo in demo_ids(model, task) for token in demo + separator]


def prompt_ids(model: GPT, task: Task, query: Example, demos: bool = True) -> list[int]:
    """The exact token ids of one prompt, with or without the demonstrations."""
    return (prefix_ids(model, task) if demos else model.bos) + model.encode(_query(task.template, query.text)[0])


def answer_ids(model: GPT, task: Task, query: Example) -> list[list[int]]:
    """Token ids of every label, or of every right answer where answers are free; the space before is part of them."""
    space = _query(task.template, query.text)[1]
    return [model.encode(space + answer) for answer in task.labels or query.answers]


def zero_shot(model: GPT, task: Task) -> Predictions:
    """Predict every query without demonstrations."""
    return _predict(model, replace(task, demos=()), "zero-shot")


def in_context(model: GPT, task: Task) -> Predictions:
    """Predict every query after the demonstrations."""
    return _predict(model, task, "in context")


def finetuned(model: GPT, task: Task, lr: float) -> Predictions:
    """Predict every query without demonstrations, after one SGD step on each: the paper's finetuning."""
    return learning_curve(model, task, lr, epochs=(1,))[0]


def learning_curve(
    model: GPT, task: Task, lr: float, epochs: tuple[int, ...], optimizer: str = "sgd", all_weights: bool = False
) -> list[Predictions]:
    """Predictions without demonstrations after each of the given numbers of passes over them, in increasing order.

    The model is given back bitwise as it was, whatever happens. Raises ValueError for a rate that isn't positive.
    """
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr={lr}: a learning rate is a positive number.")
    if not epochs or list(epochs) != sorted(set(epochs)) or epochs[0] < 0:
        raise ValueError(f"epochs={epochs}: numbers of passes in increasing order, such as (0, 1, 4).")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer={optimizer!r}: there are {', '.join(OPTIMIZERS)}.")
    _check_lengths(model, replace(task, demos=()))
    key = _key(model, task, "finetuned", lr, epochs, optimizer, all_weights)
    kept = cache.remember(lambda: _train(model, task, lr, epochs, optimizer, all_weights), key)
    return [Predictions(**{name: tensor[i] for name, tensor in kept.items()}) for i in range(len(epochs))]


def _train(
    model: GPT, task: Task, lr: float, epochs: tuple[int, ...], optimizer: str, all_weights: bool
) -> dict[str, Tensor]:
    """Train on the demonstrations, one step each and in their order, pass after pass; predict where `epochs` says."""
    weights = dict(model.network.named_parameters()) if all_weights else key_and_value_weights(model.network)
    kept, bare = [], replace(task, demos=())
    with trainable(model.network, weights):
        update = OPTIMIZERS[optimizer](list(weights.values()), lr=lr)
        for epoch in range(max(epochs) + 1):
            for demo in demo_ids(model, task) if epoch else []:
                update.zero_grad()
                language_model_loss(model, demo).backward()
                update.step()
            if epoch in epochs:
                kept.append(vars(_evaluate(model, bare)))
    return {name: torch.stack([predictions[name] for predictions in kept]) for name in kept[0]}


def language_model_loss(model: GPT, ids: list[int]) -> Float[Tensor, ""]:
    """Mean −log p of the tokens `ids` [n], each given all before and one BOS."""
    sequence = torch.tensor([model.bos + ids], device=model.device)
    logits = model.network(sequence).logits[0, :-1].float()
    return nn.functional.cross_entropy(logits, sequence[0, 1:])


def key_and_value_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of all key and value projections, biases too, in layer order."""
    found = {name: p for name, p in network.named_parameters() if any(part in PROJECTIONS for part in name.split("."))}
    if not found:
        raise ValueError(
            f"{type(network).__name__} has no key and value projections known here ({', '.join(PROJECTIONS)})."
        )
    return found


PROJECTIONS = ("k_proj", "v_proj", "c_attn")  # c_attn: GPT-2's fused queries, keys and values


@contextmanager
def trainable(network: nn.Module, weights: dict[str, nn.Parameter]) -> Iterator[None]:
    """Let only these weights learn, a fused one's query part not; restore every bit at the end, whatever happens."""
    everything = dict(network.named_parameters())
    saved = {name: weight.detach().clone() for name, weight in weights.items()}
    asked = {name: weight.requires_grad for name, weight in everything.items()}
    fused = [weight for name, weight in weights.items() if ".c_attn." in name and len(weights) < len(everything)]
    hooks = []
    try:
        for name, weight in everything.items():
            weight.requires_grad_(name in weights)
        hooks += [weight.register_hook(_without_queries) for weight in fused]
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for name, weight in everything.items():
            weight.grad = None
            weight.requires_grad_(asked[name])
        for name, weight in weights.items():
            weight.data.copy_(saved[name])


def _without_queries(gradient: Tensor) -> Tensor:
    """GPT-2 keeps queries, keys and values in one weight [e, 3e] and bias [3e]: its first third is the queries'."""
    return torch.cat(
        [torch.zeros_like(gradient[..., : gradient.shape[-1] // 3]), gradient[..., gradient.shape[-1] // 3 :]], dim=-1
    )


def _predict(model: GPT, task: Task, way: str) -> Predictions:
    _check_lengths(model, task)
    return Predictions(**cache.remember(lambda: vars(_evaluate(model, task)), _key(model, task, way)))


def _evaluate(model: GPT, task: Task) -> Predictions:
    """Score all answers of all queries after the task's demonstrations, if it has any."""
    prompts = [prompt_ids(model, task, query, demos=False)[len(model.bos) :] for query in task.queries]
    answers = [answer_ids(model, task, query) for query in task.queries]
    scored = gpt.score(model, prefix_ids(model, task), prompts, answers, follow=not task.labels)
    scores = [torch.stack([continuation.logprobs.mean() for continuation in options]) for options in scored]
    if not torch.cat(scores).isfinite().all():
        raise ValueError(
            f"{model.name} scores an answer of {task.name!r} as nan or infinite: try a smaller learning rate."
        )
    if not task.labels:
        right = [any(c.greedy and _ends_word(model, c.following) for c in options) for options in scored]
        return Predictions(
            torch.stack([s.max()[None] for s in scores]), torch.tensor(right), torch.zeros(len(right), dtype=torch.long)
        )
    gold = torch.tensor([task.labels.index(query.label) for query in task.queries])
    return Predictions(torch.stack(scores), torch.stack(scores).argmax(1) == gold, gold)


def _ends_word(model: GPT, token: int) -> bool:
    """The word before this token is complete: the token doesn't go on with a letter or digit."""
    return not model.tokenizer.decode([token])[:1].isalnum()


def _check_lengths(model: GPT, task: Task) -> None:
    """Every prompt must fit the model's context, and there must be something to predict; said before any computing."""
    if not task.queries:
        raise ValueError(f"Task {task.name!r} has no queries: nothing to predict.")
    longest = max(
        len(model.encode(_query(task.template, q.text)[0])) + max(map(len, answer_ids(model, task, q)))
        for q in task.queries
    )
    needed = len(prefix_ids(model, task)) + longest
    if needed > model.context:
        raise ValueError(
            f"The longest prompt of {task.name!r} has {needed} tokens, {model.name} reads {model.context}.\n"
            f"Load the task with fewer shots than {len(task.demos)}."
        )


def _key(model: GPT, task: Task, *how: object) -> tuple:
    """Everything a prediction depends on: code, versions, weights, task, and how it was made."""
    versions = (torch.__version__, transformers.__version__, str(model.device), str(model.dtype))
    return (*how, task, model.fingerprint(), versions, CODE)
