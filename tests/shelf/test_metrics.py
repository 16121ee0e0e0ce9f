"""The four measurements against slow, literal versions and cases worked by hand; intervals against known ones."""

import math

import numpy as np
import pytest
import torch

from helpers import metrics

# ── slow and literal: written from the definitions, loop by loop, for these tests only


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def literal_cosine(a, b):
    size = math.sqrt(dot(a, a)) * math.sqrt(dot(b, b))
    return dot(a, b) / size if size else math.nan


def literal_rec2ftp(zsl, icl, ft):
    fixed = [i for i in range(len(zsl)) if not zsl[i] and ft[i]]
    return sum(icl[i] for i in fixed) / len(fixed) if fixed else math.nan


def literal_sim_aou(icl, ft, zsl, normalize):
    layers = []
    for layer in range(len(zsl[0])):
        cosines = []
        for i in range(len(zsl)):
            three = [h[i][layer] for h in (icl, ft, zsl)]
            if normalize:
                three = [[x / math.sqrt(dot(h, h)) for x in h] for h in three]
            a, b, z = three
            cosines.append(
                literal_cosine([x - y for x, y in zip(a, z, strict=True)], [x - y for x, y in zip(b, z, strict=True)])
            )
        layers.append(sum(cosines) / len(cosines))
    return layers


def literal_sim_am(a, b):
    layers = []
    for layer in range(len(a[0])):
        queries = [[literal_cosine(x, y) for x, y in zip(a[i][layer], b[i][layer], strict=True)] for i in range(len(a))]
        layers.append(sum(sum(heads) / len(heads) for heads in queries) / len(queries))
    return layers


def literal_tau(a, b):
    """Concordant minus discordant pairs, over the pairs that are tied in neither (tau-b)."""
    sign, both, mine, other = (lambda x: (x > 0) - (x < 0)), 0, 0, 0
    for i in range(len(a)):
        for j in range(i):
            x, y = sign(a[i] - a[j]), sign(b[i] - b[j])
            both, mine, other = both + x * y, mine + abs(x), other + abs(y)
    return both / math.sqrt(mine * other) if mine * other else math.nan


def literal_kendall(icl, ft):
    layers = range(len(icl[0]))
    return [sum(literal_tau(icl[i][la], ft[i][la]) for i in range(len(icl))) / len(icl) for la in layers]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(found, literal):
    torch.testing.assert_close(found, torch.tensor(literal, dtype=found.dtype), atol=1e-6, rtol=0)


@pytest.mark.parametrize("normalize", [True, False])
def test_sim_aou_is_its_definition(normalize):
    """(eq. 4.4): against a literal version."""
    icl, ft, zsl = (drawn(4, 3, 7, seed=seed) for seed in range(3))
    literal = literal_sim_aou(icl.tolist(), ft.tolist(), zsl.tolist(), normalize)
    agree(metrics.sim_aou(icl, ft, zsl, normalize), literal)
    agree(metrics.sim_aou(icl.float(), ft.float(), zsl.float(), normalize), literal)


def test_sim_am_is_its_definition():
    """(eq. 4.6): against a literal version."""
    a, b = drawn(4, 3, 2, 6), drawn(4, 3, 2, 6, seed=1)
    b[1, ..., 4:] = a[1, ..., 4:] = 0  # padding changes nothing
    agree(metrics.sim_am(a, b), literal_sim_am(a.tolist(), b.tolist()))


def test_kendall_is_its_definition():
    a, b = drawn(4, 3, 9), drawn(4, 3, 9, seed=1)
    b[0, 0, :4] = b[0, 0, 0]  # ties
    agree(metrics.kendall(a, b), literal_kendall(a.tolist(), b.tolist()))


def test_rec2ftp_is_its_definition():
    """(eq. 4.3): against a literal version."""
    for seed in range(20):
        zsl, icl, ft = (drawn(12, seed=3 * seed + k) > 0 for k in range(3))
        assert metrics.rec2ftp(zsl, icl, ft) == pytest.approx(literal_rec2ftp(zsl, icl, ft), nan_ok=True)
        assert metrics.chance_rec2ftp(zsl, icl) == pytest.approx(literal_rec2ftp(zsl, icl, [True] * 12), nan_ok=True)


# ── by hand


def marks(text):
    return torch.tensor([mark == "1" for mark in text])


def test_rec2ftp_by_hand():
    """Zero-shot is wrong on the last five; finetuning fixes three of them, the prompt two of those three."""
    zsl, icl, ft = marks("100000"), marks("011011"), marks("111100")
    assert metrics.rec2ftp_counts(zsl, icl, ft) == (2, 3)
    assert metrics.rec2ftp(zsl, icl, ft) == pytest.approx(2 / 3)
    assert metrics.chance_rec2ftp(zsl, icl) == pytest.approx(4 / 5)


