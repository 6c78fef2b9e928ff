"""Where, and how far, the arms of a network may depart: what each degree of sharing lets them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate.generator.hypernetwork import HyperNet
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.generator.profiles import PROFILES, Profile, profiles

quick = settings(max_examples=40, deadline=None, derandomize=True)
WAYS = ("chunk", "component", "once")
BY_DEGREE = ("intercept", "strong", "moderate", "weak")
NET = OutcomeNet(10, (40, 20, 30, 40), "tanh")

widths = st.lists(st.integers(1, 7), min_size=1, max_size=6).map(tuple)
nets = st.builds(OutcomeNet, st.integers(1, 7), widths, st.just("tanh"))


def departure(name, net):
    return profiles([name], net)[0].departure(net)


def by_layer(name, net):
    """Scale of each layer's weights in units of 1 / sqrt(fan_in), the last bias apart."""
    scale = departure(name, net)
    return [
        scale[layer.start : layer.stop - (layer == net.layers[-1])] * layer.n_in**0.5
        for layer in net.layers
    ]


def place(net, *, bias=None, layers=()):
    """Whether each weight is of the bias of a layer, or of some whole layers."""
    where = torch.zeros(net.n_weights, dtype=torch.bool)
    if bias is not None:
        layer = net.layers[bias]
        where[layer.bias_start : layer.stop] = True
    for layer in layers:
        where[layer.start : layer.stop] = True
    return where


def arms_of(names, net=NET, way="chunk", n_arms=3):
    """Networks of every arm (names, n_arms, n_weights), moved away from where they start."""
    shape = HyperNet(net, n_arms, way, 4, 1, 3, (8,), 0.0, False)
    generator = torch.Generator().manual_seed(0)
    sharing = profiles(names, net)
    params, buffers = shape.init(sharing, torch.ones(len(names), net.n_inputs), generator)
    for tensor in params.values():
        tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    return shape.generate(params, buffers)


def some_rows(net, n=50):
    return torch.randn(n, net.n_inputs, generator=torch.Generator().manual_seed(1))


def hidden(net, theta, x, depth):
    """Units (arms, rows, width) after so many layers of every arm's network."""
    h = x
    for layer in net.layers[:depth]:
        matrix = theta[:, layer.start : layer.bias_start].unflatten(1, (layer.n_in, layer.n_out))
        h = torch.tanh(h @ matrix + theta[:, None, layer.bias_start : layer.stop])
    return h


class TestByDegree:
    @quick
    @given(nets, st.sampled_from(BY_DEGREE))
    def test_departures_grow_evenly_with_depth(self, net, name):
        values = by_layer(name, net)
        for of_layer in values:
            torch.testing.assert_close(of_layer, of_layer[:1].expand_as(of_layer))
        first = torch.stack([of_layer[0] for of_layer in values])
        if name == "intercept":
            assert not first.any()
            return
        growth = first[1:] / first[:-1]
        assert (growth > 1).all()
        torch.testing.assert_close(growth, growth[:1].expand_as(growth))
        assert (first[-1] / first[0]).item() == pytest.approx(1 / 0.03, rel=1e-5)

    @quick
    @given(nets)
    def test_departures_grow_with_the_degree_but_the_intercepts(self, net):
        scale = torch.stack([departure(name, net) for name in BY_DEGREE])
        assert not scale[0, :-1].any()
        assert (scale[:, :-1].diff(dim=0) > 0).all()
        for row, degree in zip(scale, (0.0, 0.1, 1.0, 3.0), strict=True):
            torch.testing.assert_close(row[:-1], degree * scale[2, :-1])
        assert (scale[:, -1] == 3).all()
        assert (scale[:, -1:] >= scale).all()

    def test_moderate_arms_nearly_agree_at_first_and_are_free_at_last(self):
        first, last = (by_layer("moderate", NET)[depth][0].item() for depth in (0, -1))
        assert (first, last) == (pytest.approx(0.03), pytest.approx(1.0))

    @quick
    @given(nets)
    def test_intercept_lets_the_last_bias_depart_and_nothing_else(self, net):
        scale = departure("intercept", net)
        assert (scale > 0).nonzero().tolist() == [[net.n_weights - 1]]


class TestSLearner:
    @quick
    @given(nets)
    def test_lets_the_first_bias_depart_and_nothing_else(self, net):
        scale = departure("s", net)
        assert torch.equal(scale > 0, place(net, bias=0))
        torch.testing.assert_close(
            scale[place(net, bias=0)], torch.full((net.hidden[0],), net.n_inputs**-0.5)
        )

    @pytest.mark.parametrize("way", WAYS)
    def test_is_one_network_with_the_arm_among_its_inputs(self, way):
        theta, x = arms_of(["s"], way=way)[0], some_rows(NET)
        layer = NET.layers[0]
        one = OutcomeNet(NET.n_inputs + 3, NET.hidden, NET.activation)
        shift = theta[:, layer.bias_start : layer.stop] - theta[0, layer.bias_start : layer.stop]
        weights = torch.cat(
            [theta[0, : layer.bias_start], shift.flatten(), theta[0, layer.bias_start :]]
        )
        indicator = torch.eye(3)[:, None].expand(3, len(x), 3)
        inputs = torch.cat([x.expand(3, *x.shape), indicator], dim=2)
        outcomes = NET(theta, x)
        torch.testing.assert_close(one(weights.expand(3, -1), inputs), outcomes)
        effects = outcomes[1:] - outcomes[:1]
        assert effects.std(dim=1).min() > 1e-3


