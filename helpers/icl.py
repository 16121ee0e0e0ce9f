"""One run, three ways to predict: zero-shot, in context, finetuned, under the same template and the same scoring.

Scores are mean log-probabilities a token of each label, as in the code of Dai et al. (2022).
Finetuning obeys the paper's three restrictions: the training examples are the demonstrations; each is trained on for
one step, in the order of the prompt; the same template, and the causal language-modelling loss. Only key and value
projections move.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
POSITIONS = ("answer", "first_label")  # the token that predicts the answer; the paper's code looks at the first label's
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


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
        scores = calibrate(self.scores)
        return replace(self, scores=scores, right=scores.argmax(1) == self.gold)


def calibrate(scores: Float[Tensor, "n labels"]) -> Float[Tensor, "n labels"]:
    """(4.2): take from each label its mean score over all queries (batch calibration, Zhou et al. 2309.17249)."""
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
    return (prefix_ids(model, task) if demos else model.bos) + query_ids(model, task, query)


def query_ids(model: GPT, task: Task, query: Example) -> list[int]:
    """Token ids of an unanswered query alone."""
    return model.encode(_query(task.template, query.text)[0])


def answer_ids(model: GPT, task: Task, query: Example) -> list[list[int]]:
    """Token ids of every label, or of every right answer where answers are free; the space before is part of them."""
    space = _query(task.template, query.text)[1]
    return [model.encode(space + answer) for answer in task.labels or query.answers]


def zero_shot(model: GPT, task: Task, *, internals: bool = False, at: str = "answer", bos: bool = True) -> Predictions:
    """Predict every query without demonstrations.

    `internals` also keeps what attention did at the token that predicts the answer (`at="answer"`) or at the first
    label's last token, where the paper's code looks (`at="first_label"`). `bos=False`: no sequence starts with a BOS.
    """
    return _predict(model, replace(task, demos=()), "zero-shot", _where(internals, at), bos)


def in_context(model: GPT, task: Task, *, internals: bool = False, at: str = "answer", bos: bool = True) -> Predictions:
    """Predict every query after the demonstrations; options as for `zero_shot`."""
    return _predict(model, task, "in context", _where(internals, at), bos)


def finetuned(
    model: GPT, task: Task, lr: float, *, internals: bool = False, at: str = "answer", bos: bool = True
) -> Predictions:
    """Predict every query without demonstrations, after one SGD step on each: the paper's finetuning.

    Options as for `zero_shot`; the internals then also hold the queries of the tokens trained on.
    """
    model = replace(model, starts=model.starts and bos)
    if internals and not task.demos:
        raise ValueError(f"Task {task.name!r} has no demonstrations: no training to look into.")
    return _learn(model, task, lr, (1,), "sgd", False, _where(internals, at))[0]


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
    _check_lengths(model, replace(task, demos=()))
    key = _key(model, task, "finetuned", lr, epochs, optimizer, all_weights, at)
    kept = cache.remember(lambda: _train(model, task, lr, epochs, optimizer, all_weights, at), key)
    return [_unfold(kept, f"{epoch} ") for epoch in epochs]


def _check_training(lr: float, epochs: tuple[int, ...], optimizer: str) -> None:
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr={lr}: a learning rate is a positive number.")
    if not epochs or list(epochs) != sorted(set(epochs)) or epochs[0] < 0:
        raise ValueError(f"epochs={epochs}: numbers of passes in increasing order, such as (0, 1, 4).")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer={optimizer!r}: there are {', '.join(OPTIMIZERS)}.")


def _where(internals: bool, at: str) -> str | None:
    if at not in POSITIONS:
        raise ValueError(f"at={at!r}: attention can be looked at at {' or '.join(map(repr, POSITIONS))}.")
    return at if internals else None


def _train(
    model: GPT, task: Task, lr: float, epochs: tuple[int, ...], optimizer: str, all_weights: bool, at: str | None
) -> dict[str, Tensor]:
    """Train on the demonstrations, one step each and in their order, pass after pass; predict where `epochs` says."""
    weights = dict(model.network.named_parameters()) if all_weights else key_and_value_weights(model.network)
    kept, bare, demos = {}, replace(task, demos=()), demo_ids(model, task)
    queries = torch.zeros(sum(map(len, demos)) if at else 0, *model.attention_shape)
    with trainable(model.network, weights):
        step = stepper(list(weights.values()), optimizer, lr)
        for epoch in range(max(epochs) + 1):
            places = queries.split([len(demo) if at else 0 for demo in demos])
            for demo, place in zip(demos, places, strict=True) if epoch else ():
                with _watch_training(model, place) if at else nullcontext():
                    loss = language_model_loss(model, demo)
                step(loss)
            if epoch in epochs:
                found = _fold(_evaluate(model, bare, at)) | ({"training_queries": queries} if at else {})
                kept |= {f"{epoch} {name}": tensor for name, tensor in found.items()}
    return kept


def stepper(weights: list[nn.Parameter], optimizer: str, lr: float) -> Callable[[Tensor], None]:
    """A function that takes one step down a loss.

    Half-precision weights are stepped as float32 copies, for a small update would be rounded away, and float16
    gradients are taken of a scaled loss, for they would fall below its smallest number.
    """
    copies = [w if w.dtype.itemsize > 2 else w.detach().float() for w in weights]
    update = OPTIMIZERS[optimizer](copies, lr=lr)
    scale = 1024 if any(w.dtype == torch.float16 for w in weights) else 1

    def step(loss: Float[Tensor, ""]) -> None:
        (loss * scale).backward()
        for weight, copy in zip(weights, copies, strict=True):
            if copy is not weight:
                copy.grad = weight.grad.float() / scale
        update.step()
        for weight, copy in zip(weights, copies, strict=True):
            if copy is not weight:
                weight.data.copy_(copy)
            weight.grad = None

    return step


def _watch_training(model: GPT, kept: Float[Tensor, "tokens layers heads d_head"]) -> AbstractContextManager:
    """Fill `kept` with the query vectors of one training example's tokens, without its BOS's."""
    places = range(len(model.bos), len(model.bos) + len(kept))

    def keep(layer: int, attended: gpt.Attended) -> None:
        kept[:, layer] = attended.queries.cpu()

    return gpt.watch(model, places, places, keep)


@dataclass(frozen=True)
class ValueUpdate:
    """What finetuning wrote into every value projection, exactly: W_after − W_before = Σ errors_i ⊗ inputs_i."""

    errors: Float[Tensor, "tokens layers m"]  # −lr × the loss's gradient at the projection's output, token by token
    inputs: Float[Tensor, "tokens layers e"]
    own: Bool[Tensor, " tokens"]  # a demonstration's own token, not the BOS before it
    change: Float[Tensor, "layers m e"]  # W_after − W_before
    attended: Float[Tensor, "n layers heads e"]  # Σ_j a_j x_j over the query's tokens, by the finetuned attention a

    def attention(self) -> Float[Tensor, "n layers heads tokens"]:
        """(4.8): what finetuning makes each head attend to: x_i · Σ_j a_j x_j for every training token i.

        Its attention pattern held fixed, a finetuned head's output changes by ΔW Σ_j a_j x_j, which is the sum of the
        errors under these weights: linear attention to the training tokens, nothing relaxed.
        """
        layers = range(self.inputs.shape[1])
        return torch.stack([self.attended[:, i] @ self.inputs[:, i].T for i in layers], 1)


def value_update(model: GPT, task: Task, lr: float) -> ValueUpdate:
    """(4.7): finetune as `finetuned` does and keep what reaches every value projection; one plain pass for every query.

    Raises ValueError for a model in half precision (no equality would be left), or one without value projections.
    """
    if model.dtype.itemsize < 4 or not task.demos:
        raise ValueError(f"The update of {model.name} needs float32 weights and demonstrations to be trained on.")
    _check_training(lr, (1,), "sgd")
    _check_lengths(model, replace(task, demos=()))
    return ValueUpdate(**cache.remember(lambda: _value_update(model, task, lr), _key(model, task, "value update", lr)))


def _value_update(model: GPT, task: Task, lr: float) -> dict[str, Tensor]:
    weights, demos = key_and_value_weights(model.network), demo_ids(model, task)
    values = [module for name, module in model.network.named_modules() if name.endswith("v_proj")]
    if not values:
        raise ValueError(f"{type(model.network).__name__} keeps values and keys in one weight: no value projection.")
    before = [module.weight.detach().clone() for module in values]
    lengths = [len(model.bos) + len(demo) for demo in demos]
    errors, inputs = (torch.zeros(sum(lengths), len(values), width, dtype=model.dtype) for width in before[0].shape)
    with trainable(model.network, weights):
        step = stepper(list(weights.values()), "sgd", lr)
        for demo, its_inputs, its_errors in zip(demos, inputs.split(lengths), errors.split(lengths), strict=True):
            with _inputs_and_gradients(values) as (x, gradients):
                step(language_model_loss(model, demo))
            its_inputs.copy_(torch.stack(x, 1).cpu())
            its_errors.copy_(-lr * torch.stack(gradients, 1).cpu())
        change = torch.stack([(m.weight - w).detach() for m, w in zip(values, before, strict=True)])
        prompts = [prompt_ids(model, task, query, demos=False) for query in task.queries]
        attended = torch.stack([_attended_inputs(model, ids, values) for ids in prompts])
    own = torch.cat([torch.arange(length) >= len(model.bos) for length in lengths])
    return {"errors": errors, "inputs": inputs, "own": own, "change": change.cpu(), "attended": attended}


@contextmanager
def _inputs_and_gradients(modules: list[nn.Module]) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """The inputs [n e] of these modules during a pass, and after `backward` the gradients [n m] at their outputs."""
    inputs, gradients = [torch.empty(0)] * len(modules), [torch.empty(0)] * len(modules)

    def keep(place: int, x: Tensor, out: Tensor) -> None:
        inputs[place] = x[0].detach()
        if out.requires_grad:
            out.register_hook(lambda gradient: gradients.__setitem__(place, gradient[0]))

    hooks = [m.register_forward_hook(lambda _, x, out, place=i: keep(place, x[0], out)) for i, m in enumerate(modules)]
    try:
        yield inputs, gradients
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _attended_inputs(model: GPT, ids: list[int], values: list[nn.Module]) -> Float[Tensor, "layers heads e"]:
    """What the last token's heads gather of the value projections' inputs: Σ_j a_j x_j."""
    patterns = [torch.empty(0)] * len(values)

    def keep(layer: int, attended: gpt.Attended) -> None:
        patterns[layer] = attended.scores[:, 0].softmax(-1)

    last = [len(ids) - 1]
    with _inputs_and_gradients(values) as (inputs, _), gpt.watch(model, last, last, keep):
        model.network.base_model(torch.tensor([ids], device=model.device))
    return torch.stack([pattern.to(x.dtype) @ x for pattern, x in zip(patterns, inputs, strict=True)]).cpu()


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
def restored(weights: Iterable[nn.Parameter]) -> Iterator[None]:
    """Give these weights back to the last bit, whatever happens."""
    saved = [(weight, weight.detach().clone()) for weight in weights]
    try:
        yield
    finally:
        for weight, before in saved:
            weight.data.copy_(before)


@contextmanager
def trainable(network: nn.Module, weights: dict[str, nn.Parameter]) -> Iterator[None]:
    """Let only these weights learn, a fused one's query part not; restore every bit at the end, whatever happens."""
    everything = dict(network.named_parameters())
    asked = {name: weight.requires_grad for name, weight in everything.items()}
    fused = [weight for name, weight in weights.items() if ".c_attn." in name and len(weights) < len(everything)]
    hooks = []
    with restored(weights.values()):
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


