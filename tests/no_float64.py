"""A device without float64, as Apple's are: the first CPU by its number, strictly kept apart."""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cpu:0")
_TO_HOST = (torch.Tensor.cpu, torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.__bool__)


class WithoutFloat64(TorchFunctionMode):
    """Tensors made on `DEVICE`, and all that comes of them, know where they are.

    A float64 tensor among them raises as it does on Apple's devices, and one that is handed to
    numpy without going through the CPU raises as it does on all.
    """

    def __init__(self):
        super().__init__()
        self.n_tensors = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        there = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and is_there(leaf)]
        if func == torch.Tensor.device.__get__ and there:
            return DEVICE
        if func is torch.Tensor.numpy and there:
            raise TypeError("can't convert device tensor to numpy: use Tensor.cpu()")
        result = func(*args, **kwargs)
        if func is torch.Tensor.cpu:
            return result.view_as(result)
        if func in _TO_HOST:
            return result
        if there or any(isinstance(leaf, torch.device) and leaf.index == 0 for leaf in leaves):
            return tree_map(self._placed, result)
        return result

    def _placed(self, value):
        if isinstance(value, torch.Tensor):
            if value.dtype == torch.float64:
                raise TypeError("the device has no float64")
            self.n_tensors += 1
            value.is_there = True
        return value


def is_there(tensor):
    return tensor.__dict__.get("is_there", False)
