"""Several depths from one generator: what shallower networks are, and that the best is taken."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import copies_of, tiny, trial
from test_generator import drawn
from test_generator import hypernet as hypernet_of_two
from test_train import SQUARED, heterogeneous, rows_of, run_of
from test_train import hypernet as hypernet_of_three

from hypercate import HyperCATE
from hypercate.generator.outcome_net import ACTIVATIONS, OutcomeNet
from hypercate.generator.perturbation import perturb
from hypercate.generator.sizes import of_depths, of_widths
from hypercate.inspection import layer_departures
from hypercate.train.stopping import Judge, at_best_size

quick = settings(max_examples=20, deadline=None, derandomize=True)
activations = st.sampled_from(list(ACTIVATIONS))
THREE = (0.2, 0.6, 1.0)
EACH = {"widths": (0.5, 1.0), "depths": (0.3, 1.0)}


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def several(hypernet, n_inputs, **sizes):
    """A generator of networks of three hidden layers that may be left out."""
    return hypernet(net=OutcomeNet(n_inputs, (4, 4, 4), "blunt_silu", skips=True), **sizes)


class TestMasks:
    @quick
    @given(
        st.integers(1, 5), st.sampled_from([0.1, 0.4, 0.7, 1.0]), activations, st.integers(0, 99)
    )
    def test_a_shallower_network_is_one_of_the_first_layers(self, n, share, activation, seed):
        net = OutcomeNet(3, (4,) * n, activation, skips=True)
        shallow = OutcomeNet(3, (4,) * max(1, round(share * n)), activation)
        theta, x = normal(2, net.n_weights, seed=seed), normal(2, 5, 3, seed=seed + 1)
        kept, last = shallow.layers[-1].start, net.layers[-1].start
        expected = shallow(torch.cat([theta[:, :kept], theta[:, last:]], dim=1), x)
        factors = of_depths(net, (share,)).double()
        torch.testing.assert_close(net(theta * factors, x), expected)

    @quick
    @given(activations, st.booleans(), st.integers(0, 99))
    def test_networks_of_any_depths_side_by_side(self, activation, shared, seed):
        net = OutcomeNet(3, (4, 4, 4), activation, skips=True)
        theta = normal(3, net.n_weights, seed=seed) * of_depths(net, (0.3, 0.7, 1)).double()
        x, view = normal(*[] if shared else [3], 6, 2), normal(3, 6, 1, seed=1)
        if not shared:
            x, view = torch.cat([x, view], dim=2), None
        together = net(theta, x, view)
        for i in range(3):
            own = (x, view[i : i + 1]) if shared else (x[i : i + 1],)
            torch.testing.assert_close(net(theta[i : i + 1], *own)[0], together[i])
        plain = OutcomeNet(3, (4, 4, 4), activation)
        torch.testing.assert_close(plain(theta, x, view)[2], together[2])

    def test_gradients_reach_the_layers_that_are_there_alone(self):
        net = OutcomeNet(2, (3, 3), "blunt_silu", skips=True)
        factors = of_depths(net, (0.5, 1.0)).double()
        theta, x = normal(2, net.n_weights).requires_grad_(), normal(2, 4, 2, seed=1)
        assert torch.autograd.gradcheck(lambda theta: net(theta * factors, x), theta)
        (gradient,) = torch.autograd.grad(net(theta * factors, x).sum(), theta)
        assert torch.equal(gradient != 0, factors != 0)


class TestTheGenerator:
    @pytest.mark.parametrize("way", ["chunk", "low_rank", "none"])
    def test_networks_are_of_the_size_that_is_drawn_or_else_taken(self, way):
        shape = several(hypernet_of_two, 2, generation=way, **EACH)
        params, buffers = drawn(shape, n=4)
        largest = several(hypernet_of_two, 2, generation=way).generate(params, buffers)
        torch.testing.assert_close(shape.generate(params, buffers), largest)
        size = {"width": torch.tensor([0, 0, 1, 1]), "depth": torch.tensor([0, 1, 0, 1])}
        narrow, shallow = of_widths(shape.net, (0.5, 1.0)), of_depths(shape.net, (0.3, 1.0))
        expected = largest * (narrow[size["width"]] * shallow[size["depth"]])[:, None]
        torch.testing.assert_close(shape.generate(params, buffers, size), expected)
        torch.testing.assert_close(shape.generate(params, buffers | size), expected)

    def test_every_size_is_drawn_as_often(self):
        shape = several(hypernet_of_two, 2, **EACH)
        size = perturb(shape, 4000, torch.Generator().manual_seed(0))
        counts = Counter(zip(size["width"].tolist(), size["depth"].tolist(), strict=True))
        assert set(counts) == set(product(range(2), repeat=2))
        np.testing.assert_allclose(np.array([*counts.values()]) / 4000, 1 / 4, atol=0.03)


class TestStopping:
    def test_networks_take_the_size_of_the_least_loss_at_stop_rows(self):
        given = heterogeneous(n_models=1)
        shape = several(hypernet_of_three, 3, **EACH)
        run = run_of(given, shape, learning_rate=0.05)
        every = rows_of(given.arm, np.ones((1, len(given.arm)), dtype=bool))
        judge = Judge(shape.net, given.data(), every, SQUARED, 3)
        for _ in range(30):
            run.epoch()
        sizes = [{"width": w, "depth": d} for w, d in product(range(2), repeat=2)]
        each = torch.stack([judge(run.theta(size), run.nets).sum(1) for size in sizes])
        assert (each.sort(0).values.diff(dim=0) > 0).all()
        found = at_best_size(run, judge)
        torch.testing.assert_close(found, each.min(0).values)
        torch.testing.assert_close(judge(run.theta(), run.nets).sum(1), found)


def depths_taken(surface, X, arm, noise):
    """By six members whose networks are trained long enough to tell."""
    alone = {"pretrained": "none", "second_stage": "none", "inputs": "raw", "effort": "fast"}
    est = tiny(
        **alone, n_members=6, max_epochs=60, outcome_hidden=(8,) * 4, depths=(0.25, 1.0),
        activation="silu", learning_rate=0.015, batch_size=32, patience=200,
    )  # fmt: skip
    return est.fit(X, surface + arm + noise, arm).depths_


class TestModels:
    def test_are_deep_where_that_pays_and_less_often_where_it_does_not(self):
        rng = np.random.default_rng(0)
        X, arm = rng.uniform(-1.7, 1.7, size=(300, 2)), rng.integers(2, size=300)
        noise = rng.normal(size=300)
        wave, plane = (
            (depths_taken(surface, X, arm, noise) == 1).sum()
            for surface in (2 * np.sin(3 * X[:, 0]), X.sum(axis=1))
        )
        assert wave >= 5
        assert plane <= wave - 2

    def test_are_saved_pickled_and_repeated_to_the_bit(self, tmp_path):
        X, y, arm, _ = trial(n=80, n_arms=3)
        est = tiny(depths=[0.5, 1], widths=(0.5, 1)).fit(X, y, arm)
        for copy in copies_of(est, X, y, arm, tmp_path / "model.hypercate"):
            np.testing.assert_array_equal(copy.predict(X), est.predict(X))
            np.testing.assert_array_equal(copy.effect_interval(X), est.effect_interval(X))
            np.testing.assert_array_equal(copy.depths_, est.depths_)

    def test_networks_of_a_model_have_the_depth_that_it_says(self):
        X, y, arm, _ = trial(n=120)
        five = {"outcome_hidden": (4,) * 5, "learner": "ra", "inputs": "raw"}
        est = tiny(depths=THREE, n_members=4, **five).fit(X, y, arm)
        theta = est.fitted_.networks.theta
        for generator, arms in zip(est.fitted_.generators, ([0, 1], [2]), strict=True):
            layers = generator.hypernet.net.layers[:-1]
            there = [theta[:4, arms, layer.start : layer.stop].any(axis=(1, 2)) for layer in layers]
            np.testing.assert_array_equal(np.mean(there, axis=0), generator.depths[:4])
        np.testing.assert_array_equal(est.depths_, est.fitted_.generators[0].depths[:4])
        departs = [layer.any() for _, layer in layer_departures(est).items()]
        deepest = round(5 * est.depths_.max())
        np.testing.assert_array_equal(departs, [*(np.arange(5) < deepest), True])
        assert est.n_parameters_ == tiny(n_members=1, **five).fit(X, y, arm).n_parameters_

    def test_others_are_of_the_only_depth(self):
        X, y, arm, _ = trial(n=60)
        np.testing.assert_array_equal(tiny().fit(X, y, arm).depths_, [1, 1])
        instant = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
        np.testing.assert_array_equal(instant.depths_, np.ones(5))

    @pytest.mark.parametrize(
        "parameters",
        [
            {"effort": "fast", "sharing": "auto", "generation": "low_rank"},
            {
                "uncertainty": "both",
                "hypernet_dropout": 0.1,
                "hypernet_noise": 0.1,
                "noise_kind": "weights",
            },
        ],
        ids=str,
    )
    def test_work_with_the_other_parameters(self, parameters):
        X, y, arm, _ = trial(n=80, n_arms=3)
        est = tiny(depths=(0.5, 1), **parameters).fit(X, y, arm)
        assert np.isfinite(est.effect_interval(X)).all()

    def test_blend_over_doses(self):
        X, y, _, _ = trial(n=120)
        dose = np.random.default_rng(0).random(120)
        est = tiny(treatment_kind="dose", depths=(0.5, 1)).fit(X, y, dose)
        assert np.isfinite(est.predict(X)).all()

    def test_layers_of_several_widths_cannot_be_left_out(self):
        X, y, arm, _ = trial(n=60)
        with pytest.raises(ValueError, match="outcome_hidden=\\(8, 4\\) equal"):
            tiny(outcome_hidden=(8, 4), depths=(0.5, 1)).fit(X, y, arm)
        assert np.isfinite(tiny(outcome_hidden=(8, 4)).fit(X, y, arm).predict(X)).all()
