"""Noise of emitted weights: what it does to them, what holds it up, and models with it."""

import re

import numpy as np
import pytest
import torch
from degrees import at_degrees
from small import able, copies_of, tiny, trial
from test_generator import drawn, hypernet
from torch.distributions import Normal, kl_divergence

from hypercate.generator.draws import draw_networks
from hypercate.generator.noise import divergence, spread
from hypercate.generator.perturbation import perturb

KIND = {"noise": 0.5, "noise_kind": "weights"}
NOISY = {"hypernet_noise": 0.2, "noise_kind": "weights"}


class TestTheSpread:
    def test_divergence_is_that_of_every_arms_weights_that_depart(self):
        generator = torch.Generator().manual_seed(0)
        log_spread = torch.randn(2, 5, generator=generator) / 5
        departure = torch.tensor([[0.0, 1, 2, 0.1, 0], [1, 1, 1, 1, 1]])
        each = kl_divergence(Normal(0, 0.3 * spread(log_spread)), Normal(0, 0.3))
        expected = [3 * each[net][departure[net] > 0].sum() for net in range(2)]
        torch.testing.assert_close(divergence(log_spread, departure, 3), torch.stack(expected))

    def test_starts_at_the_prior(self):
        still = torch.zeros(2, 5)
        torch.testing.assert_close(spread(still), torch.ones(2, 5), rtol=0, atol=0)
        assert not divergence(still, torch.ones(2, 5), 3).any()


class TestTheGenerator:
    @pytest.mark.parametrize("way", ["chunk", "component", "once"])
    def test_noise_moves_each_weight_by_its_departure_and_spread(self, way):
        shape = hypernet(generation=way, n_arms=3, **KIND)
        params, buffers = drawn(shape, degrees=[1.0, 0.0])
        noise = perturb(shape, 2, torch.Generator().manual_seed(0))
        assert noise["noise"].shape == (2, 3, shape.net.n_weights)
        moved = shape.generate(params, buffers, noise) - shape.generate(params, buffers)
        size = 0.5 * spread(params["log_spread"]) * buffers["departure"]
        torch.testing.assert_close(moved, size[:, None] * noise["noise"], rtol=1e-3, atol=1e-5)
        assert not moved[1, :, :-1].any()  # of degree 0, only the intercept departs
        assert moved[1, :, -1].all()

    def test_starts_as_without_noise_but_for_the_spread(self):
        sharing = at_degrees([1.0, np.inf], hypernet().net)
        plain, noisy = (
            shape.init(sharing, torch.ones(2, 2), torch.Generator().manual_seed(0))
            for shape in (hypernet(), hypernet(**KIND))
        )
        assert not noisy[0].pop("log_spread").any()
        for before, after in zip(plain, noisy, strict=True):
            assert before.keys() == after.keys()
            assert all(torch.equal(before[name], after[name]) for name in before)

    def test_draws_differ_in_every_weight_unlike_those_of_noise_that_is_told(self):
        ranks = []
        for shape in (hypernet(**KIND), hypernet(noise=0.5)):
            theta, model, _ = draw_networks(shape, *drawn(shape, n=1), "noise", 0)
            assert (model == 0).all()
            apart = theta[:, 1] - theta[:, 0]
            ranks.append(int(torch.linalg.matrix_rank(apart - apart.mean(0), rtol=1e-4)))
        assert ranks[0] == hypernet().net.n_weights  # the fewer of weights and draws
        assert ranks[1] < ranks[0]


class TestModels:
    def test_rows_that_tell_a_weight_quieten_its_noise(self):
        """Of the intercepts, about which every row says something; the rest keep the prior's."""
        spreads = []
        for n in (60, 600):
            X, y, arm, _ = trial(n=n)
            est = tiny(uncertainty="noise", max_epochs=60, inputs="raw", **NOISY).fit(X, y, arm)
            params = est.fitted_.generators[0].params
            assert np.median(params["log_spread"]) == pytest.approx(0, abs=0.05)
            spreads.append(np.exp(4 * params["log_spread"][:, -1].mean()))
        assert 0 < spreads[1] < spreads[0] < 0.9

    def test_learn_an_effect(self):
        X, y, arm, effects = trial(n=400)
        est = able(uncertainty="noise", **NOISY).fit(X, y, arm)
        error = est.predict(X) - effects
        assert np.sqrt(np.mean(error**2)) < 0.4 * effects.std()

    def test_are_saved_pickled_and_repeated_to_the_bit(self, tmp_path):
        X, y, arm, _ = trial(n=120, n_arms=3)
        est = tiny(uncertainty="noise", **NOISY).fit(X, y, arm)
        for copy in copies_of(est, X, y, arm, tmp_path / "model.hypercate"):
            np.testing.assert_array_equal(copy.predict(X), est.predict(X))
            np.testing.assert_array_equal(copy.effect_interval(X), est.effect_interval(X))

    @pytest.mark.parametrize(
        "parameters",
        [
            {"uncertainty": "both", "hypernet_dropout": 0.1, "sharing": "auto", "effort": "fast"},
            {"learner": "r", "uncertainty": "noise", "context": "data", "spectral_norm": True},
            {"calibrate": False, "uncertainty": "noise", "hypernet": "cnn"},
        ],
        ids=str,
    )
    def test_work_with_the_other_parameters(self, parameters):
        X, y, arm, _ = trial(n=120, n_arms=3)
        est = tiny(**NOISY).set_params(**parameters).fit(X, y, arm)
        low, high = est.effect_interval(X)
        assert (low < high).all()
        assert np.isfinite([low, high]).all()

    def test_draw_doses(self):
        X, y, _, _ = trial(n=120)
        dose = np.random.default_rng(0).random(120)
        est = tiny(treatment_kind="dose", uncertainty="noise", **NOISY).fit(X, y, dose)
        assert np.isfinite(est.effect_interval(X)).all()

    def test_without_noise_a_kind_is_refused(self):
        X, y, arm, _ = trial(n=60)
        message = re.escape("noise_kind='weights' would have no effect with hypernet_noise=0")
        with pytest.raises(ValueError, match=message):
            tiny(noise_kind="weights").fit(X, y, arm)