def test_rec2ftp_where_finetuning_fixed_nothing_is_undefined():
    assert math.isnan(metrics.rec2ftp(marks("01"), marks("11"), marks("01")))
    assert math.isnan(metrics.chance_rec2ftp(marks("11"), marks("10")))


def test_sim_aou_by_hand():
    """z = (1, 0); the prompt turns it to (0, 1), finetuning to (0, −1): normalised cos 90° apart, raw as well."""
    zsl, icl, ft = (torch.tensor([[h]]) for h in ([1.0, 0.0], [0.0, 1.0], [0.0, -1.0]))
    torch.testing.assert_close(metrics.sim_aou(icl, ft, zsl), torch.tensor([0.0]), atol=1e-6, rtol=0)
    longer = torch.tensor([[[3.0, 0.0]]])  # only its length changed: for the normalised form nothing happened at all
    assert metrics.sim_aou(longer, ft, zsl).isnan().all()
    raw = metrics.sim_aou(longer, ft, zsl, normalize=False)  # (2, 0) against (−1, −1)
    torch.testing.assert_close(raw, torch.tensor([-(0.5**0.5)]))


def test_an_update_of_nothing_is_undefined_and_not_zero():
    h = drawn(2, 3, 5)
    assert metrics.sim_aou(h, h, h).isnan().all()
    assert metrics.sim_am(torch.zeros(1, 1, 1, 3), torch.ones(1, 1, 1, 3)).isnan().all()
    assert metrics.kendall(torch.ones(1, 1, 4), torch.arange(4.0)[None, None]).isnan().all()


def test_kendall_by_hand():
    """Of the six pairs of 1 2 3 4 against 1 2 4 3 five agree: (5 − 1) / 6."""
    one, other = torch.tensor([[[1.0, 2, 3, 4]]]), torch.tensor([[[1.0, 2, 4, 3]]])
    torch.testing.assert_close(metrics.kendall(one, other), torch.tensor([4 / 6]))
    torch.testing.assert_close(metrics.kendall(one, -one), torch.tensor([-1.0]))


@pytest.mark.parametrize(("rho_icl", "rho_ft"), [(3**0.5, 3**0.5), (1.0, 2.0), (0.3, 0.3)])
def test_random_updates_look_alike_after_normalising(rho_icl, rho_ft):
    """(eq. 4.5): the formula against a simulation in 4,000 dimensions; without normalising there is nothing."""
    zsl = drawn(200, 1, 4000)
    updates = [
        drawn(200, 1, 4000, seed=1 + i) * rho for i, rho in enumerate((rho_icl, rho_ft))
    ]  # same length as zsl, times rho
    found = metrics.sim_aou(zsl + updates[0], zsl + updates[1], zsl).item()
    assert found == pytest.approx(metrics.noise_sim_aou(rho_icl, rho_ft), abs=0.01)
    assert metrics.sim_aou(zsl + updates[0], zsl + updates[1], zsl, normalize=False).item() == pytest.approx(
        0, abs=0.01
    )


def test_noise_by_hand():
    assert metrics.noise_sim_aou(3**0.5, 3**0.5) == pytest.approx(0.25)
    assert metrics.noise_sim_aou(0.0, 5.0) == 0
    torch.testing.assert_close(
        metrics.noise_sim_aou(torch.tensor([3**0.5]), torch.tensor([3**0.5])), torch.tensor([0.25])
    )


# ── intervals


def test_wilson_by_hand():
    """8 of 10: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n) with z = 1.96."""
    low, high = metrics.accuracy_interval(np.array([1] * 8 + [0] * 2))
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)


def test_wilson_of_none_right_is_not_empty():
    low, high = metrics.accuracy_interval(np.zeros(100))
    assert low == pytest.approx(0, abs=1e-12)
    assert high > 0.03


def test_bootstrap_agrees_with_the_normal_interval_and_its_seed():
    values = np.random.default_rng(0).normal(size=400)
    low, high = metrics.bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert (low, high) == metrics.bootstrap_interval(values)


def test_bootstrap_of_a_constant_is_the_constant():
    assert metrics.bootstrap_interval(np.ones(5)) == (1.0, 1.0)


def test_bootstrap_of_many_columns_is_that_of_each():
    values = np.random.default_rng(0).normal(size=(50, 3))
    low, high = metrics.bootstrap_interval(values)
    assert low.shape == high.shape == (3,)
    for column in range(3):
        alone = metrics.bootstrap_interval(values[:, column], seed=1)
        assert (low[column], high[column]) == pytest.approx(alone, abs=0.02)


def test_bootstrap_covers():
    """About 95 of 100 intervals hold the truth: between 85 and 100 with all but one chance in a thousand."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        low, high = metrics.bootstrap_interval(rng.normal(size=60))
        held += low < 0 < high
    assert 85 <= held <= 100