class TestTarnet:
    @quick
    @given(nets)
    def test_lets_the_last_half_of_the_layers_depart_and_nothing_else(self, net):
        n_layers = len(net.layers)
        scale = departure("tarnet", net)
        assert torch.equal(scale > 0, place(net, layers=net.layers[n_layers // 2 :]))

    @quick
    @given(nets)
    def test_arms_part_as_far_as_weak_ones_do_in_the_last_layer(self, net):
        weak = by_layer("weak", net)[-1][0]
        for values in by_layer("tarnet", net)[len(net.layers) // 2 :]:
            torch.testing.assert_close(values, weak.expand_as(values))
        assert departure("tarnet", net)[-1] == departure("weak", net)[-1]

    @pytest.mark.parametrize("way", WAYS)
    def test_arms_have_a_representation_in_common_and_heads_of_their_own(self, way):
        theta, x = arms_of(["tarnet"], way=way)[0], some_rows(NET)
        common = hidden(NET, theta, x, 2)
        assert torch.equal(common, common[:1].expand_as(common))
        apart = hidden(NET, theta, x, 3)
        assert (apart[1:] - apart[:1]).abs().amax(dim=(1, 2)).min() > 0.1


class TestIndependent:
    def test_owns_and_no_other_does(self):
        for name, profile in PROFILES.items():
            assert profile(6).owned == (name == "independent")

    @quick
    @given(nets)
    def test_has_nothing_to_depart_from(self, net):
        assert not departure("independent", net).any()

    @pytest.mark.parametrize("way", WAYS)
    def test_arms_differ_in_every_weight(self, way):
        theta = arms_of(["independent"], way=way)[0]
        assert (theta[1:] != theta[:1]).all()


class TestProfiles:
    def test_only_arms_that_differ_by_a_constant_are_constant(self):
        for name, profile in PROFILES.items():
            assert profile(6).constant == (name == "intercept")

    @pytest.mark.parametrize("n_layers", [1, 2, 3, 6, 7])
    def test_there_is_one_for_any_number_of_layers(self, n_layers):
        net = OutcomeNet(3, (4,) * (n_layers - 1), "tanh")
        for profile in profiles([*PROFILES], net):
            scale = profile.departure(net)
            assert scale.shape == (net.n_weights,)
            assert torch.isfinite(scale).all()
            assert (scale >= 0).all()

    def test_are_in_the_order_of_their_names(self):
        names = ["weak", "independent", "weak", "intercept"]
        assert profiles(names, NET) == [PROFILES[name](len(NET.layers)) for name in names]

    def test_a_profile_of_another_number_of_layers_is_refused(self):
        with pytest.raises(ValueError, match="zip"):
            PROFILES["moderate"](3).departure(NET)

    @pytest.mark.parametrize("way", WAYS)
    def test_arms_differ_in_the_weights_that_may_depart_and_in_no_others(self, way):
        """Whoever is beside them in the same tensors."""
        names = [*PROFILES]
        theta = arms_of(names, way=way)
        for name, of_arms in zip(names, theta, strict=True):
            free = departure(name, NET) > 0 if name != "independent" else torch.tensor(True)
            differ = (of_arms[1:] != of_arms[:1]).float().mean(dim=0)
            assert not differ[~free.expand(NET.n_weights)].any(), name
            assert differ[free.expand(NET.n_weights)].mean() > 0.99, name

    def test_the_processs_own_dtype_and_device_change_nothing(self):
        expected = [departure(name, NET) for name in PROFILES]
        torch.set_default_dtype(torch.float64)
        try:
            with torch.device("meta"):
                found = [departure(name, NET) for name in PROFILES]
        finally:
            torch.set_default_dtype(torch.float32)
        for mine, other in zip(found, expected, strict=True):
            assert mine.dtype == torch.float32
            assert torch.equal(mine, other)

    def test_a_scale_of_ones_own_reaches_the_weights_of_its_layer(self):
        own = Profile((0.0, 2.0, 0.0), (0.0, 0.0, 0.5), intercept=7.0)
        net = OutcomeNet(4, (9, 16), "tanh")
        scale = own.departure(net)
        first, second, last = net.layers
        assert not scale[: first.stop].any()
        np.testing.assert_allclose(scale[second.start : second.bias_start], 2 / 3, rtol=1e-6)
        assert not scale[second.bias_start : last.bias_start].any()
        assert scale[last.bias_start :].tolist() == [7.0]
        assert not own.constant
