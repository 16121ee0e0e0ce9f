"""A token generated with a cache or a state is the last token of attention over the whole text."""

import pytest
import torch

from helpers import attention
from helpers.experiments import generation_cost

FORMS = {"softmax, cache": attention.softmax_attention, "linear, state": attention.linear_attention}


@pytest.mark.parametrize("way", generation_cost.WAYS)
@pytest.mark.parametrize("n", [1, 2, 65, 150])
def test_a_step_is_the_last_row_of_the_whole(way, n):
    token = generation_cost.draw(1, torch.Generator().manual_seed(1))
    pieces = list(generation_cost.past(n, torch.Generator().manual_seed(2)))
    k = torch.cat([*(k for _, k, _ in pieces), token[1]], 2)
    v = torch.cat([*(v for _, _, v in pieces), token[2]], 2)
    q = torch.zeros_like(k)
    q[:, :, -1:] = token[0]
    step, _ = generation_cost.WAYS[way](n, torch.Generator().manual_seed(2))
    torch.testing.assert_close(step(*token), FORMS[way](q, k, v)[:, :, -1:], rtol=1e-4, atol=1e-4)
    assert k.shape[2] == n


def test_what_is_kept_grows_with_the_text_or_stays():
    kept = {way: [make(n, torch.Generator())[1] for n in (128, 256)] for way, make in generation_cost.WAYS.items()}
    heads, width = generation_cost.HEADS, generation_cost.WIDTH
    assert kept["softmax, cache"] == [2 * 4 * heads * width * n for n in (128, 256)]
    assert kept["linear, state"] == [4 * heads * width**2] * 2
