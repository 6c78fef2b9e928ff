"""Generated networks on rows: each network's own output, whatever the blocks and the inputs."""

import itertools

import numpy as np
import pytest
import torch

from hypercate.generator import evaluate
from hypercate.generator.evaluate import outcomes_at_own_rows, potential_outcomes
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.outcomes import Bernoulli, Normal

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
NET = OutcomeNet(3, (6, 5), "blunt_silu")
LOCATION, SCALE = np.array([5.0, -1.0, 0.0, 2.0]), np.array([2.0, 1.0, 0.5, 3.0])


def continuous(output, _=None):
    """In the unit of each network's own outcome."""
    units = (torch.as_tensor(u, device=output.device)[:, None, None] for u in (LOCATION, SCALE))
    return Normal().mean(output, *units)


def binary(output, _=None):
    return Bernoulli(np.array([0, 1])).mean(output, *torch.tensor([0.0, 1.0]))


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def weights(m=4, n_arms=3, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(m, n_arms, NET.n_weights, generator=generator).to(device)


def slow_outcomes(theta, inputs, link):
    """Networks one by one in float64, at inputs of their own (m, n, 3)."""
    theta, inputs = theta.cpu().double(), torch.as_tensor(inputs).double()
    output = torch.stack(
        [
            torch.stack([NET(of_arm[None], x)[0] for of_arm in of_arms])
            for of_arms, x in zip(theta, inputs, strict=True)
        ]
    )
    return link(output).transpose(1, 2).numpy()


near = {"rtol": 1e-4, "atol": 1e-5}
LINKS = pytest.mark.parametrize("link", [continuous, binary])


class TestPotentialOutcomes:
    @pytest.mark.parametrize("device", DEVICES)
    @LINKS
    def test_each_is_its_own_networks_output_in_units_of_its_outcome(self, link, device):
        theta, x = weights(device=device), rows(7, 3)
        outcomes = potential_outcomes(NET, theta, x, None, link)
        assert outcomes.shape == (4, 7, 3)
        assert outcomes.dtype == np.float64
        for m, row, arm in itertools.product(range(4), range(7), range(3)):
            own = theta[m, arm].cpu().double()[None]
            output = NET(own, torch.as_tensor(x[row], dtype=torch.float64)[None]).item()
            unit = LOCATION[m] + SCALE[m] * output
            expected = 1 / (1 + np.exp(-output)) if link is binary else unit
            assert outcomes[m, row, arm] == pytest.approx(expected, rel=1e-4, abs=1e-5)

    def test_weights_average_outcomes_not_outputs(self):
        theta, x = weights(), rows(7, 3)
        share = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
        each = potential_outcomes(NET, theta, x, None, binary)
        averaged = potential_outcomes(NET, theta, x, None, binary, share)
        assert averaged.shape == (7, 3)
        np.testing.assert_allclose(averaged, np.average(each, axis=0, weights=share), rtol=1e-12)

    @pytest.mark.parametrize("n_last", [1, 2, 3])
    @pytest.mark.parametrize("device", DEVICES)
    @LINKS
    def test_with_a_view_equal_those_at_all_inputs_together(self, link, device, n_last):
        theta, x, view = weights(device=device), rows(7, 3 - n_last), rows(4, 7, n_last, seed=1)
        together = np.concatenate([np.broadcast_to(x, (4, *x.shape)), view], axis=2)
        found = potential_outcomes(NET, theta, x, view, link)
        np.testing.assert_allclose(found, slow_outcomes(theta, together, link), **near)

    def test_a_view_is_the_same_for_all_arms_of_a_network_and_unseen_by_others(self):
        theta, x, view = weights(), rows(7, 2), rows(4, 7, 1, seed=1)
        theta[:] = theta[:1, :1]
        before = potential_outcomes(NET, theta, x, view, binary)
        assert (before == before[..., :1]).all()
        view[1, 3] += 1
        changed = potential_outcomes(NET, theta, x, view, binary) != before
        assert changed[1, 3].all()
        assert changed.sum() == 3

    @pytest.mark.parametrize("share", [None, torch.full((4,), 0.25, dtype=torch.float64)])
    @pytest.mark.parametrize("n_last", [0, 1])
    @pytest.mark.parametrize("rows_a_block", [1, 3, 10, 1000])
    def test_blocks_of_any_size_give_the_same(self, share, n_last, rows_a_block, monkeypatch):
        theta, x = weights(), rows(10, 3 - n_last)
        view = rows(4, 10, n_last, seed=1) if n_last else None
        whole = potential_outcomes(NET, theta, x, view, continuous, share)
        monkeypatch.setattr(evaluate, "_BLOCK_ELEMENTS", rows_a_block * 4 * 3 * 6)
        seen = []

        def link(output, _):
            seen.append(output.shape[2])
            return continuous(output)

        found = potential_outcomes(NET, theta, x, view, link, share)
        np.testing.assert_allclose(found, whole, **near)
        assert max(seen) <= rows_a_block
        assert sum(seen) == 10

    def test_many_rows_are_taken_in_bounded_blocks(self):
        sizes, told = [], []

        def link(output, which):
            sizes.append(output.numel() * 6)
            told.extend(range(20_000)[which])
            return continuous(output)

        potential_outcomes(NET, weights(), rows(20_000, 3), None, link)
        assert told == list(range(20_000))
        assert len(sizes) > 1
        assert max(sizes) <= 2**20

    @pytest.mark.parametrize("n", [0, 1])
    def test_no_row_or_one_by_one_network(self, n):
        found = potential_outcomes(NET, weights(1, 2), rows(n, 3), None, binary)
        assert found.shape == (1, n, 2)

    def test_weights_in_training_give_plain_numbers(self):
        theta, x = weights(), rows(7, 3)
        found = potential_outcomes(NET, theta.clone().requires_grad_(), x, None, binary)
        np.testing.assert_array_equal(found, potential_outcomes(NET, theta, x, None, binary))


class TestOutcomesAtOwnRows:
    own = np.random.default_rng(2).integers(0, 7, (4, 9))

    def inputs(self, device="cpu"):
        """Of the networks, (4, 7, 3), and how a block of their rows reads them."""
        each = torch.as_tensor(rows(4, 7, 3), device=device)
        return each, lambda block: each[torch.arange(4, device=device)[:, None], block]

    @pytest.mark.parametrize("device", DEVICES)
    @LINKS
    def test_are_those_of_each_network_at_its_rows(self, link, device):
        theta, (each, read) = weights(device=device), self.inputs(device)
        found = outcomes_at_own_rows(NET, theta, read, self.own, link)
        assert found.shape == (4, 9, 3)
        assert found.dtype == np.float64
        expected = slow_outcomes(theta, each.cpu(), link)
        np.testing.assert_allclose(found, expected[np.arange(4)[:, None], self.own], **near)

    @pytest.mark.parametrize("rows_a_block", [1, 4, 9, 1000])
    def test_blocks_of_any_size_give_the_same(self, rows_a_block, monkeypatch):
        theta, (_, read) = weights(), self.inputs()
        whole = outcomes_at_own_rows(NET, theta, read, self.own, continuous)
        monkeypatch.setattr(evaluate, "_BLOCK_ELEMENTS", rows_a_block * 4 * 3 * 6)
        seen = []

        def link(output, which):
            assert len(range(9)[which]) == output.shape[2] <= rows_a_block
            seen.extend(range(9)[which])
            return continuous(output)

        found = outcomes_at_own_rows(NET, theta, read, self.own, link)
        np.testing.assert_allclose(found, whole, **near)
        assert seen == list(range(9))

    def test_no_rows_and_weights_in_training(self):
        theta, (_, read) = weights().requires_grad_(), self.inputs()
        found = outcomes_at_own_rows(NET, theta, read, self.own[:, :0], continuous)
        assert found.shape == (4, 0, 3)
