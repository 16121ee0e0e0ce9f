"""A second device without a GPU: torch's meta device, which holds shapes without data, made as strict as a GPU is."""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
MAY_MIX = (aten._to_copy.default, aten.copy_.default, aten.index.Tensor)  # copies; an index may stay on the CPU


class SecondDevice(TorchDispatchMode):
    """Refuses operations on tensors of two devices, as a GPU would; lets data leave the second one as zeros.

    Torch lets some operations mix meta tensors with the CPU's (matrix products, embeddings): every one is checked here.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device.type for tensor in tensors if tensor.dim()}
        if len(devices) > 1 and func not in MAY_MIX:
            raise RuntimeError(f"{func}: tensors on {' and '.join(sorted(devices))}")
        if func is aten._to_copy.default and tensors[0].is_meta and kwargs.get("device") == torch.device("cpu"):
            return torch.zeros(tensors[0].shape, dtype=kwargs.get("dtype") or tensors[0].dtype)
        if func is aten._local_scalar_dense.default and tensors[0].is_meta:
            return torch.ones((), dtype=tensors[0].dtype).item()  # also "all finite"
        return func(*args, **kwargs)


class CudaIsMeta(TorchFunctionMode):
    """Whatever is asked to go to, or to be made on, "cuda" goes to the meta device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.device:  # its name alone
            return func(*args, **(kwargs or {}))
        args, kwargs = tree_map(_elsewhere, (args, kwargs or {}))
        return func(*args, **kwargs)


def _elsewhere(value):
    cuda = isinstance(value, str | torch.device) and str(value).startswith("cuda")
    return torch.device("meta") if cuda else value
