"""Momentum attention: its forms agree, η = 0 is plain attention, long sequences stay exact, and descent is descent."""

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close

from helpers import attention

PER_HEAD = torch.tensor([0.0, 0.5, 0.999], dtype=torch.float64)


def draw(*batch, n=7, d=3, m=2, dtype=torch.float64, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(*batch, n, width, generator=rng, dtype=torch.float64).to(dtype) for width in (d, d, m)]


def by_definition(v, eta):
    """Σ_{i<t} η^{t−i} v_i as one table of powers, in float64."""
    ages = torch.arange(v.shape[-2])[:, None] - torch.arange(v.shape[-2])
    eta = torch.as_tensor(eta, dtype=torch.float64)[..., None, None]
    return torch.where(ages > 0, eta ** ages.clamp(min=1), 0) @ v.double()


def exactly(v, eta):
    """The same, token by token in float64: for sequences too long for a table."""
    state, out = np.zeros_like(v[..., 0, :].double().numpy()), np.empty(v.shape)
    for t, v_t in enumerate(v.double().unbind(-2)):
        out[..., t, :] = state
        state = eta * (state + v_t.numpy())
    return torch.from_numpy(out)


def token_by_token(q, k, v, eta):
    """(eq. 6.5) as it is written: U_t = v_t ⊗ k_t + η U_{t−1}, S_t = S_{t−1} + U_t, o_t = S_t q_t."""
    outputs, weights, change = [], 0.0, 0.0
    for q_t, k_t, v_t in zip(*(x.unbind(-2) for x in (q, k, v)), strict=True):
        change = v_t[..., :, None] * k_t[..., None, :] + eta[..., None, None] * change
        weights = weights + change
        outputs.append((weights @ q_t[..., None])[..., 0])
    return torch.stack(outputs, -2)


@pytest.mark.parametrize("eta", [0.0, 0.3, 0.999, PER_HEAD], ids=str)
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 200])
def test_the_scan_is_its_definition(n, eta):
    """(eq. 6.3): written out."""
    _, _, v = draw(2, 3, n=n)
    assert_close(attention.momentum_scan(v, eta), by_definition(v, eta), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [2, 3, 7, 8, 100])
def test_chunks_of_any_length(chunk):
    q, k, v = draw(2, 3, n=61)
    assert_close(attention.momentum_scan(v, PER_HEAD, chunk), by_definition(v, PER_HEAD))
    out = token_by_token(q, k, v, PER_HEAD)
    assert_close(attention.momentum_linear_attention(q, k, v, PER_HEAD, chunk), out)


