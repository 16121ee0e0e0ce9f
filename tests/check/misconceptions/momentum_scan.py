import numpy as np
import torch
from scipy.signal import lfilter

from . import right, wrong

NAME = "momentum_scan"


@right(NAME)
def carried(v, eta):
    """The notebook's solution."""
    m, sums = torch.zeros_like(v[0]), []
    for value in v:
        sums.append(m)
        m = eta * (m + value)
    return torch.stack(sums)


@right(NAME)
def with_ones_own_buffer(v, eta):
    """Exercise 6.1, written again: what is left of its buffers when a token's own value is taken out."""

    def momentum_gradients(gradients, eta):
        u, out = 0.0, []
        for g in gradients:
            u = g + eta * u
            out.append(u)
        return torch.stack(out)

    return momentum_gradients(v, eta) - v


@right(NAME)
def a_digital_filter(v, eta):
    return torch.as_tensor(lfilter([0.0, eta], [1.0, -eta], v.numpy(), axis=0))


@right(NAME)
def by_doubling(v, eta):
    """Sums over the last 1, 2, 4, … values: O(n log n), and no loop over tokens."""
    n, reach = len(v), 1
    sums = eta * torch.cat([v.new_zeros(1, v.shape[1]), v[:-1]])
    while reach < n:
        sums = sums + eta**reach * torch.cat([torch.zeros_like(sums[:reach]), sums[:-reach]])
        reach *= 2
    return sums


@right(NAME)
def in_chunks(v, eta, chunk=16):
    """A small table inside a chunk, one sum from chunk to chunk; closed form for what the sum becomes inside."""
    t = torch.arange(chunk, dtype=v.dtype)
    ages = t[:, None] - t
    table = torch.where(ages > 0, eta ** ages.clamp(min=0), 0.0)
    fades = (eta**t)[:, None]
    m, out = torch.zeros_like(v[:1]), []
    for part in v.split(chunk):
        size = len(part)
        out.append(table[:size, :size] @ part + fades[:size] * m)
        m = eta * (out[-1][-1:] + part[-1:])
    return torch.cat(out)


@right(NAME)
def in_place_of_zeros(v, eta):
    out = torch.zeros_like(v)
    for t in range(1, v.shape[0]):
        out[t] = eta * out[t - 1] + eta * v[t - 1]
    return out


@right(NAME)
def by_fourier_transform(v, eta):
    n = len(v)
    powers = torch.as_tensor(np.r_[0.0, eta ** np.arange(1.0, n)])
    both = torch.fft.rfft(v, 2 * n, dim=0) * torch.fft.rfft(powers, 2 * n)[:, None]
    return torch.fft.irfft(both, 2 * n, dim=0)[:n]


def run(v, keep, move):
    m, sums = torch.zeros_like(v[0]), []
    for value in v:
        sums.append(keep(m, value))
        m = move(m, value)
    return torch.stack(sums)


@wrong(NAME, "Its own value is in the sum")
def the_buffer_of_before(v, eta):
    u, out = torch.zeros_like(v[0]), []
    for value in v:
        u = value + eta * u
        out.append(u)
    return torch.stack(out)


@wrong(NAME, "first keep the sum, then take the value")
def kept_after_the_update(v, eta):
    m, sums = torch.zeros_like(v[0]), []
    for value in v:
        m = eta * (m + value)
        sums.append(m)
    return torch.stack(sums)


@wrong(NAME, "one too low")
def the_last_buffer(v, eta):
    return run(v, lambda m, value: m, lambda m, value: value + eta * m)


@wrong(NAME, "one too high")
def faded_once_more(v, eta):
    return run(v, lambda m, value: eta * m, lambda m, value: eta * (m + value))


@wrong(NAME, "weighed with 1 − η")
def moving_average(v, eta):
    return run(v, lambda m, value: eta * m, lambda m, value: eta * m + (1 - eta) * value)


