"""AdamW is torch's own to the bit, can lose networks, and spares a process torch's import."""

import subprocess
import sys

import pytest
import torch

from hypercate.train.optimiser import AdamW

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
SHAPES = {"weights": (5, 7, 3), "bias": (5, 6), "one": (5, 1)}


def params(device="cpu"):
    generator = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(*shape, generator=generator) for name, shape in SHAPES.items()}
    return {name: tensor.to(device).requires_grad_() for name, tensor in drawn.items()}


def set_gradients(tensors, step):
    """Of very different sizes, with some zeros, the same for the first networks of any number."""
    for place, tensor in enumerate(tensors.values()):
        generator = torch.Generator().manual_seed(100 * step + place)
        gradient = torch.randn(5, *tensor.shape[1:], generator=generator)
        gradient *= 10.0 ** torch.randint(-6, 6, (1,), generator=generator)
        gradient[gradient.abs() < 0.1 * gradient.abs().max()] = 0
        tensor.grad = gradient[: len(tensor)].to(tensor.device)


def of_torch(tensors, learning_rate, weight_decay):
    return torch.optim.AdamW(
        list(tensors.values()), lr=learning_rate, weight_decay=weight_decay, fused=True
    )


def without(optimiser, tensors, going, learning_rate, weight_decay):
    """torch's own with some networks, whose state is copied."""
    kept = {name: t.detach()[going].requires_grad_() for name, t in tensors.items()}
    fewer = of_torch(kept, learning_rate, weight_decay)
    for name, tensor in kept.items():
        fewer.state[tensor] = {
            key: value.clone() if key == "step" else value[going]
            for key, value in optimiser.state[tensors[name]].items()
        }
    return fewer, kept


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("learning_rate", "weight_decay"), [(0.01, 0.01), (5e-3, 0.0), (1.0, 0.5)])
class TestAdamW:
    def test_is_torchs_own_to_the_bit(self, learning_rate, weight_decay, device):
        mine, theirs = params(device), params(device)
        optimiser = AdamW(learning_rate, weight_decay, mine)
        reference = of_torch(theirs, learning_rate, weight_decay)
        start = {name: tensor.detach().clone() for name, tensor in mine.items()}
        for step in range(12):
            set_gradients(mine, step)
            set_gradients(theirs, step)
            optimiser.step()
            reference.step()
            for name, tensor in mine.items():
                assert torch.equal(tensor, theirs[name]), (name, step)
        for name, tensor in mine.items():
            assert (tensor != start[name]).all(), name

    def test_is_torchs_own_to_the_bit_when_networks_have_left(
        self, learning_rate, weight_decay, device
    ):
        mine, theirs = params(device), params(device)
        optimiser = AdamW(learning_rate, weight_decay, mine)
        reference = of_torch(theirs, learning_rate, weight_decay)
        leaving = {4: [True, False, True, True, False], 7: [False, True, True], 9: [True, True]}
        for step in range(12):
            set_gradients(mine, step)
            set_gradients(theirs, step)
            optimiser.step()
            reference.step()
            for name, tensor in mine.items():
                assert torch.equal(tensor, theirs[name]), (name, step)
            if step in leaving:
                going = torch.tensor(leaving[step], device=device)
                reference, theirs = without(reference, theirs, going, learning_rate, weight_decay)
                mine = {name: t.detach()[going].requires_grad_() for name, t in mine.items()}
                optimiser.keep(going, mine)
        assert len(mine["bias"]) == 2

    def test_a_network_moves_alike_when_others_have_left(self, learning_rate, weight_decay, device):
        all_stay, some_left = params(device), params(device)
        optimiser = AdamW(learning_rate, weight_decay, all_stay)
        of_fewer = AdamW(learning_rate, weight_decay, some_left)
        going = torch.tensor([True, True, True, False, False], device=device)
        for step in range(12):
            for tensors, its in ((all_stay, optimiser), (some_left, of_fewer)):
                set_gradients(tensors, step)
                its.step()
            if step == 5:
                some_left = {n: t.detach()[going].requires_grad_() for n, t in some_left.items()}
                of_fewer.keep(going, some_left)
        for name, tensor in some_left.items():
            assert len(tensor) == 3
            torch.testing.assert_close(tensor, all_stay[name][:3], rtol=1e-5, atol=1e-7)

    def test_a_step_forgets_the_gradients_and_is_not_recorded(
        self, learning_rate, weight_decay, device
    ):
        tensors = params(device)
        optimiser = AdamW(learning_rate, weight_decay, tensors)
        set_gradients(tensors, 0)
        optimiser.step()
        for tensor in tensors.values():
            assert tensor.grad is None
            assert tensor.requires_grad
            assert tensor.is_leaf


FIRST_FIT = """
import sys
import torch
before = set(sys.modules)
import numpy as np
from hypercate import HyperCATE
rng = np.random.default_rng(0)
X, arm = rng.normal(size=(60, 2)), np.arange(60) % 2
HyperCATE(n_members=2, max_epochs=3, outcome_hidden=(4,), random_state=0).fit(X, X[:, 0], arm)
print(*sorted(set(sys.modules) - before))
"""


def test_a_first_fit_imports_neither_torchs_optimisers_nor_its_compiler():
    """Their import takes longer than a small fit; torch itself may have them already."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIRST_FIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported = done.stdout.split()
    assert "hypercate.train.optimiser" in imported
    slow = ("torch.optim", "torch._dynamo", "torch._inductor", "sympy")
    assert [name for name in imported if name.startswith(slow)] == []
