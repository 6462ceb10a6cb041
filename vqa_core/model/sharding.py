"""FSDP2: spreading a module's weights over processes, and putting them together again.

It is done here and not by accelerate, which skips it on the CPU without a word. `whole`, `assign` and `gathered` take
ordinary weights, too. With spread ones they communicate, so every process has to call them.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def spread(module: nn.Module, units: Collection[str], device: torch.device) -> None:
    """Spread all weights over the processes; modules of the classes in `units` are gathered one by one."""
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    for part in list(module.modules()):
        if type(part).__name__ in units:
            fully_shard(part, mesh=mesh)
    fully_shard(module, mesh=mesh)


def is_spread(module: nn.Module) -> bool:
    """Whether `spread` was called on the module."""
    return isinstance(module, FSDPModule)


def whole(tensor: Tensor) -> Tensor:
    """The full tensor on the CPU, detached and contiguous."""
    value = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return value.detach().cpu().contiguous()


def assign(parameter: Tensor, value: Tensor) -> None:
    """Copy a full tensor into a parameter; of a spread one each process keeps its part."""
    with torch.no_grad():
        if isinstance(parameter, DTensor):
            value = distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
        parameter.copy_(value)


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Every process holds all weights inside this context, so that parts of `module` can be called on their own."""
    parts = [part for part in module.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.unshard()
        part.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(part is not module, recurse=False)
            part.reshard()


def optimizer_state(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimizer's state with full tensors, by parameter name."""
    return get_optimizer_state_dict(module, optimizer, options=_FULL)


def load_optimizer_state(module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a state that `optimizer_state` returned."""
    set_optimizer_state_dict(module, optimizer, state, options=_FULL)


_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
