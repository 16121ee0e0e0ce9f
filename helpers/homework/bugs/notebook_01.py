"""Wrong attention: a mask, a state, a sum and a mean that are right for a while."""

from helpers.homework.bugs import bug

BUGS = (
    bug(
        "short sight",
        "A token sees itself and the 63 before it; in attention it sees all that came before, however long ago. "
        "More than 64 tokens show it.",
        """
        def softmax_attention(q, k, v):
            t = torch.arange(len(q))
            age = t[:, None] - t
            seen = (age >= 0) & (age < 64)
            scores = q @ k.T / q.shape[-1] ** 0.5
            return scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v
        """,
    ),
    bug(
        "large but finite",
        "The mask is −100,000 and not −∞: where all allowed scores are below that, later tokens get the weight. "
        "Queries and keys with k·q far below −100,000 show it.",
        """
        def softmax_attention(q, k, v):
            scores = q @ k.T / q.shape[-1] ** 0.5
            later = torch.ones_like(scores).triu(1).bool()
            weights = scores.masked_fill(later, -1e5).softmax(-1)
            return weights @ v
        """,
    ),
    bug(
        "dictionary",
        "Tokens with equal keys become one entry, the last value: attention is no dictionary, each token has its own "
        "weight. Two equal keys with different values show it.",
        """
        def softmax_attention(q, k, v):
            outputs = []
            for t in range(len(q)):
                pairs = zip(k[: t + 1].tolist(), v[: t + 1], strict=True)
                read = {tuple(key): value for key, value in pairs}
                keys, values = k.new_tensor(list(read)), torch.stack(list(read.values()))
                weights = (keys @ q[t] / len(q[t]) ** 0.5).softmax(0)
                outputs.append(weights @ values)
            return torch.stack(outputs)
        """,
    ),
    bug(
        "noise floor",
        "Scores below 1e-12 are taken for 0; but the output is linear in q, so with q a trillionth as long it must be "
        "a trillionth, not nothing. Very small queries show it.",
        """
        def linear_attention(q, k, v):
            scores = (q @ k.T).tril()
            weights = torch.where(scores.abs() > 1e-12, scores, 0.0)
            return weights @ v
        """,
    ),
    bug(
        "bounded scores",
        "Scores are held between −1,000 and 1,000: there is no such limit, raw comparisons grow with the length of "
        "queries and keys. Long ones show it.",
        """
        def linear_attention(q, k, v):
            n = len(q)
            scores = (q @ k.T).clamp(-1e3, 1e3)
            mask = torch.ones(n, n, dtype=q.dtype).tril()
            return (scores * mask) @ v
        """,
    ),
    bug(
        "tired state",
        "From the ninth token on the state fades by a tenth a token: the state of linear attention is a plain sum and "
        "forgets nothing. Nine tokens show it.",
        """
        def recurrent_linear_attention(q, k, v):
            state, outputs = q.new_zeros(v.shape[1], q.shape[1]), []
            for q_t, k_t, v_t in zip(q, k, v, strict=True):
                keep = 1.0 if len(outputs) < 8 else 0.9
                state = keep * state + torch.outer(v_t, k_t)
                outputs.append(state @ q_t)
            return torch.stack(outputs), state
        """,
    ),
    bug(
        "bounded state",
        "The state is scaled down to length 100 where it is longer: a sum has no largest size, and what was read "
        "before would be weakened. Long values or keys, or very many tokens, show it.",
        """
        def recurrent_linear_attention(q, k, v):
            state, outputs = q.new_zeros(v.shape[1], q.shape[1]), []
            for t in range(len(q)):
                state = state + torch.outer(v[t], k[t])
                state = state * (100 / state.norm()).clamp(max=1)
                outputs.append(state @ q[t])
            return torch.stack(outputs), state
        """,
    ),
    bug(
        "overwriting",
        "A key that comes twice in a row replaces the value stored under it: linear attention adds, both values count "
        "(replacing is the delta rule). Two neighbours with the same key show it.",
        """
        def recurrent_linear_attention(q, k, v):
            state, outputs = q.new_zeros(v.shape[1], q.shape[1]), []
            for t in range(len(q)):
                if t and torch.equal(k[t], k[t - 1]):
                    state = state - torch.outer(v[t - 1], k[t - 1])
                state = state + torch.outer(v[t], k[t])
                outputs.append(state @ q[t])
            return torch.stack(outputs), state
        """,
    ),
    bug(
        "eight chunks",
        "Only the last eight chunks are in the state that a chunk reads: it must hold all chunks before. More than "
        "eight chunks before one, e.g. ten tokens in chunks of one, show it.",
        """
        def chunked_linear_attention(q, k, v, chunk):
            written, outputs = [q.new_zeros(v.shape[1], q.shape[1])], []
            for start in range(0, len(q), chunk):
                q_c, k_c, v_c = (x[start : start + chunk] for x in (q, k, v))
                state = sum(written[-8:])
                outputs.append(q_c @ state.T + torch.tril(q_c @ k_c.T) @ v_c)
                written.append(v_c.T @ k_c)
            return torch.cat(outputs)
        """,
    ),
    bug(
        "said already",
        "A chunk with the same keys as the one before is not written into the state: its values are lost for all that "
        "come later. Two such chunks and a third show it.",
        """
        def chunked_linear_attention(q, k, v, chunk):
            state, outputs, before = q.new_zeros(v.shape[1], q.shape[1]), [], None
            for q_c, k_c, v_c in zip(q.split(chunk), k.split(chunk), v.split(chunk), strict=True):
                outputs.append(q_c @ state.T + torch.tril(q_c @ k_c.T) @ v_c)
                if before is None or not torch.equal(k_c, before):
                    state = state + v_c.T @ k_c
                before = k_c
            return torch.cat(outputs)
        """,
    ),
    bug(
        "safe division",
        "1e-12 is added to the sum of the weights, against a division by zero. But φ(q) cancels however small it is: "
        "with queries around −30 all weights are that small, and no longer sum to one.",
        """
        def normalized_linear_attention(q, k, v):
            q, k = (torch.where(x > 0, x + 1, x.exp()) for x in (q, k))
            weights = torch.tril(q @ k.T)
            return weights @ v / (weights.sum(-1, keepdim=True) + 1e-12)
        """,
    ),
    bug(
        "bounded sum",
        "The running sum of keys below the line stops at 100, that of values times keys above it goes on: the weights "
        "sum to more than one. Large keys or many tokens show it.",
        """
        def normalized_linear_attention(q, k, v):
            q, k = (torch.where(x > 0, x + 1, x.exp()) for x in (q, k))
            above = torch.tril(q @ k.T) @ v
            total = k.cumsum(0).clamp(max=100)
            return above / (q * total).sum(-1, keepdim=True)
        """,
    ),
)