@wrong(NAME, "divided by its weights' sum")
def moving_average_corrected(v, eta):
    m, weight, out = torch.zeros_like(v[0]), 0.0, []
    for value in v:
        out.append(m / weight if weight else m)
        m, weight = eta * (m + value), eta * (weight + 1)
    return torch.stack(out)


@wrong(NAME, "ages are the wrong way round")
def oldest_weighs_most(v, eta):
    powers = torch.tensor([eta ** (i + 1) for i in range(len(v))], dtype=v.dtype)[:, None]
    return torch.cat([torch.zeros_like(v[:1]), (powers * v).cumsum(0)[:-1]])


@wrong(NAME, "count from the first token")
def powers_by_position(v, eta):
    fade, m, out = 1.0, torch.zeros_like(v[0]), []
    for value in v:
        out.append(m)
        m, fade = m + fade * value, fade * eta
    return torch.stack(out)


@wrong(NAME, "Nothing fades")
def plain_sums(v, eta):
    return torch.cat([v.new_zeros(1, v.shape[1]), v.cumsum(0)])[:-1]


@wrong(NAME, "Only the value just before")
def one_token_back(v, eta):
    return run(v, lambda m, value: m, lambda m, value: eta * value)


@wrong(NAME, "The sum has no mask")
def fades_both_ways(v, eta):
    n = len(v)
    table = [[eta ** abs(t - i) if t != i else 0.0 for i in range(n)] for t in range(n)]
    return torch.tensor(table, dtype=v.dtype) @ v


@wrong(NAME, "Time runs backwards")
def from_the_end(v, eta):
    return run(v.flip(0), lambda m, value: m, lambda m, value: eta * (m + value)).flip(0)


@wrong(NAME, "times the work")
def the_table_again(v, eta):
    t = torch.arange(len(v), dtype=v.dtype)
    ages = t[:, None] - t
    return torch.where(ages > 0, eta ** ages.clamp(min=0), 0.0) @ v


@wrong(NAME, "times the work")
def a_table_of_numbers(v, eta):
    n = len(v)
    return torch.tensor([[eta ** (t - i) if i < t else 0.0 for i in range(n)] for t in range(n)], dtype=v.dtype) @ v


@wrong(NAME, "times the work")
def looks_back_at_every_token(v, eta):
    out = []
    for t in range(len(v)):
        fades = torch.tensor([eta ** (t - i) for i in range(t)], dtype=v.dtype)
        out.append(fades @ v[:t])
    return torch.stack(out)


@wrong(NAME, "times the work")
def every_pair_by_itself(v, eta):
    out = torch.zeros_like(v)
    for t in range(len(v)):
        for i in range(t):
            out[t] += eta ** (t - i) * v[i]
    return out


@wrong(NAME, "With η = 0 (")
def divides_by_powers(v, eta):
    powers = eta ** torch.arange(len(v), dtype=v.dtype)[:, None]
    return powers * (v / powers).cumsum(0) - v


@wrong(NAME, "a division by η^t overflows")
def divides_by_powers_unless_there_are_none(v, eta):
    return divides_by_powers(v, eta) if eta else torch.zeros_like(v)


@wrong(NAME, "is float32")
def powers_of_whole_numbers(v, eta):
    powers = (eta ** torch.arange(len(v))).to(v.dtype)[:, None]
    return powers * (v / powers).cumsum(0) - v


@wrong(NAME, "every sum is 0; this is not")
def the_first_finds_itself(v, eta):
    """Right, but for a prompt of one token."""
    return run(v, lambda m, value: m, lambda m, value: eta * (m + value)) if len(v) > 1 else eta * v


@wrong(NAME, "Only the last sum")
def the_last_alone(v, eta):
    return run(v, lambda m, value: m, lambda m, value: eta * (m + value))[-1]


@wrong(NAME, "calls `momentum_gradients`")
def the_courses_buffer(v, eta):
    from helpers.attention import momentum_gradients

    return momentum_gradients(v, eta) - v


@wrong(NAME, "calls `momentum_scan`")
def the_courses_own(v, eta):
    from helpers.attention import momentum_scan

    return momentum_scan(v, eta)
