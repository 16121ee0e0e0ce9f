import torch

from . import right, wrong

NAME = "delta_rule"


def read(q, k, v, change):
    """Read after each token has changed the state."""
    state, rows = torch.zeros(v.shape[1], k.shape[1], dtype=v.dtype), []
    for t in range(len(q)):
        state = change(state, q[t], k[t], v[t])
        rows.append(state @ q[t])
    return torch.stack(rows)


@right(NAME)
def token_by_token(q, k, v, lr):
    return read(q, k, v, lambda s, _, k, v: s + lr * torch.outer(v - s @ k, k))


@right(NAME)
def forget_then_write(q, k, v, lr):
    """S (I − lr k kᵀ) + lr v kᵀ: first the key's direction is partly erased."""
    unit = torch.eye(k.shape[1], dtype=k.dtype)
    return read(q, k, v, lambda s, _, k, v: s @ (unit - lr * torch.outer(k, k)) + lr * torch.outer(v, k))


@right(NAME)
def autograd(q, k, v, lr):
    def step(state, _, k, v):
        state = state.clone().requires_grad_()
        loss = 0.5 * (state @ k - v).square().sum()
        return (state - lr * torch.autograd.grad(loss, state)[0]).detach()

    return read(q, k, v, step)


@right(NAME)
def with_the_exercise_of_notebook_02(q, k, v, lr):
    from helpers.dual import gradient_step

    return read(q, k, v, lambda s, _, k, v: gradient_step(s, k[None], v[None], lr)[1])


@right(NAME)
def errors_from_a_triangle(q, k, v, lr):
    """All errors at once, from the system (I + lr · strictly lower K Kᵀ) e = lr v; then linear attention over them."""
    system = torch.eye(len(k), dtype=k.dtype) + lr * torch.tril(k @ k.T, -1)
    return torch.tril(q @ k.T) @ torch.linalg.solve(system, lr * v)


@wrong(NAME, "The value is written whatever S says")
def values_at_a_rate(q, k, v, lr):
    return torch.tril(q @ k.T) @ (lr * v)


@wrong(NAME, "This is linear attention")
def linear_attention(q, k, v, lr):
    return torch.einsum("ti,im->tm", torch.tril(q @ k.T), v)


@wrong(NAME, "learning rate is missing")
def rate_one(q, k, v, lr):
    return read(q, k, v, lambda s, _, k, v: s + torch.outer(v - s @ k, k))


@wrong(NAME, "not before the value alone")
def rate_on_the_value(q, k, v, lr):
    return read(q, k, v, lambda s, _, k, v: s + torch.outer(lr * v - s @ k, k))


@wrong(NAME, "not before S k_t alone")
def rate_on_the_answer(q, k, v, lr):
    return read(q, k, v, lambda s, _, k, v: s + torch.outer(v - lr * (s @ k), k))


@wrong(NAME, "The sign")
def uphill(q, k, v, lr):
    return read(q, k, v, lambda s, _, k, v: s - lr * torch.outer(v - s @ k, k))


@wrong(NAME, "Added, not subtracted")
def added(q, k, v, lr):
    return read(q, k, v, lambda s, _, k, v: s + lr * torch.outer(v + s @ k, k))


@wrong(NAME, "asks S with the query")
def asks_with_the_query(q, k, v, lr):
    return read(q, k, v, lambda s, q, k, v: s + lr * torch.outer(v - s @ q, k))


@wrong(NAME, "A 2 too many")
def without_the_half(q, k, v, lr):
    return read(q, k, v, lambda s, _, k, v: s + 2 * lr * torch.outer(v - s @ k, k))


@wrong(NAME, "Divided by ‖k‖²")
def normalised(q, k, v, lr):
    return read(q, k, v, lambda s, _, k, v: s + lr * torch.outer(v - s @ k, k) / k.square().sum())


@wrong(NAME, "reads before it has written")
def reads_first(q, k, v, lr):
    state, rows = torch.zeros(v.shape[1], k.shape[1], dtype=v.dtype), []
    for q_t, k_t, v_t in zip(q, k, v, strict=True):
        rows.append(state @ q_t)
        state = state + lr * torch.outer(v_t - state @ k_t, k_t)
    return torch.stack(rows)


@wrong(NAME, "Every token reads the last state")
def reads_last(q, k, v, lr):
    state = torch.zeros(v.shape[1], k.shape[1], dtype=v.dtype)
    for k_t, v_t in zip(k, v, strict=True):
        state = state + lr * torch.outer(v_t - state @ k_t, k_t)
    return q @ state.T


@wrong(NAME, "read with the keys")
def reads_with_keys(q, k, v, lr):
    return read(k, k, v, lambda s, _, k, v: s + lr * torch.outer(v - s @ k, k))


@wrong(NAME, "This is the state")
def returns_the_state(q, k, v, lr):
    state = torch.zeros(v.shape[1], k.shape[1], dtype=v.dtype)
    for k_t, v_t in zip(k, v, strict=True):
        state = state + lr * torch.outer(v_t - state @ k_t, k_t)
    return state


@wrong(NAME, "calls `delta_rule`")
def the_courses_own(q, k, v, lr):
    from helpers import dual

    return dual.delta_rule(q, k, v, lr)
