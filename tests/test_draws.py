"""Networks drawn from a perturbed generator, and the deviations that they stand for."""

import itertools

import numpy as np
import pytest
import torch
from degrees import at_degrees

from hypercate.generator.draws import SOURCES, draw_networks
from hypercate.generator.hypernetwork import PERTURBATIONS, HyperNet
from hypercate.generator.outcome_net import OutcomeNet

NET = OutcomeNet(3, (6, 5), "blunt_silu")
DRAWN = [source for source in SOURCES if source != "members"]


def models(dropout=0.4, n_models=3, noise=0.3):
    """Models whose weights lie 1000 apart, so that a network tells whose it is."""
    hypernet = HyperNet(NET, 2, "chunk", 4, 2, 4, (8, 8), dropout, False, noise)
    generator = torch.Generator().manual_seed(0)
    sharing = at_degrees([1.0] * n_models, NET)
    params, buffers = hypernet.init(sharing, torch.ones(n_models, NET.n_inputs), generator)
    params["common"] += 1000 * torch.arange(n_models)[:, None]
    return hypernet, params, buffers


def owner(theta):
    return (theta.mean(dim=(1, 2)) / 1000).round().int().tolist()


def at_random(n_models, theta):
    """Outcomes of the models and of the networks drawn, one number each."""
    f = np.random.default_rng(0).normal(size=n_models + len(theta))
    return f, f[:n_models], f[n_models:]


class TestDrawNetworks:
    @pytest.mark.parametrize("source", PERTURBATIONS)
    @pytest.mark.parametrize("n_models", [1, 3, 5, 60])
    def test_a_perturbation_spreads_about_each_model(self, n_models, source):
        theta, _, mixture = draw_networks(*models(0.4, n_models), source, 0)
        f, of_models, drawn = at_random(n_models, theta)
        expected = np.mean((drawn - of_models[owner(theta)]) ** 2)
        assert np.square(mixture @ f).sum() == pytest.approx(expected)

    @pytest.mark.parametrize("n_models", [1, 3])
    def test_both_spread_about_the_mean_of_the_models(self, n_models):
        theta, _, mixture = draw_networks(*models(0.4, n_models), "both", 0)
        f, of_models, drawn = at_random(n_models, theta)
        expected = np.square(drawn - of_models.mean()).mean()
        assert np.square(mixture @ f).sum() == pytest.approx(expected)

    @pytest.mark.parametrize("source", DRAWN)
    def test_what_is_the_same_in_all_networks_is_no_deviation(self, source):
        _, _, mixture = draw_networks(*models(), source, 0)
        np.testing.assert_allclose(mixture.sum(axis=1), 0, atol=1e-12)

    @pytest.mark.parametrize("source", DRAWN)
    @pytest.mark.parametrize("n_models", [1, 3, 7, 60])
    def test_models_are_perturbed_equally_often_and_not_too_many_networks_are_held(
        self, source, n_models
    ):
        theta, model, mixture = draw_networks(*models(0.4, n_models), source, 0)
        assert owner(theta) == model.tolist()
        assert mixture.shape == (len(theta), n_models + len(theta))
        times = np.bincount(model)
        assert len(times) == n_models
        assert np.ptp(times) == 0
        assert 40 <= times.sum() < 40 + n_models

    @pytest.mark.parametrize("source", DRAWN)
    def test_a_seed_gives_the_same_networks_and_global_state_is_left_alone(self, source):
        state = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
        first, again, other = (draw_networks(*models(), source, seed)[0] for seed in (0, 0, 1))
        after = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
        assert after == state
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    @pytest.mark.parametrize("noise", [0.0, 0.3])
    def test_by_dropout_each_is_a_generator_with_some_units_dropped_and_no_noise(self, noise):
        hypernet, params, buffers = models(n_models=1, noise=noise)
        theta, _, _ = draw_networks(hypernet, params, buffers, "dropout", 0)
        assert len(theta.unique(dim=0)) > 30
        masks = torch.tensor(list(itertools.product([0.0, 1 / 0.6], repeat=8)))
        possible = torch.cat(
            [hypernet.generate(params, buffers, {"dropout": mask}) for mask in masks[:, None]]
        )
        for network in theta:
            assert (network - possible).abs().amax(dim=(1, 2)).min() < 1e-5

    @pytest.mark.parametrize("dropout", [0.0, 0.4])
    def test_by_noise_each_is_a_generator_told_noise_with_no_unit_dropped(self, dropout):
        """Only what the noise does to the first hidden layer tells networks apart."""
        hypernet, params, buffers = models(dropout, n_models=1)
        theta, _, _ = draw_networks(hypernet, params, buffers, "noise", 0)
        assert len(theta.unique(dim=0)) == len(theta)
        quiet = params | {"noise_matrix": torch.zeros_like(params["noise_matrix"])}
        still, _, _ = draw_networks(hypernet, quiet, buffers, "noise", 0)
        whole = hypernet.generate(params, buffers)
        torch.testing.assert_close(still, whole.expand_as(still))

    def test_both_are_perturbed_by_all_that_is_on(self):
        """Without the one, networks are those that the other alone gives."""
        hypernet, params, buffers = models(n_models=1)
        both, by_dropout, by_noise = (
            draw_networks(hypernet, params, buffers, source, 0)[0]
            for source in ("both", *PERTURBATIONS)
        )
        assert not torch.isclose(both, by_dropout).all(dim=(1, 2)).any()
        assert not torch.isclose(both, by_noise).all(dim=(1, 2)).any()
        quiet = params | {"noise_matrix": torch.zeros_like(params["noise_matrix"])}
        dropped, _, _ = draw_networks(hypernet, quiet, buffers, "both", 0)
        torch.testing.assert_close(dropped, by_dropout)
        only_noise = models(0.0, n_models=1)
        told, alone = (draw_networks(*only_noise, source, 0)[0] for source in ("both", "noise"))
        assert torch.equal(told, alone)

    @pytest.mark.parametrize("source", DRAWN)
    def test_they_carry_no_gradient(self, source):
        hypernet, params, buffers = models()
        params = {name: tensor.requires_grad_() for name, tensor in params.items()}
        assert not draw_networks(hypernet, params, buffers, source, 0)[0].requires_grad

    @pytest.mark.parametrize("source", DRAWN)
    def test_a_model_whose_arms_own_their_weights_is_not_perturbed(self, source):
        hypernet = models()[0]
        params, buffers = hypernet.init(
            at_degrees([1.0, np.inf], NET), torch.ones(2, 3), torch.Generator().manual_seed(0)
        )
        theta, model, _ = draw_networks(hypernet, params, buffers, source, 0)
        drawn = theta[model == 1]
        assert torch.equal(drawn, hypernet.generate(params, buffers)[1:].expand_as(drawn))
        assert len(theta[model == 0].unique(dim=0)) > 15
