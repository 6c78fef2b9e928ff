"""The generated network against a plain float64 loop, and as a pure batched function."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf, expit

from hypercate.generator.outcome_net import ACTIVATIONS, OutcomeNet

quick = settings(max_examples=40, deadline=None, derandomize=True)
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
widths = st.lists(st.integers(1, 6), max_size=4).map(tuple)

BY_FORMULA = {
    "blunt_silu": lambda z: z * expit(z / 4),
    "blunt_softplus": lambda z: 2 * (np.log1p(np.exp(z / 2)) - np.log(2)),
    "silu": lambda z: z * expit(z),
    "gelu": lambda z: z * (1 + erf(z / math.sqrt(2))) / 2,
    "elu": lambda z: z if z > 0 else np.expm1(z),
    "tanh": np.tanh,
    "relu": lambda z: max(z, 0.0),
}


def slow_outcome(net, theta, row):
    """One network on one row, weight by weight: each layer's matrix by rows, then its bias."""
    values, taken = list(row), 0
    for depth, (n_in, n_out) in enumerate(pairwise((net.n_inputs, *net.hidden, 1))):
        matrix = theta[taken : taken + n_in * n_out].reshape(n_in, n_out)
        bias = theta[taken + n_in * n_out : taken + n_in * n_out + n_out]
        taken += n_in * n_out + n_out
        out = [bias[j] + sum(values[i] * matrix[i, j] for i in range(n_in)) for j in range(n_out)]
        last = depth == len(net.hidden)
        values = out if last else [BY_FORMULA[net.activation](z) for z in out]
    assert taken == len(theta)
    return values[0]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@st.composite
def problems(draw):
    net = OutcomeNet(draw(st.integers(1, 6)), draw(widths), draw(st.sampled_from([*ACTIVATIONS])))
    b, rows, seed = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(0, 10**6))
    scale = draw(st.sampled_from([0.1, 1.0, 3.0]))
    theta = scale * normal(b, net.n_weights, seed=seed)
    return net, theta, normal(b, rows, net.n_inputs, seed=seed + 1)


