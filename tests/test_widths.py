"""Several widths from one generator: what narrower networks are, and that the best is taken."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from small import able, copies_of, tiny, trial
from test_generator import drawn, hypernet
from test_train import SQUARED, heterogeneous, rows_of, run_of
from test_train import hypernet as hypernet_of_three

from hypercate import HyperCATE
from hypercate.generator.outcome_net import ACTIVATIONS, OutcomeNet
from hypercate.generator.perturbation import perturb
from hypercate.generator.sizes import of_widths
from hypercate.train.stopping import Judge, at_best_size

quick = settings(max_examples=40, deadline=None, derandomize=True)
THREE = (0.25, 0.5, 1.0)


class TestMasks:
    @quick
    @given(
        st.lists(st.integers(1, 8), max_size=3).map(tuple),
        st.sampled_from([0.2, 0.5, 0.9, 1.0]),
        st.sampled_from(list(ACTIVATIONS)),
        st.integers(0, 2**31),
    )
    def test_a_narrowed_network_is_one_of_the_first_units(self, hidden, share, activation, seed):
        generator = torch.Generator().manual_seed(seed)
        net = OutcomeNet(3, hidden, activation)
        kept = tuple(max(1, round(share * width)) for width in hidden)
        narrow = OutcomeNet(3, kept, activation)
        theta = torch.randn(1, net.n_weights, generator=generator).double()
        x = torch.randn(5, 3, generator=generator).double()
        parts = []
        for layer, small in zip(net.layers, narrow.layers, strict=True):
            matrix = theta[0, layer.start : layer.bias_start].view(layer.n_in, layer.n_out)
            louder = (layer.n_in / small.n_in) ** 0.5
            parts.append(matrix[: small.n_in, : small.n_out].flatten() * louder)
            parts.append(theta[0, layer.bias_start :][: small.n_out])
        expected = narrow(torch.cat(parts)[None], x)
        factors = of_widths(net, (share,)).double()
        torch.testing.assert_close(net(theta * factors, x), expected, rtol=1e-6, atol=1e-6)

    def test_the_widest_is_left_as_it_is(self):
        net = OutcomeNet(3, (4, 5), "tanh")
        torch.testing.assert_close(of_widths(net, THREE)[2], torch.ones(net.n_weights))


class TestTheGenerator:
    @pytest.mark.parametrize("way", ["chunk", "low_rank", "none"])
    def test_networks_are_of_the_width_that_is_drawn_or_else_taken(self, way):
        plain, shape = (hypernet(generation=way, widths=widths) for widths in ((1.0,), THREE))
        params, buffers = drawn(shape, n=3)
        widest = plain.generate(params, buffers)
        torch.testing.assert_close(shape.generate(params, buffers), widest)
        factors, width = of_widths(shape.net, THREE), torch.tensor([1, 0, 2])
        expected = widest * factors[width][:, None]
        torch.testing.assert_close(shape.generate(params, buffers, {"width": width}), expected)
        torch.testing.assert_close(shape.generate(params, buffers | {"width": width}), expected)

    def test_every_width_is_drawn_as_often(self):
        shape = hypernet(widths=THREE)
        width = perturb(shape, 3000, torch.Generator().manual_seed(0))["width"]
        counts = np.bincount(width.numpy()) / 3000
        np.testing.assert_allclose(counts, 1 / 3, atol=0.03)
        assert "width" not in perturb(hypernet(), 4, torch.Generator().manual_seed(0))


class TestStopping:
    def test_networks_take_the_width_of_the_least_loss_at_stop_rows(self):
        given = heterogeneous(n_models=1)
        shape = hypernet_of_three(widths=THREE)
        run = run_of(given, shape, learning_rate=0.05)
        every = rows_of(given.arm, np.ones((1, len(given.arm)), dtype=bool))
        judge = Judge(shape.net, given.data(), every, SQUARED, 3)
        for _ in range(30):
            run.epoch()
        thetas = [run.theta({"width": index}) for index in range(3)]
        each = torch.stack([judge(theta, run.nets).sum(1) for theta in thetas])
        assert (each.max(0).values > each.min(0).values).all()
        found = at_best_size(run, judge)
        torch.testing.assert_close(found, each.min(0).values)
        torch.testing.assert_close(judge(run.theta(), run.nets).sum(1), found)
        taken = torch.cat([family.buffers["width"] for family in run.families])
        assert torch.equal(taken, each.argmin(0))


class TestModels:
    def test_learn_an_effect(self):
        X, y, arm, effects = trial(n=400)
        est = able(widths=THREE, pretrained="none", second_stage="none").fit(X, y, arm)
        error = est.predict(X) - effects
        assert np.sqrt(np.mean(error**2)) < 0.4 * effects.std()
        assert set(est.widths_) <= set(THREE)

    def test_are_saved_pickled_and_repeated_to_the_bit(self, tmp_path):
        X, y, arm, _ = trial(n=120, n_arms=3)
        est = tiny(widths=[0.25, 1], sharing="auto").fit(X, y, arm)
        for copy in copies_of(est, X, y, arm, tmp_path / "model.hypercate"):
            np.testing.assert_array_equal(copy.predict(X), est.predict(X))
            np.testing.assert_array_equal(copy.effect_interval(X), est.effect_interval(X))
            np.testing.assert_array_equal(copy.widths_, est.widths_)

    def test_networks_of_a_model_have_the_width_that_it_says(self):
        X, y, arm, _ = trial(n=120)
        est = tiny(widths=THREE, n_members=3, learner="ra").fit(X, y, arm)
        theta = est.fitted_.networks.theta
        for generator, arms in zip(est.fitted_.generators, ([0, 1], [2]), strict=True):
            first = generator.hypernet.net.layers[0]
            biases = theta[: len(generator.widths), arms, first.bias_start : first.stop]
            alive = (biases != 0).any(axis=1).sum(axis=1)
            np.testing.assert_array_equal(alive, generator.widths * first.n_out)
        assert len(est.widths_) == 3

    def test_others_are_of_the_only_width(self):
        X, y, arm, _ = trial(n=60)
        np.testing.assert_array_equal(tiny().fit(X, y, arm).widths_, [1, 1])
        instant = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
        np.testing.assert_array_equal(instant.widths_, np.ones(5))

    @pytest.mark.parametrize(
        "parameters",
        [
            {"effort": "fast", "sharing": "auto", "generation": "low_rank"},
            {"generation": "none"},
            {"uncertainty": "both", "hypernet_dropout": 0.1, "context": "data"},
            {"hypernet_noise": 0.1, "noise_kind": "weights", "uncertainty": "noise"},
        ],
        ids=str,
    )
    def test_work_with_the_other_parameters(self, parameters):
        X, y, arm, _ = trial(n=120, n_arms=3)
        est = clone(tiny(widths=THREE)).set_params(**parameters).fit(X, y, arm)
        assert np.isfinite(est.effect_interval(X)).all()

    def test_blend_over_doses(self):
        X, y, _, _ = trial(n=120)
        dose = np.random.default_rng(0).random(120)
        est = tiny(treatment_kind="dose", widths=(0.5, 1)).fit(X, y, dose)
        assert np.isfinite(est.predict(X)).all()
