"""FSDP2 within one process; tests/train/test_finetune.py trains with it in two."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.distributed.tensor import DTensor

from vqa_core.model.sharding import assign, gathered, is_spread, load_optimizer_state, optimizer_state, spread, whole


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(4, 2)
        self.blocks[0].linear.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(x))  # type: ignore[no-any-return]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    torch.manual_seed(0)
    net = Net()
    spread(net, {"Block"}, torch.device("cpu"))
    yield net
    distributed.destroy_process_group()


def spread_parts(net: Net) -> list[bool]:
    return [isinstance(parameter, DTensor) for parameter in net.parameters()]


def test_spread_weights_compute_what_they_did(net: Net) -> None:
    torch.manual_seed(0)
    plain, x = Net(), torch.randn(3, 4)
    assert is_spread(net)
    assert not is_spread(plain)
    assert all(spread_parts(net))
    torch.testing.assert_close(net(x), plain(x))
    for (name, ours), (_, theirs) in zip(net.named_parameters(), plain.named_parameters(), strict=True):
        assert torch.equal(whole(ours), theirs), name


def test_gathered_parts_can_be_called_alone_and_are_spread_again_afterwards(net: Net) -> None:
    x = torch.randn(3, 4)
    expected = net(x)
    with gathered(net), torch.inference_mode():
        assert not any(spread_parts(net))
        for _ in range(2):
            torch.testing.assert_close(net.head(net.blocks(x)), expected.detach())
    assert all(spread_parts(net))
    loss = net(x).sum()
    assert all(spread_parts(net.blocks))  # type: ignore[arg-type]  # let go of as soon as they have run
    loss.backward()
    assert net.head.weight.grad is not None


def test_a_step_from_weights_and_optimiser_state_put_back_is_the_same_step(net: Net) -> None:
    optimiser = torch.optim.AdamW([parameter for parameter in net.parameters() if parameter.requires_grad], lr=0.1)
    x = torch.randn(3, 4)

    def step() -> dict[str, torch.Tensor]:
        optimiser.zero_grad()
        net(x).square().sum().backward()
        optimiser.step()
        return {name: whole(value).clone() for name, value in net.named_parameters()}

    weights, state = step(), copy.deepcopy(optimizer_state(net, optimiser))
    assert set(state["state"]) == {name for name, value in net.named_parameters() if value.requires_grad}
    assert not any(isinstance(value, DTensor) for values in state["state"].values() for value in values.values())
    expected = step()
    step()
    for name, parameter in net.named_parameters():
        assign(parameter, weights[name])
    load_optimizer_state(net, optimiser, state)
    for name, value in step().items():
        assert torch.equal(value, expected[name]), name
        assert torch.equal(value, weights[name]) == name.startswith("blocks.0"), name


def test_ordinary_weights_are_taken_as_they_are() -> None:
    plain = Net()
    with gathered(plain):
        assign(plain.head.bias, torch.tensor([1.0, 2.0]))
    assert whole(plain.head.bias).tolist() == [1.0, 2.0]
