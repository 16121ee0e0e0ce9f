"""Controls: what the measurements say where nothing is known of gradient descent, or of these demonstrations.

A control is another task (other demonstrations, other labels), another change of weights, another network or another
predictor, passed through the same `icl` and `metrics`; or another statistic. One line beside any measurement.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor, nn

from helpers import gpt, icl, metrics, tasks
from helpers.gpt import GPT
from helpers.icl import Predictions
from helpers.tasks import Task

# --- Other demonstrations, other labels


def other_demonstrations(task: Task, seed: int) -> Task:
    """The same queries after another draw of demonstrations."""
    return replace(task, demos=tasks.load(task.name, len(task.demos), seed, queries=0).demos)


def reversed_demonstrations(task: Task) -> Task:
    """The last demonstration first."""
    return replace(task, demos=task.demos[::-1])


def shuffled_labels(task: Task, seed: int = 0) -> Task:
    """The demonstrations' labels, or free answers, dealt out anew among them."""
    return _answered(task, np.random.default_rng(seed).permutation(len(task.demos)).tolist())


def flipped_labels(task: Task) -> Task:
    """Every demonstration has the label after its own; free answers move on by one demonstration."""
    if not task.labels:
        return _answered(task, np.roll(np.arange(len(task.demos)), 1).tolist())
    after = dict(zip(task.labels, (*task.labels[1:], task.labels[0]), strict=True))
    return replace(task, demos=tuple(replace(demo, label=after[demo.label]) for demo in task.demos))


def _answered(task: Task, order: Sequence[int]) -> Task:
    """Demonstration i is answered as demonstration `order[i]` was."""
    pairs = zip(task.demos, [task.demos[i] for i in order], strict=True)
    return replace(task, demos=tuple(replace(demo, label=by.label, answers=by.answers) for demo, by in pairs))


# --- Other changes of weights

Weights = dict[str, Tensor]  # the values of some parameters by their names in the network
MLP = ("mlp", "fc1", "fc2")  # what the families known here call it


@dataclass(frozen=True)
class Recipe:
    """A finetuning: the paper's unless said otherwise."""

    lr: float
    learns: str = "keys and values"  # or "mlp", "all"
    optimizer: str = "sgd"  # or "adam"
    passes: int = 1
    answer_only: bool = False  # the loss of the answer's tokens alone
    clip: float = float("inf")  # the largest norm of a gradient


@dataclass(frozen=True)
class Trained:
    """Weights after a finetuning, and the queries of the tokens in the last pass."""

    weights: Weights
    queries: Float[Tensor, "training_tokens layers heads d_head"]


def finetune(model: GPT, task: Task, recipe: Recipe) -> Trained:
    """One step on each demonstration, in their order, pass after pass; the model is given back as it was."""
    weights, demos = learning(model.network, recipe.learns), icl.demo_ids(model, task)
    queries = torch.zeros(sum(map(len, demos)), *model.attention_shape)
    answers = [len(icl.query_ids(model, replace(task, demos=()), demo)) for demo in task.demos]
    with gpt.trainable(model.network, weights):
        step = gpt.stepper(list(weights.values()), recipe.optimizer, recipe.lr)
        places = queries.split([len(demo) for demo in demos])
        for turn in range(1, recipe.passes + 1):
            for ids, place, answer in zip(demos, places, answers, strict=True):
                with gpt.watch_training(model, place) if turn == recipe.passes else nullcontext():
                    loss = token_losses(model, ids)[answer if recipe.answer_only else 0 :].mean()
                step(_clipped(loss, list(weights.values()), recipe.clip))
        return Trained({name: weight.detach().clone() for name, weight in weights.items()}, queries)


def learning(network: nn.Module, which: str) -> dict[str, nn.Parameter]:
    """The parameters of this name: "keys and values", "mlp" or "all"."""
    if which == "keys and values":
        return gpt.key_and_value_weights(network)
    found = {n: w for n, w in network.named_parameters() if which == "all" or any(p in MLP for p in n.split("."))}
    if not found or which not in ("mlp", "all"):
        raise ValueError(f"{type(network).__name__} has no weights called {which!r}: keys and values, mlp, all.")
    return found


