"""The one training loop: step after step down a loss, whatever the weights, the optimiser and the schedule are."""

from collections.abc import Callable, Iterator

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm.auto import tqdm


def gradient_steps(
    loss_at: Callable[[int], Tensor],
    steps: int,
    optimizer: Optimizer,
    schedule: LRScheduler,
    before_step: Callable[[], object] = lambda: None,
) -> Iterator[tuple[int, float]]:
    """Each step's number and loss, once it is taken; `before_step` may change the gradients, for example clip them.

    Raises ArithmeticError where the loss is no number any more.
    """
    for step in range(steps):
        loss = loss_at(step)
        if not loss.isfinite():
            lr = optimizer.param_groups[0]["lr"]
            raise ArithmeticError(
                f"After {step} steps the loss is {loss.item()}: the learning rate, now {lr:.3g}, is too high.\n"
                "Start again with a quarter of it."
            )
        optimizer.zero_grad()
        loss.backward()
        before_step()
        optimizer.step()
        schedule.step()
        yield step, loss.item()


def finish(steps: Iterator[tuple[int, float]], total: int, name: str = "training") -> list[float]:
    """Run a training to its end under a progress bar; the losses on the way."""
    losses = []
    with tqdm(steps, total=total, desc=name, unit="step", leave=False) as bar:
        for _, loss in bar:
            losses.append(loss)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
    return losses
