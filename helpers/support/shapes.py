"""Annotations are promises: `checked` turns a broken one into one sentence that names the argument and both shapes."""

import functools
import inspect
from collections.abc import Callable
from numbers import Integral, Real
from typing import Annotated, Any, get_args, get_origin

from annotated_types import DocInfo, Ge, Interval
from jaxtyping import AbstractArray, jaxtyped
from torch import Tensor


def checked(function: Callable) -> Callable:
    """Refuse what breaks a function's annotations: shapes, dtypes, devices, and numbers out of bounds.

    Bounds are `Annotated[int, Ge(1)]` or `Annotated[float, Interval(ge=0, lt=1), doc("why")]`; of a tensor, for all.
    Raises TypeError for what is no tensor or holds no floating-point numbers, ValueError for the rest.
    """
    parameters = inspect.signature(function).parameters
    promised = {name: parameter.annotation for name, parameter in parameters.items()}

    @functools.wraps(function)
    def refusing(*args: object, **kwargs: object) -> Any:  # noqa: ANN401
        given = dict(zip(promised, args, strict=False)) | kwargs
        fault = next(_faults({name: (value, promised.get(name)) for name, value in given.items()}), None)
        if fault is not None:
            raise type(fault)(f"{function.__name__}: {fault}")
        return function(*args, **kwargs)

    return refusing


def _faults(given: dict[str, tuple[object, Any]]) -> Any:  # noqa: ANN401
    """What is wrong with these arguments, each with its annotation, worst first."""
    seen = {}
    for name, (value, annotation) in given.items():
        optional = type(None) in get_args(annotation)
        if optional and value is None:
            continue
        number = next((a for a in (annotation, *get_args(annotation)) if get_origin(a) is Annotated), None)
        if number is not None:
            yield from _number_faults(name, value, *get_args(number))
        shape = next((a for a in (annotation, *get_args(annotation)) if _is_shape(a)), None)
        if shape is not None:
            yield from _tensor_faults(name, value, shape)
            for other, (earlier, its_shape) in seen.items():
                yield from _pair_faults(name, value, shape, other, earlier, its_shape)
            seen[name] = (value, shape)


def _number_faults(name: str, value: object, kind: Any, bounds: Ge | Interval, *reasons: DocInfo) -> Any:  # noqa: ANN401
    fits = isinstance(value, Integral if kind is int else kind) and not isinstance(value, bool)
    if not fits or not _in_bounds(value, bounds):
        limit = getattr(bounds, "lt", None)
        allowed = f"at least {bounds.ge}" if limit is None else f"in [{bounds.ge}, {limit})"
        because = "".join(f": {reason.documentation}" for reason in reasons)
        whole = "a whole number, " * (kind is int)
        yield ValueError(f"{name} = {_number(value)} must be {whole}{allowed}{because}.")


def _in_bounds(value: Real | Tensor, bounds: Ge | Interval) -> bool:
    """Whether a number, or all of a tensor's, are at least `ge` and below `lt`, where there is one; nan never is."""
    if isinstance(value, Tensor) and not value.numel():
        return True
    low, high = (value.min(), value.max()) if isinstance(value, Tensor) else (value, value)
    limit = getattr(bounds, "lt", None)
    return bool(low >= bounds.ge and (limit is None or high < limit))


def _number(value: object) -> str:
    """A value in a few words: of a tensor with more than one number its lowest and highest."""
    if not isinstance(value, Tensor):
        return repr(value)
    low, high = value.min().item(), value.max().item()
    return f"{low:g}" if value.numel() == 1 else f"{low:g} … {high:g}"


def _is_shape(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, AbstractArray)


def _tensor_faults(name: str, value: object, shape: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, Tensor):
        yield TypeError(f"{name} must be a torch tensor, not {type(value).__name__}.")
    elif str(value.dtype).removeprefix("torch.") not in shape.dtypes:
        yield TypeError(f"{name} holds {value.dtype}; floating-point numbers are needed: {name}.float().")
    elif not _fit((value, shape)):
        yield ValueError(f"{name} has shape {list(value.shape)}; it must be [{shape.dim_str}].")


def _pair_faults(name: str, value: Tensor, shape: Any, other: str, earlier: Tensor, its_shape: Any) -> Any:  # noqa: ANN401
    for what in ("dtype", "device"):
        if getattr(value, what) != getattr(earlier, what):
            yield TypeError(
                f"{name} is {getattr(value, what)} but {other} is {getattr(earlier, what)}: use one {what}."
            )
    if not _fit((earlier, its_shape), (value, shape)):
        yield ValueError(
            f"{name} has shape {list(value.shape)}, which doesn't fit {other} of shape {list(earlier.shape)}: "
            f"they must be [{shape.dim_str}] and [{its_shape.dim_str}]."
        )


def _fit(*pairs: tuple[Tensor, Any]) -> bool:
    """All tensors have their annotated shape, with one meaning for every letter."""
    with jaxtyped("context"):
        return all(isinstance(tensor, shape) for tensor, shape in pairs)