class TestAgainstASlowLoop:
    @quick
    @given(problems())
    def test_every_network_row_and_activation(self, problem):
        net, theta, x = problem
        slow = [
            [slow_outcome(net, weights, row) for row in rows]
            for weights, rows in zip(theta.numpy(), x.numpy(), strict=True)
        ]
        np.testing.assert_allclose(net(theta, x).numpy(), slow, rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("device", DEVICES)
    def test_float32_is_near(self, activation, device):
        net = OutcomeNet(20, (32,) * 5, activation)
        theta, x = normal(3, net.n_weights) / 5, normal(3, 40, 20, seed=1)
        fast = net(theta.float().to(device), x.float().to(device))
        assert fast.dtype == torch.float32
        assert fast.device.type == device
        torch.testing.assert_close(fast.cpu().double(), net(theta, x), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("shared", [False, True])
    def test_gradients_reach_weights_and_rows(self, activation, shared):
        net = OutcomeNet(2, (3, 2), activation)
        theta = normal(2, net.n_weights).requires_grad_()
        x = normal(*(() if shared else (2,)), 4, 2, seed=1).requires_grad_()
        assert torch.autograd.gradcheck(net, (theta, x))


class TestABatchedPureFunction:
    @quick
    @given(problems())
    def test_a_batch_equals_its_networks_one_by_one(self, problem):
        net, theta, x = problem
        together = net(theta, x)
        assert together.shape == x.shape[:2]
        for i in range(len(theta)):
            torch.testing.assert_close(net(theta[i : i + 1], x[i : i + 1])[0], together[i])

    @quick
    @given(problems())
    def test_rows_do_not_see_one_another(self, problem):
        net, theta, x = problem
        together = net(theta, x)
        for row in range(x.shape[1]):
            torch.testing.assert_close(net(theta, x[:, row : row + 1])[:, 0], together[:, row])

    @quick
    @given(problems())
    def test_shared_rows_equal_rows_repeated_for_every_network(self, problem):
        net, theta, x = problem
        shared = x[0]
        repeated = shared[None].expand(len(theta), -1, -1)
        torch.testing.assert_close(net(theta, shared), net(theta, repeated))

    @quick
    @given(problems())
    def test_arguments_are_left_as_they_are(self, problem):
        net, theta, x = problem
        before = theta.clone(), x.clone()
        first = net(theta, x)
        assert torch.equal(net(theta, x), first)
        assert torch.equal(theta, before[0])
        assert torch.equal(x, before[1])


class TestAView:
    @quick
    @given(problems(), st.data())
    def test_equals_its_inputs_beside_those_that_are_shared(self, problem, data):
        net, theta, x = problem
        n_shared = data.draw(st.integers(0, net.n_inputs))
        shared, view = x[0, :, :n_shared], x[:, :, n_shared:]
        whole = torch.cat([shared.expand(len(theta), -1, -1), view], dim=2)
        torch.testing.assert_close(net(theta, shared, view), net(theta, whole))

    @quick
    @given(problems())
    def test_is_seen_by_its_own_network_only(self, problem):
        net, theta, x = problem
        shared, view = x[0, :, :-1], x[:, :, -1:]
        before = net(theta, shared, view)
        other = view.clone()
        other[0] += 1
        after = net(theta, shared, other)
        assert torch.equal(after[1:], before[1:])
        assert torch.equal(view, x[:, :, -1:])

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_gradients_reach_weights_rows_and_view(self, activation):
        net = OutcomeNet(3, (3, 2), activation)
        theta = normal(2, net.n_weights).requires_grad_()
        x, view = (normal(*shape, seed=1).requires_grad_() for shape in ((4, 2), (2, 4, 1)))
        assert torch.autograd.gradcheck(net, (theta, x, view))


class TestBiases:
    @quick
    @given(st.integers(1, 4), widths, st.data())
    def test_a_bias_moves_the_output_by_its_path_for_every_row(self, n_inputs, hidden, data):
        """With positive weights and rows a relu network is linear: each bias adds a constant."""
        net = OutcomeNet(n_inputs, hidden, "relu")
        theta = normal(1, net.n_weights).abs()
        x = normal(1, 6, n_inputs, seed=1).abs()
        depth = data.draw(st.integers(0, len(hidden)))
        layer = net.layers[depth]
        unit = data.draw(st.integers(0, layer.n_out - 1))
        path = torch.eye(layer.n_out, dtype=torch.float64)[unit]
        for later in net.layers[depth + 1 :]:
            path = path @ theta[0, later.start : later.bias_start].view(later.n_in, later.n_out)
        moved = theta.clone()
        moved[0, layer.bias_start + unit] += 2
        torch.testing.assert_close(net(moved, x) - net(theta, x), 2 * path.expand(1, 6))

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_the_last_weight_is_the_intercept(self, activation):
        net = OutcomeNet(3, (4, 5), activation)
        theta, x = normal(2, net.n_weights), normal(7, 3, seed=1)
        moved = theta.clone()
        moved[:, -1] += 10
        torch.testing.assert_close(net(moved, x), net(theta, x) + 10)

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_without_weights_the_output_is_0(self, activation):
        net = OutcomeNet(3, (4, 5), activation)
        assert not net(torch.zeros(2, net.n_weights), torch.ones(7, 3)).any()


class TestLayers:
    @quick
    @given(st.integers(1, 9), widths)
    def test_layers_tile_the_weight_vector(self, n_inputs, hidden):
        net = OutcomeNet(n_inputs, hidden, "relu")
        place = 0
        for layer, (n_in, n_out) in zip(net.layers, pairwise((n_inputs, *hidden, 1)), strict=True):
            assert (layer.n_in, layer.n_out, layer.start) == (n_in, n_out, place)
            assert layer.sizes == (n_in * n_out, n_out)
            assert layer.bias_start == place + n_in * n_out
            assert layer.stop == layer.bias_start + n_out
            place = layer.stop
        assert net.n_weights == place


class TestActivations:
    def test_all_are_tested_against_their_formula(self):
        assert set(ACTIVATIONS) == set(BY_FORMULA)

    @pytest.mark.parametrize("name", ["silu", "softplus"])
    def test_a_blunt_one_is_nearer_to_a_line(self, name):
        def bend(activation, z=2.0):
            f, w = activation.function, activation.width
            left, middle, right = w * f(torch.tensor([-z, 0.0, z]) / w)
            return (left + right - 2 * middle).item()

        sharp = {"silu": ACTIVATIONS["silu"].function, "softplus": torch.nn.functional.softplus}
        plain = type(ACTIVATIONS["silu"])(sharp[name])
        assert 0 < bend(ACTIVATIONS[f"blunt_{name}"]) < 0.6 * bend(plain)
