import torch

from . import right, wrong

NAME = "invisible_change"


@right(NAME)
def one_everywhere(q, k, v):
    return k + 1


@right(NAME)
def centred(q, k, v):
    """What all keys share is taken away."""
    return k - k.mean(0)


@right(NAME)
def along_a_query(q, k, v):
    return k + q[0]


@right(NAME)
def a_vector_of_its_own(q, k, v):
    shift = torch.linspace(1, 3, k.shape[1], dtype=k.dtype)
    return torch.stack([key + shift for key in k])


@right(NAME)
def relative_to_the_first(q, k, v):
    return k - k[:1]


@right(NAME)
def one_entry_of_every_key(q, k, v):
    shift = torch.zeros_like(k)
    shift[:, -1] = 5
    return k + shift


@wrong(NAME, "as they were")
def untouched(q, k, v):
    return k.clone()


@wrong(NAME, "scaled")
def doubled(q, k, v):
    return 2 * k


@wrong(NAME, "scaled")
def turned_round(q, k, v):
    return -k


@wrong(NAME, "scaled")
def none_at_all(q, k, v):
    return torch.zeros_like(k)


@wrong(NAME, "changed places")
def reversed_order(q, k, v):
    return k.flip(0)


@wrong(NAME, "different amounts")
def another_for_every_key(q, k, v):
    return k + torch.arange(len(k), dtype=k.dtype)[:, None]


@wrong(NAME, "different amounts")
def only_the_first(q, k, v):
    keys = k.clone()
    keys[0] = keys[0] + 1
    return keys


@wrong(NAME, "different amounts")
def each_key_by_its_own_query(q, k, v):
    return k + q


@wrong(NAME, "different amounts")
def each_of_length_one(q, k, v):
    return k / k.norm(dim=1, keepdim=True)


@wrong(NAME, "no product with the queries")
def where_the_last_query_does_not_look(q, k, v):
    """Only the last query meets the last key; the change is perpendicular to it."""
    keys, away = k.clone(), torch.zeros_like(q[-1])
    away[0], away[1] = q[-1, 1], -q[-1, 0]
    keys[-1] = keys[-1] + away
    return keys


@wrong(NAME, "too small")
def hardly(q, k, v):
    return k + 1e-9


@wrong(NAME, "lost in rounding")
def far_away(q, k, v):
    return k + 1e13


@wrong(NAME, "shape")
def a_shift_alone(q, k, v):
    return q[0]


@wrong(NAME, "one tensor")
def keys_and_values(q, k, v):
    return k + 1, v