def _without_queries(gradient: Tensor) -> Tensor:
    """GPT-2 keeps queries, keys and values in one weight [e, 3e] and bias [3e]: its first third is the queries'."""
    return torch.cat(
        [torch.zeros_like(gradient[..., : gradient.shape[-1] // 3]), gradient[..., gradient.shape[-1] // 3 :]], dim=-1
    )


def _predict(model: GPT, task: Task, way: str, at: str | None, bos: bool) -> Predictions:
    model = replace(model, starts=model.starts and bos)
    _check_lengths(model, task)
    return _unfold(cache.remember(lambda: _fold(_evaluate(model, task, at)), _key(model, task, way, at)))


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
    prompts = [query_ids(model, task, query) for query in task.queries]
    answers = [answer_ids(model, task, query) for query in task.queries]
    internals, look = _observe(model, task, prompts, answers, at) if at else (None, None)
    follow = not task.labels or at == "first_label"
    scored = gpt.score(model, prefix_ids(model, task), prompts, answers, follow, look)
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

        return gpt.watch(model, places, row.positions[0, places].tolist(), keep)

    return internals, look


def demo_places(model: GPT, task: Task) -> list[int]:
    """Where the demonstrations' own tokens stand in a prompt: neither BOS nor separators."""
    separator, places, start = len(model.encode(task.template.separator)), [], len(model.bos)
    for demo in demo_ids(model, task):
        places.extend(range(start, start + len(demo)))
        start += len(demo) + separator
    return places


def _ends_word(model: GPT, token: int) -> bool:
    """The word before this token is complete: the token doesn't go on with a letter or digit."""
    return not model.tokenizer.decode([token])[:1].isalnum()


def _check_lengths(model: GPT, task: Task) -> None:
    """Every prompt must fit the model's context, and there must be something to predict; said before any computing."""
    if not task.queries:
        raise ValueError(f"Task {task.name!r} has no queries: nothing to predict.")
    longest = max(len(query_ids(model, task, q)) + max(map(len, answer_ids(model, task, q))) for q in task.queries)
    needed = len(prefix_ids(model, task)) + longest
    if needed > model.context:
        raise ValueError(
            f"The longest prompt of {task.name!r} has {needed} tokens, {model.name} reads {model.context}.\n"
            f"Load the task with fewer shots than {len(task.demos)}."
        )


def _key(model: GPT, task: Task, *how: object) -> tuple:
    """Everything a prediction depends on: code, versions, weights, task, and how it was made."""
    versions = (torch.__version__, transformers.__version__, str(model.device), str(model.dtype))
    return (*how, task, model.fingerprint(), model.bos, versions, CODE)