def token_losses(model: GPT, ids: list[int]) -> Float[Tensor, " n"]:
    """−log p of every token, given all before and one BOS."""
    sequence = torch.tensor([model.bos + ids], device=model.device)
    logits = model.network(sequence).logits[0, :-1].float()
    return nn.functional.cross_entropy(logits, sequence[0, 1:], reduction="none")[-len(ids) :]


def _clipped(loss: Float[Tensor, ""], weights: list[nn.Parameter], most: float) -> Float[Tensor, ""]:
    """A loss whose gradient has at most this norm, over all weights."""
    if most == float("inf"):
        return loss
    gradients = torch.autograd.grad(loss, weights, retain_graph=True)
    norm = torch.stack([gradient.float().norm() for gradient in gradients]).norm()
    return loss * (most / norm).clamp(max=1)


@contextmanager
def holding(model: GPT, weights: Weights) -> Iterator[None]:
    """Within, these parameters have these values; every bit is given back."""
    own = {name: weight for name, weight in model.network.named_parameters() if name in weights}
    with gpt.restored(own.values()), torch.no_grad():
        for name, weight in own.items():
            weight.copy_(weights[name])
        yield


def scaled(model: GPT, weights: Weights, factor: float) -> Weights:
    """The change that led to these weights, times a factor."""
    before = dict(model.network.named_parameters())
    return {name: before[name].detach().lerp(after, factor) for name, after in weights.items()}


def random_update(model: GPT, weights: Weights, seed: int = 0) -> Weights:
    """Every weight changed by Gaussian noise as long as the change that led to these weights."""
    rng, before = torch.Generator().manual_seed(seed), dict(model.network.named_parameters())
    found = {}
    for name, after in weights.items():
        noise = torch.randn(after.shape, generator=rng).to(after)
        start = before[name].detach()
        found[name] = start + noise * ((after - start).norm() / noise.norm())
    return found


def relative_length(h: Float[Tensor, "n layers d"], base: Float[Tensor, "n layers d"]) -> float:
    """ρ: the length of an update over the length of what it updates; mean over queries, and layers after the first."""
    return ((h - base).norm(dim=-1) / base.norm(dim=-1))[:, 1:].mean().item()


def matched_length(model: GPT, task: Task, weights: Weights, length: float, within: float = 0.02) -> Weights:
    """The same change of weights, times the number at which the updates of attention outputs have this ρ: bisection."""
    bare, low, high = replace(task, demos=()), 0.0, float("inf")
    base = icl.zero_shot(model, bare, internals=True).internals.outputs
    factor, found = 1.0, weights
    for _ in range(40):
        found = scaled(model, weights, factor)
        if abs((rho := _length(model, bare, found, base)) - length) <= within * length:
            break
        low, high = (low, factor) if rho > length else (factor, high)
        factor = 2 * factor if high == float("inf") else (low + high) / 2
    return found


def _length(model: GPT, bare: Task, weights: Weights, base: Float[Tensor, "n layers d"]) -> float:
    """ρ under these weights; infinite where a pass overflows."""
    try:
        with holding(model, weights):
            return relative_length(icl.zero_shot(model, bare, internals=True).internals.outputs, base)
    except ValueError as error:
        if "nan or infinit" not in str(error):
            raise
        return float("inf")


def layer_causal_steps(model: GPT, task: Task, lr: float) -> Weights:
    """Steps that respect layer causality (Deutch et al. 2311.07772): no layer learns from what lies above it.

    Each layer's own loss is that of the frozen final norm and unembedding on its attention's output, its input and its
    queries held fixed; its keys and values take a step on it, one token at a time.
    """
    weights = gpt.key_and_value_weights(model.network)
    with gpt.trainable(model.network, weights):
        step = gpt.stepper(list(weights.values()), "sgd", lr)
        for demo in icl.demo_ids(model, task):
            ids = model.bos + demo
            for last in range(1, len(ids)):
                step(_layer_losses(model, ids[:last], ids[last]).sum())
        return {name: weight.detach().clone() for name, weight in weights.items()}


