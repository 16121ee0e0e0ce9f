"""Wrong momentum: what it remembers, for how long, and what goes on when nothing comes."""

from helpers.homework.bugs import bug

BUGS = (
    bug(
        "fresh start",
        "A gradient of zeros empties the buffer: without a new gradient momentum goes on with η times the old. "
        "A row of zeros after another gradient shows it.",
        """
        def momentum_gradients(gradients, eta):
            u, buffers = torch.zeros_like(gradients[0]), []
            for g in gradients:
                u = g + eta * u if g.any() else torch.zeros_like(u)
                buffers.append(u)
            return torch.stack(buffers)
        """,
    ),
    bug(
        "nothing new",
        "A gradient equal to the one before is not taken in: equal gradients are just those that add up, to 1/(1 − η) "
        "times as much. Two equal rows in turn show it.",
        """
        def momentum_gradients(gradients, eta):
            u = gradients[0]
            buffers = [u]
            for before, g in zip(gradients, gradients[1:]):
                u = u if torch.equal(g, before) else g + eta * u
                buffers.append(u)
            return torch.stack(buffers)
        """,
    ),
    bug(
        "short memory",
        "Gradients older than 31 steps are gone: they fade by η a step and never end; with η = 0.99 most of a "
        "long sum is older. More than 32 steps and a large η show it.",
        """
        def momentum_gradients(gradients, eta):
            buffers = gradients
            for age in range(1, min(len(gradients), 32)):
                older = torch.zeros_like(gradients)
                older[age:] = eta**age * gradients[:-age]
                buffers = buffers + older
            return buffers
        """,
    ),
    bug(
        "powers apart",
        "η^(t−i) is made as η^t · η^(−i): for many tokens or a small η one is 0 and the other infinite, and together "
        "they are no number. 200 tokens with η = 0.01 show it.",
        """
        def momentum_attention(q, k, v, eta):
            n, d = q.shape
            t = torch.arange(n, dtype=v.dtype)
            scores = (q @ k.T / d**0.5).masked_fill(t > t[:, None], float("-inf"))
            plain = scores.softmax(-1) @ v
            if eta == 0:
                return plain
            powers = (eta ** t[:, None] * eta**-t).tril(-1)
            return plain + powers @ v
        """,
    ),
    bug(
        "bounded weights",
        "The weights of the momentum may sum to 9.5 at most: nothing is normalised there, with η = 0.99 they may sum "
        "to 99. A dozen tokens with a large η show it.",
        """
        def momentum_attention(q, k, v, eta):
            t = torch.arange(len(v), dtype=v.dtype)
            age = t[:, None] - t
            scores = q @ k.T / q.shape[1] ** 0.5
            plain = scores.masked_fill(age < 0, float("-inf")).softmax(-1) @ v
            powers = torch.where(age > 0, eta ** age.clamp(min=1), 0.0)
            too_much = (powers.sum(-1, keepdim=True) / 9.5).clamp(min=1)
            return plain + powers / too_much @ v
        """,
    ),
    bug(
        "told once",
        "A value equal to the one before adds nothing to the momentum: every token adds its value, whatever it is. "
        "Two equal values in turn, and a third token, show it.",
        """
        def momentum_attention(q, k, v, eta):
            later = torch.ones(len(q), len(q)).triu(1).bool()
            scores = (q @ k.T / q.shape[1] ** 0.5).masked_fill(later, float("-inf"))
            new = torch.ones(len(v), 1, dtype=torch.bool)
            new[1:, 0] = (v[1:] != v[:-1]).any(1)
            m, sums = torch.zeros_like(v[0]), []
            for value in v * new:
                sums.append(m)
                m = eta * (m + value)
            return scores.softmax(-1) @ v + torch.stack(sums)
        """,
    ),
    bug(
        "time stands still",
        "At a token whose value is 0 the sum does not fade: ages count tokens, empty ones too. A value of zeros "
        "between others shows it.",
        """
        def momentum_scan(v, eta):
            m, sums = torch.zeros_like(v[0]), []
            for value in v:
                sums.append(m)
                if value.any():
                    m = eta * (m + value)
            return torch.stack(sums)
        """,
    ),
    bug(
        "flushed",
        "A sum below 1e-9 is set to 0: the sum is linear in the values, with values of 1e-12 it is of that size and "
        "all there is. Very small values show it.",
        """
        def momentum_scan(v, eta):
            m, sums = torch.zeros_like(v[0]), []
            for value in v:
                m = torch.where(m.abs() < 1e-9, 0.0, m)
                sums.append(m)
                m = eta * (m + value)
            return torch.stack(sums)
        """,
    ),
    bug(
        "there already",
        "It stops where the gradient is 0: momentum carries w on, past the lowest place. One example that the first "
        "step fits exactly (x = 1, y = 1, lr = 1), β above 0 and two layers show it.",
        """
        def heavy_ball_layers(inputs, targets, x, lr, beta, layers):
            w = before = torch.zeros_like(x)
            for _ in range(layers):
                step = lr * (targets - inputs @ w) @ inputs
                if not step.any():
                    break
                w, before = w + step + beta * (w - before), w
            return (w @ x).item()
        """,
    ),
    bug(
        "each but once",
        "Examples that are equal count once: the loss is a sum, an example given twice pulls twice as hard. "
        "The same input with the same target twice shows it.",
        """
        def heavy_ball_layers(inputs, targets, x, lr, beta, layers):
            examples = torch.unique(torch.cat([inputs, targets[:, None]], 1), dim=0)
            inputs, targets = examples[:, :-1], examples[:, -1]
            w, velocity = torch.zeros_like(x), torch.zeros_like(x)
            for _ in range(layers):
                velocity = beta * velocity + lr * inputs.T @ (targets - inputs @ w)
                w = w + velocity
            return (w @ x).item()
        """,
    ),
)
