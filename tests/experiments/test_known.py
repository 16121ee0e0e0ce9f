"""The three models are what they are said to be, finetuning is a gradient step, and the rows say what they say."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers import regression
from helpers.experiments import agreement
from helpers.experiments.evidence import contrasts, known, worlds
from helpers.experiments.evidence.plan import SMALLEST

CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # float32


@pytest.fixture(scope="module", params=known.COMMON)
def world(request):
    return worlds.random_world(request.param, seed=5, queries=40)


def stepped(world, draw):
    """The readout after one step of torch's SGD on half the summed squared error of a draw."""
    readout = nn.Linear(worlds.D, worlds.M, bias=False)
    readout.weight.data = world.w0[0].clone()
    sgd = torch.optim.SGD(readout.parameters(), world.lr)
    (readout(world.inputs[draw]) - world.targets[draw]).square().sum().div(2).backward()
    sgd.step()
    return readout


def test_the_descender_is_a_step_of_sgd_and_so_is_every_finetuning(world):
    few, scores = worlds.descender(world)
    update = known.finetunings(world, 0)["finetuned"]
    for draw in (0, 7):
        expected = stepped(world, draw)(world.x).detach()
        torch.testing.assert_close(few[draw], expected, **CLOSE)
        torch.testing.assert_close(world.x @ (world.w0[draw] + update[draw]).T, expected, **CLOSE)
        torch.testing.assert_close(scores[draw], world.x @ world.inputs[draw].T, **CLOSE)


def test_nearest_answers_with_the_target_of_the_nearest_demonstration(world):
    few, scores = worlds.nearest(world)
    distances = torch.cdist(world.x, world.inputs)
    two = distances.topk(2, largest=False)
    clear = two.values[..., 1].square() - two.values[..., 0].square() > 1  # nearer by e^−10 and more
    assert clear.float().mean() > 0.5
    wanted = world.targets.gather(1, two.indices[..., :1].expand(-1, -1, worlds.M))
    torch.testing.assert_close(few[clear], wanted[clear], rtol=1e-2, atol=1e-2)
    assert (scores.argmax(-1) == distances.argmin(-1)).all()


def test_recency_answers_every_query_alike_and_nearly_with_the_last_target(world):
    few, _ = worlds.recency(world)
    shares = torch.arange(worlds.N).float().softmax(0)
    torch.testing.assert_close(few, (shares @ world.targets)[:, None].expand_as(few), **CLOSE)
    assert [round(share, 2) for share in shares[-2:].tolist()] == [0.23, 0.63]


@pytest.mark.parametrize("kind", ["nearest", "recency"])
def test_a_copier_without_demonstrations_answers_zero_shot(world, kind, monkeypatch):
    """Its query then attends to itself alone."""
    monkeypatch.setattr(worlds, "N", 0)
    none = worlds.World(world.w0, world.inputs[:, :0], world.targets[:, :0], world.x, world.y, world.lr)
    torch.testing.assert_close(worlds.MODELS[kind](none)[0], world.zero_shot)


def test_the_rate_without_a_common_part_is_that_of_theory():
    assert worlds.best_rate(0) == pytest.approx(regression.theory(worlds.N, worlds.D)[0], rel=0.03)


def test_a_common_part_makes_nearly_all_pairs_of_inputs_alike():
    drawn = [worlds.random_world(common, seed=5, queries=40) for common in known.COMMON]
    without, with_one = ((world.x @ world.inputs.mT > 0).float().mean().item() for world in drawn)
    assert without == pytest.approx(0.5, abs=0.05)
    assert with_one > 0.9


def test_random_and_shuffled_finetunings_are_what_they_stand_beside(world):
    updates = known.finetunings(world, 3)
    lengths = {name: update.flatten(1).norm(dim=1) for name, update in updates.items()}
    torch.testing.assert_close(lengths["random"], lengths["finetuned"])
    zero_targets = world.step(torch.zeros_like(world.targets), world.lr)
    start = world.w0.flatten(1)
    assert torch.cosine_similarity(updates["random"].flatten(1), start, dim=1).abs().max() < 0.5
    sums = [(updates[name] - zero_targets) for name in ("finetuned", "shuffled")]  # lr Σ y_i ⊗ x_i, dealt out anew
    assert not torch.allclose(*sums, atol=1e-3)
    again = known.finetunings(world, 3)
    assert all(torch.equal(update, again[name]) for name, update in updates.items())