def _layer_losses(model: GPT, ids: list[int], target: int) -> Float[Tensor, " layers"]:
    """−log p of the next token as each layer's attention output alone would have it."""
    outputs, base = [], model.network.base_model
    blocks = [module for name, module in base.named_modules() if name.endswith(".self_attn")]

    def fixed(_: nn.Module, given: tuple, options: dict) -> tuple[tuple, dict]:
        return tuple(map(_detached, given)), {name: _detached(value) for name, value in options.items()}

    hooks = [block.register_forward_pre_hook(fixed, with_kwargs=True) for block in blocks]
    hooks += [block.q_proj.register_forward_hook(lambda _, __, out: out.detach()) for block in blocks]
    hooks += [block.register_forward_hook(lambda _, __, out: outputs.append(out[0][0, -1])) for block in blocks]
    try:
        base(torch.tensor([ids], device=model.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    norm = base.norm if hasattr(base, "norm") else base.layer_norm
    logits = model.network.get_output_embeddings()(norm(torch.stack(outputs))).float()
    return nn.functional.cross_entropy(logits, torch.full((len(logits),), target).to(logits.device), reduction="none")


def _detached(value: object) -> object:
    return value.detach() if isinstance(value, Tensor) else value


def untrained(model: GPT, seed: int = 0, embeddings: bool = True) -> GPT:
    """The same network with random weights, its embeddings (and their transpose at the end) kept or not."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        network = type(model.network)(model.network.config).to(model.device, model.dtype).eval().requires_grad_(False)
        if embeddings:
            network.get_input_embeddings().weight.copy_(model.network.get_input_embeddings().weight)
    return replace(model, network=network, name=f"{model.name}, untrained{', embeddings kept' * embeddings}")


# --- Other predictors in the prompt's place


def bias_only(zsl: Predictions, few: Predictions) -> Predictions:
    """Zero-shot, its label bias replaced by the prompt's: what a prompt would do that only moves the labels."""
    scores = zsl.scores - zsl.scores.mean(0) + few.scores.mean(0)
    return Predictions(scores, scores.argmax(1) == zsl.gold, zsl.gold)


def bag_of_words(task: Task) -> Bool[Tensor, " n"]:
    """Right or wrong by a logistic regression on the demonstrations' words: learning without any language model."""
    if not task.labels:
        raise ValueError(f"Task {task.name!r} has free answers: there is nothing to classify.")
    shown = [demo.label for demo in task.demos]
    classifier = make_pipeline(CountVectorizer(), LogisticRegression() if len(set(shown)) > 1 else DummyClassifier())
    classifier.fit([demo.text for demo in task.demos], shown)
    asked, gold = [query.text for query in task.queries], np.array([query.label for query in task.queries])
    return torch.from_numpy(classifier.predict(asked) == gold)


# --- Other statistics


def demonstration_residuals(outputs: Float[Tensor, "draws n *rest"]) -> Float[Tensor, "draws n *rest"]:
    """(eq. 5.3): what is special to each draw of demonstrations: its output minus the mean over the draws."""
    return outputs - outputs.mean(0)


def draw_similarities(
    a: Float[Tensor, "draws n layers *rest d"], b: Float[Tensor, "draws n layers *rest d"]
) -> Float[Tensor, "draws draws layers"]:
    """Cosine of every draw of one way with every draw of another, mean over all but draws and layers."""
    ours, theirs = (x / x.norm(dim=-1, keepdim=True) for x in (a, b))
    rows = [[(own * other).sum(-1).transpose(0, 1).flatten(1).nanmean(1) for other in theirs] for own in ours]
    return torch.stack([torch.stack(row) for row in rows])


def matching_pvalue(
    similarity: Float[Tensor, "draws draws"] | Float[np.ndarray, "draws draws"],
    permutations: int = 10_000,
    seed: int = 0,
) -> float:
    """(eq. 5.4): how often randomly permuted columns have a mean diagonal at least as high, (k + 1)/(N + 1)."""
    values, rng = np.asarray(similarity, dtype=float), np.random.default_rng(seed)
    rows = np.arange(len(values))
    drawn = rng.permuted(np.tile(rows, (permutations, 1)), axis=1)
    means = values[rows, drawn].mean(1)
    return float(((means >= values.diagonal().mean() - 1e-12).sum() + 1) / (permutations + 1))


def own_minus_other(similarity: Float[np.ndarray, "draws draws"]) -> Float[np.ndarray, " draws"]:
    """Of every row of a similarity its diagonal minus the mean of the rest: own draw against other draws."""
    own, n = np.diagonal(similarity), len(similarity)
    return own - (similarity.sum(1) - own) / (n - 1)


def split_radial(
    update: Float[Tensor, "*n d"], base: Float[Tensor, "*n d"]
) -> tuple[Float[Tensor, "*n d"], Float[Tensor, "*n d"]]:
    """(eq. 5.6): the part of each update along its base, and the rest."""
    along = base / base.norm(dim=-1, keepdim=True)
    radial = (update * along).sum(-1, keepdim=True) * along
    return radial, update - radial


def random_directions(
    update: Float[Tensor, "*n d"], base: Float[Tensor, "*n d"], seed: int = 0
) -> Float[Tensor, "*n d"]:
    """Updates with the same part along the base, and the rest in random directions of the same length."""
    radial, tangential = split_radial(update, base)
    noise = torch.randn(update.shape, generator=torch.Generator().manual_seed(seed), dtype=update.dtype)
    noise = split_radial(noise, base)[1]
    return radial + noise * (tangential.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True))


def centred(scores: Float[Tensor, "n layers heads tokens"]) -> Float[Tensor, "n layers heads tokens"]:
    """Attention scores minus their mean over a query's own tokens; padding stays 0."""
    own = scores != 0
    return (scores - scores.sum(-1, keepdim=True) / own.sum(-1, keepdim=True)) * own


def token_types(model: GPT, task: Task) -> list[str]:
    """Of every demonstration token, in the prompt's order: is it label, template or content?"""
    before, between = task.template.pattern.partition("{label}")[0].split("{text}")
    space, gap = before[len(before.rstrip(" ")) :], between[len(between.rstrip(" ")) :]
    pieces = [[before.rstrip(" "), space + d.text, between.rstrip(" "), gap + d.label] for d in task.demos]
    kinds = ("template", "content", "template", "label")
    encoded = gpt.encode_pieces(model, pieces)
    return [kind for demo in encoded for kind, ids in zip(kinds, demo, strict=True) for _ in ids]


def kendall_within(
    icl: Float[Tensor, "n layers tokens"], ft: Float[Tensor, "n layers tokens"], types: Sequence[str]
) -> Float[Tensor, "n layers"]:
    """Kendall's τ within tokens of one type, types weighted by their numbers of pairs."""
    places = [[i for i, kind in enumerate(types) if kind == wanted] for wanted in dict.fromkeys(types)]
    places = [p for p in places if len(p) > 1]
    pairs = torch.tensor([len(p) * (len(p) - 1) / 2 for p in places])
    taus = torch.stack([metrics.kendall_taus(icl[..., p], ft[..., p]) for p in places])
    return (taus * (pairs / pairs.sum())[:, None, None]).sum(0)


def permuted_within(types: Sequence[str], seed: int = 0) -> list[int]:
    """An order of tokens in which every token's place is taken by a random one of its own type."""
    rng, order = np.random.default_rng(seed), np.arange(len(types))
    for wanted in dict.fromkeys(types):
        places = np.flatnonzero(np.array(types) == wanted)
        order[places] = rng.permutation(places)
    return order.tolist()
