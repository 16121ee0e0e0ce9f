"""Three programs, one output; batches, gradients, no tokens at all; and one sentence for what doesn't fit."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close

from helpers import attention


def draw(*batch, n=7, d=3, m=2, dtype=torch.float64, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(*batch, n, width, generator=rng, dtype=torch.float64).to(dtype) for width in (d, d, m)]


LINEAR = {
    "parallel": attention.linear_attention,
    "recurrent": lambda q, k, v: attention.recurrent_linear_attention(q, k, v)[0],
    "chunked": lambda q, k, v: attention.chunked_linear_attention(q, k, v, 4),
}
EVERY = LINEAR | {"softmax": attention.softmax_attention, "normalised": attention.normalized_linear_attention}


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("n", [1, 4, 7, 200])
def test_three_programs_one_output(batch, n):
    """(eq. 1.2), (eq. 1.3), (eq. 1.4): against the sum written out."""
    q, k, v = draw(*batch, n=n)
    expected = torch.zeros_like(v)
    for t in range(n):
        for i in range(t + 1):
            expected[..., t, :] += v[..., i, :] * (k[..., i, :] * q[..., t, :]).sum(-1, keepdim=True)
    for program in LINEAR.values():
        assert_close(program(q, k, v), expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 8, 100])
def test_chunks_of_any_length(chunk):
    q, k, v = draw(2)
    assert_close(attention.chunked_linear_attention(q, k, v, chunk), attention.linear_attention(q, k, v))


def test_softmax_attention_is_torchs():
    """(eq. 1.1), (eq. 3.1): against another's."""
    q, k, v = draw(2, 3, n=20)
    assert_close(attention.softmax_attention(q, k, v), scaled_dot_product_attention(q, k, v, is_causal=True))


def test_normalised_by_its_definition():
    """(eq. 1.5): against the sum written out."""
    q, k, v = draw(n=9)
    a, b = (torch.where(x > 0, x + 1, x.exp()) for x in (q, k))
    for t in range(9):
        weights = b[: t + 1] @ a[t]
        expected = (weights[:, None] * v[: t + 1]).sum(0) / weights.sum()
        assert_close(attention.normalized_linear_attention(q, k, v, 4)[t], expected)


@pytest.mark.parametrize("name", EVERY)
def test_each_batch_and_head_is_its_own(name):
    q, k, v = draw(2, 3)
    out = EVERY[name](q, k, v)
    assert_close(out[1, 2], EVERY[name](q[1, 2], k[1, 2], v[1, 2]))


@pytest.mark.parametrize("name", EVERY)
def test_gradients(name):
    assert torch.autograd.gradcheck(EVERY[name], [x.requires_grad_() for x in draw(2, n=5)])


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_no_tokens_give_no_outputs(name, batch):
    assert EVERY[name](*draw(*batch, n=0)).shape == (*batch, 0, 2)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_lower_precision_stays_near(name, dtype, close):
    exact, out = EVERY[name](*draw(n=50)), EVERY[name](*draw(n=50, dtype=dtype))
    assert out.dtype == dtype
    assert (out.double() - exact).norm() / exact.norm() < close


def test_a_state_is_all_there_is_to_remember():
    q, k, v = draw(2, n=9)
    whole, state = attention.recurrent_linear_attention(q, k, v)
    _, half = attention.recurrent_linear_attention(q[:, :4], k[:, :4], v[:, :4])
    rest, end = attention.recurrent_linear_attention(q[:, 4:], k[:, 4:], v[:, 4:], half)
    assert_close(rest, whole[:, 4:])
    assert_close(end, state)
    assert_close(state, v.mT @ k)


Q, K, V = draw()


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((Q, K[:5], V), ValueError, r"k has shape \[5, 3\], which doesn't fit q of shape \[7, 3\]: .* \[\*batch n d\]"),
        ((Q, K[:, :2], V), ValueError, r"k has shape \[7, 2\], which doesn't fit q of shape \[7, 3\]"),
        ((Q, K, V[:4]), ValueError, r"v has shape \[4, 2\], which doesn't fit q of shape \[7, 3\]"),
        ((Q[None], K, V), ValueError, r"k has shape \[7, 3\], which doesn't fit q of shape \[1, 7, 3\]"),
        ((Q[0], K, V), ValueError, r"q has shape \[3\]; it must be \[\*batch n d\]"),
        ((Q, K.long(), V), TypeError, r"k holds torch.int64; floating-point numbers are needed: k.float\(\)"),
        ((Q, K.float(), V), TypeError, "k is torch.float32 but q is torch.float64: use one dtype"),
        ((Q, K, V.to("meta")), TypeError, "v is meta but q is cpu: use one device"),
        ((Q, None, V), TypeError, "k must be a torch tensor, not NoneType"),
        ((Q, K, V.numpy()), TypeError, "v must be a torch tensor, not ndarray"),
    ],
)
@pytest.mark.parametrize("name", [name for name in vars(attention) if name.endswith("_attention")])
def test_what_does_not_fit_is_one_sentence(name, arguments, error, said):
    with pytest.raises(error, match=f"^{name}: {said}") as caught:
        getattr(attention, name)(*arguments)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("chunk", [0, -1, 2.5, None, True])
def test_a_chunk_has_at_least_one_token(chunk):
    with pytest.raises(
        ValueError, match=rf"chunked_linear_attention: chunk = {chunk} must be a whole number, at least 1\."
    ):
        attention.chunked_linear_attention(Q, K, V, chunk)


def test_a_state_that_does_not_fit():
    with pytest.raises(ValueError, match=r"state has shape \[3, 2\], which doesn't fit q of shape \[7, 3\]"):
        attention.recurrent_linear_attention(Q, K, V, torch.zeros(3, 2).double())


def test_phi_stays_positive_where_elu_plus_one_is_rounded_to_zero():
    q = torch.full((2, 4), -18.0)
    assert_close(attention.normalized_linear_attention(q, q, torch.ones(2, 1)), torch.ones(2, 1))


@pytest.mark.parametrize(("q_level", "k_level"), [(-60, -60), (-200, -60), (-60, -200), (-1000, 0), (0, -1000)])
def test_the_normalised_form_is_a_mean_where_float32_has_no_smaller_numbers(q_level, k_level):
    q, k, v = draw(2, dtype=torch.float32)
    out = attention.normalized_linear_attention(q + q_level, k + k_level, v, 3)
    assert out.isfinite().all()
    assert (out >= v.cummin(1).values - 1e-5).all()
    assert (out <= v.cummax(1).values + 1e-5).all()
    if q_level == k_level:  # within what float32 can write, it is still the same mean
        exact = attention.normalized_linear_attention(*(x.double() for x in (q + q_level, k + k_level, v)))
        assert_close(out, exact.float(), rtol=1e-3, atol=1e-3)