def test_the_step_leaves_the_weights_of_the_exact_form_as_they_were(world):
    """Why P4 as planned says nothing of a single layer: only errors depend on the rate, and keys do not."""
    torch.testing.assert_close(known.exact_weights(world, world.lr), known.exact_weights(world, 0.0))


def found(own, others, random):
    """A claim in three worlds: the diagonal, the rest and the controls, with a little noise."""
    rng = np.random.default_rng(1)
    matrices, noise = others + 0.01 * rng.standard_normal((3, 12, 12)), 0.01 * rng.standard_normal((3, 12))
    matrices[:, range(12), range(12)] += own - others
    same = matrices.diagonal(axis1=1, axis2=2)
    return known.Claim(np.zeros(3, int), matrices, same, random + noise, others + noise[::-1])


@pytest.mark.parametrize(
    ("own", "others", "random", "rungs"),
    [(0.5, 0.2, 0.0, (True, True, True)), (0.2, 0.2, 0.0, (True, False, False)), (0.5, 0.2, 0.6, (False, True, True))],
)
def test_rungs_from_numbers_with_a_known_answer(own, others, random, rungs):
    claim = found(own, others, random)
    assert claim.rungs() == rungs
    assert claim.effects() == pytest.approx(own - others, abs=0.02)


@pytest.mark.parametrize("kind", known.MODELS)
def test_a_cell_measured_again_is_what_was_recorded(kind):
    row = known.KNOWN.rows(kind=kind, common=1)[3]
    assert agreement.differs(row["result"], known.through_the_contrasts(**row["cell"]), known.KNOWN) == ""


def test_what_came_out_otherwise_is_what_the_docstring_says():
    verdicts = known.verdicts()
    assert {sum(counts.values()) for _, counts in verdicts.values()} == {8}
    otherwise = {key for key, (rung, counts) in verdicts.items() if counts[rung] <= 4}
    assert otherwise == {("nearest", 0, "P1"), ("nearest", 1, "P1"), ("recency", 1, "P1")}
    assert verdicts["recency", 1, "P1"][1][0] == 5
    assert verdicts["recency", 1, "P2"][1][3] == 2
    found = known.claim("P2", "recency", 1)
    assert contrasts.interval((found.own - found.shuffled).mean(1))[1] > 0
    assert f"{known.claim('P2', 'descender', 1).shuffled.mean():.2f}" == "0.97"


def test_copiers_are_above_the_smallest_effect_of_interest_in_p2():
    """The limit of the contrast: it tells who depends on the demonstrations, not who descends on them."""
    for kind, common in (("nearest", 0), ("nearest", 1), ("recency", 1)):
        assert contrasts.interval(known.claim("P2", kind, common).effects())[1] > SMALLEST["P2"]
    for common in known.COMMON:
        trials = known.claim("P2", "nearest", common).trials()
        assert all(trial.rungs() == (True, True, True) for trial in trials)


def test_a_descender_passes_everything_and_a_model_that_shares_nothing_with_it_nothing():
    for (kind, common, _), (_, counts) in known.verdicts().items():
        if kind == "descender":
            assert counts == {3: 8}
        if (kind, common) == ("recency", 0):
            assert counts == {0: 8}


def test_p4_as_planned_is_zero_for_the_descender_too():
    for kind, common in known.EXPECTED:
        for row in known.KNOWN.rows(kind=kind, common=common):
            taus = row["result"]["P4"]
            assert taus["finetuned"] == taus["not finetuned"]
            assert kind != "descender" or min(taus["finetuned"]) == 1


def test_the_tables_have_a_line_for_every_model_and_claim():
    assert len(known.table().splitlines()) == 2 + 2 * len(known.EXPECTED)
    assert len(known.kendall_table().splitlines()) == 2 + len(known.EXPECTED)
