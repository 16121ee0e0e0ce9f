"""Wrong training: examples that are merged, dropped, forgotten or held back."""

from helpers.homework.bugs import bug

BUGS = (
    bug(
        "merged",
        "Examples with the same input are merged, and only one of their errors is kept: a sum over examples counts "
        "each. Two equal inputs with errors show it.",
        """
        def weight_update(errors, inputs):
            kept, place = torch.unique(inputs, dim=0, return_inverse=True)
            its_error = errors.new_zeros(len(kept), errors.shape[1])
            its_error[place] = errors
            return its_error.T @ kept
        """,
    ),
    bug(
        "half right",
        "An example is left out as soon as one of its errors is 0: it may be right in one output and wrong in "
        "another. A row of errors with a 0 and another number shows it.",
        """
        def weight_update(errors, inputs):
            wrong = (errors != 0).all(1)
            errors, inputs = errors[wrong], inputs[wrong]
            return errors.T @ inputs
        """,
    ),
    bug(
        "clipped",
        "An update longer than 100 is scaled down to 100 (gradient clipping): a step of plain descent is the sum, "
        "however large. Large errors or inputs show it.",
        """
        def weight_update(errors, inputs):
            update = torch.einsum("nm,nd->md", errors, inputs)
            length = update.norm()
            return update if length <= 100 else update * (100 / length)
        """,
    ),
    bug(
        "robust",
        "Misses beyond 25 count as 25 (a robust loss): the gradient of a square grows with the miss, without end. "
        "One target far away shows it.",
        """
        def gradient_step(w, inputs, targets, lr):
            misses = targets - inputs @ w.T
            errors = lr * misses.clamp(-25, 25)
            return errors, w + errors.T @ inputs
        """,
    ),
    bug(
        "rate as a share",
        "A rate above 1 is taken for 1: a learning rate is no share, where inputs are short it may well be 10. "
        "Any lr above 1 shows it.",
        """
        def gradient_step(w, inputs, targets, lr):
            rate = min(lr, 1.0)
            errors = rate * (targets - inputs @ w.T)
            new = w + torch.einsum("nm,nd->md", errors, inputs)
            return errors, new
        """,
    ),
    bug(
        "nearest examples",
        "Only the 32 examples with the largest comparisons take part: the dual form sums over all of them, and many "
        "small shares may be more than a few large ones. More than 32 examples show it.",
        """
        def dual_forward(w0, errors, inputs, x):
            scores = inputs @ x
            count = min(32, len(scores))
            nearest = scores.abs().topk(count).indices
            return w0 @ x + errors[nearest].T @ scores[nearest]
        """,
    ),
    bug(
        "recognised",
        "Where x is one of the training inputs, only that example answers: the others' shares e_i (x_i·x) belong "
        "there too, unless they are at right angles. An x that is a row of `inputs`, with others, shows it.",
        """
        def dual_forward(w0, errors, inputs, x):
            known = (inputs == x).all(1)
            if known.any():
                errors, inputs = errors[known], inputs[known]
            return w0 @ x + errors.T @ (inputs @ x)
        """,
    ),
    bug(
        "learned for good",
        "An example whose error is exactly 0 in one step is left out of all later ones: the others move the weights, "
        "and then it has an error again. An example that fits W₀ exactly, one that doesn't and is not at right "
        "angles, and two steps show it.",
        """
        def unrolled_training(w0, inputs, targets, lr, steps):
            errors, w = [], w0
            wrong = torch.ones(len(inputs), 1, dtype=torch.bool)
            for _ in range(steps):
                step = lr * (targets - inputs @ w.T)
                wrong = wrong & (step != 0).any(1, keepdim=True)
                errors.append(step * wrong)
                w = w + errors[-1].T @ inputs
            return torch.cat(errors), inputs.repeat(steps, 1)
        """,
    ),
    bug(
        "slower later",
        "After ten steps the rate is a tenth: here one rate serves all steps. Eleven steps show it.",
        """
        def unrolled_training(w0, inputs, targets, lr, steps):
            errors, w = [], w0
            for step in range(steps):
                rate = lr * 0.1 ** (step // 10)
                errors.append(rate * (targets - inputs @ w.T))
                w = w + errors[-1].T @ inputs
            return torch.cat(errors), torch.cat([inputs] * steps)
        """,
    ),
    bug(
        "no vote on itself",
        "An example whose input is x itself gets no share: it has one like any other, e_i (x·x), often the largest. "
        "An x that is a row of `inputs` shows it.",
        """
        def contributions(errors, inputs, x):
            others = (inputs != x).any(1)
            scores = torch.where(others, inputs @ x, 0.0)
            return errors * scores[:, None]
        """,
    ),
    bug(
        "bounded comparison",
        "Comparisons x_i·x are held between −50 and 50, as if they were cosines of a sort: they grow with the inputs, "
        "and then the shares no longer sum to the change. Long inputs show it.",
        """
        def contributions(errors, inputs, x):
            scores = torch.einsum("nd,d->n", inputs, x)
            scores = scores.clamp(-50, 50)
            return torch.einsum("nm,n->nm", errors, scores)
        """,
    ),
)