def test_the_buffer_is_the_one_that_torchs_sgd_keeps():
    """(eq. 6.1): against another's."""
    gradients = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([weights], lr=1.0, momentum=0.7)
    kept = []
    for gradient in gradients:
        weights.grad = gradient.clone()
        sgd.step()
        kept.append(sgd.state[weights]["momentum_buffer"].clone())
    assert_close(attention.momentum_gradients(gradients, 0.7), torch.stack(kept), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("eta", [0.5, PER_HEAD], ids=str)
def test_momentum_attention_is_softmax_attention_and_the_scan(eta):
    """(eq. 6.2): against (eq. 1.1) and (eq. 6.3)."""
    q, k, v = draw(2, 3, n=90, d=4, m=4)
    expected = attention.softmax_attention(q, k, v) + by_definition(v, eta)
    assert_close(attention.momentum_attention(q, k, v, eta), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("zero", [0, 0.0, torch.zeros(3), torch.zeros((), requires_grad=True)], ids=str)
def test_without_momentum_it_is_plain_attention_bit_for_bit(dtype, zero):
    q, k, v = draw(2, 3, n=150, d=8, m=8, dtype=dtype)
    plain = scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.equal(attention.momentum_attention(q, k, v, zero), plain)
    linear = attention.chunked_linear_attention(q.float(), k.float(), v.float())
    assert torch.equal(attention.momentum_linear_attention(q.float(), k.float(), v.float(), zero), linear)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_long_sequences_and_strong_momentum(dtype, close, shift):
    """16,384 tokens, η = .999, values around 0 and around 1 (whose sum is 999)."""
    v = draw(1, 2, n=16_384, m=4)[2].to(dtype) + shift
    exact, out = exactly(v, 0.999), attention.momentum_scan(v, 0.999)
    assert out.dtype == dtype
    assert (out.double() - exact).norm() / exact.norm() < close
    assert (out.double() - exact).abs().max() / exact.abs().max() < close


def functions(eta):
    q, k, v = (x.requires_grad_() for x in draw(2, 3, n=6))
    eta = eta.clone().requires_grad_()
    return {
        "gradients": (lambda v, eta: attention.momentum_gradients(v, eta, 4), (v, eta)),
        "scan": (lambda v, eta: attention.momentum_scan(v, eta, 4), (v, eta)),
        "softmax": (attention.momentum_attention, (q, k, v, eta)),
        "linear": (lambda *x: attention.momentum_linear_attention(*x, 4), (q, k, v, eta)),
    }


@pytest.mark.parametrize("name", functions(PER_HEAD))
@pytest.mark.parametrize("eta", [torch.tensor(0.4, dtype=torch.float64), torch.tensor([0.01, 0.5, 0.9]).double()])
def test_gradients(name, eta):
    function, arguments = functions(eta)[name]
    assert torch.autograd.gradcheck(function, arguments)


@pytest.mark.parametrize("name", functions(PER_HEAD))
def test_the_gradient_at_eta_zero_is_there(name):
    """It is the step to a small η, and not 0: η can be learned from nothing."""
    function, (*arguments, eta) = functions(torch.zeros(3).double())[name]
    out = function(*arguments, eta)
    g = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    gradient = torch.autograd.grad((out * g).sum(), eta)[0]
    with torch.no_grad():
        moved = [(function(*arguments, torch.full((3,), step).double()) - out) * g for step in (1e-5, 2e-5)]
        slope = (4 * moved[0] - moved[1]).sum((0, 2, 3)) / 2e-5  # second order: one-sided, since η < 0 is refused
    assert_close(gradient, slope, rtol=1e-6, atol=1e-6)
    assert gradient.abs().min() > 1e-3


@pytest.mark.parametrize("eta", [0.0, 0.6, 0.95])
def test_momentum_linear_attention_is_gradient_descent_with_momentum(eta):
    """(eq. 6.5): on ℓ_t(S) = −v_tᵀ S k_t, one token a step, rate 1, from S = 0, by torch's optimiser and autograd."""
    q, k, v = draw(n=40, d=5, m=3)
    weights = torch.zeros(3, 5, dtype=torch.float64, requires_grad=True)
    sgd, outputs = torch.optim.SGD([weights], lr=1.0, momentum=eta), []
    for q_t, k_t, v_t in zip(q, k, v, strict=True):
        sgd.zero_grad()
        (-v_t @ weights @ k_t).backward()
        sgd.step()
        outputs.append((weights @ q_t).detach())
    assert_close(attention.momentum_linear_attention(q, k, v, eta, 16), torch.stack(outputs), rtol=1e-12, atol=1e-11)


def test_exact_momentum_favours_the_old_and_moattn_the_recent():
    """Weights by age: (1 − η^{a+1}) / (1 − η) on (k·q) v, and η^a on v alone."""
    n, eta = 12, 0.8
    ones, values = torch.ones(n, 1).double(), torch.eye(n).double()
    exact = attention.momentum_linear_attention(ones, ones, values, eta)[-1].flip(0)
    ages = torch.arange(n).double()
    assert_close(exact, (1 - eta ** (ages + 1)) / (1 - eta))
    recent = attention.momentum_scan(values, eta)[-1].flip(0)
    assert_close(recent[1:], eta ** ages[1:])
    assert (exact.diff() > 0).all()
    assert (recent[1:].diff() < 0).all()


@pytest.mark.parametrize("name", functions(PER_HEAD))
@pytest.mark.parametrize("batch", [(3,), (2, 3)])
def test_no_tokens_give_no_outputs(name, batch):
    function, arguments = functions(PER_HEAD)[name]
    *tensors, eta = arguments
    empty = [x.new_zeros(*batch, 0, x.shape[-1]) for x in tensors]
    assert function(*empty, eta).shape == (*batch, 0, 2)


@pytest.mark.parametrize("name", functions(PER_HEAD))
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_lower_precision_stays_near(name, dtype, close):
    function, (*tensors, eta) = functions(PER_HEAD)[name]
    lower = [x.to(dtype) for x in tensors]
    out, exact = function(*lower, eta), function(*(x.double() for x in lower), eta)
    assert out.dtype == dtype
    assert (out.double() - exact).norm() / exact.norm() < close


Q, K, V = draw(2, 3)
WHY = r"must be in \[0, 1\): at 1 nothing is ever forgotten"


@pytest.mark.parametrize(
    ("eta", "said"),
    [
        (1, rf"eta = 1 {WHY}"),
        (1.0, rf"eta = 1.0 {WHY}"),
        (-0.1, rf"eta = -0.1 {WHY}"),
        (float("nan"), rf"eta = nan {WHY}"),
        (torch.tensor(1.5), rf"eta = 1.5 {WHY}"),
        (torch.tensor([0.0, 0.5, 1.0]), rf"eta = 0 … 1 {WHY}"),
        (torch.tensor([0.5, float("nan"), 0.1]), rf"eta = nan … nan {WHY}"),
        (torch.tensor([-0.5, 0.2, 0.5], requires_grad=True), rf"eta = -0.5 … 0.5 {WHY}"),
        ("0.5", rf"eta = '0.5' {WHY}"),
        (None, rf"eta = None {WHY}"),
        (True, rf"eta = True {WHY}"),
        (torch.zeros(4), r"eta has shape \[4\]; it must broadcast over the \[2, 3\] before tokens and width"),
        (torch.zeros(3, 1, 1), r"eta has shape \[3, 1, 1\]; it must broadcast over the \[2, 3\] before"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("momentum_gradients", (V,)),
        ("momentum_scan", (V,)),
        ("momentum_attention", (Q, K, V)),
        ("momentum_linear_attention", (Q, K, V)),
    ],
)
def test_an_eta_outside_its_range_is_told_why(name, arguments, eta, said):
    with pytest.raises(ValueError, match=said) as caught:
        getattr(attention, name)(*arguments, eta)
    assert len(str(caught.value).splitlines()) == 1


def test_numbers_of_numpy_are_numbers():
    assert torch.equal(attention.momentum_scan(V, np.float32(0.5)), attention.momentum_scan(V, 0.5))
