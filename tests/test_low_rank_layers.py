"""Layers generated as products of thin matrices: what is computed and saved, and models with it."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import able, copies_of, tiny, trial
from test_generator import drawn, hypernet, nets

from hypercate.generator.generation import cut
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.inspection import compression, layer_departures

quick = settings(max_examples=40, deadline=None, derandomize=True)


def matrix_of(theta, layer):
    return theta[..., layer.start : layer.bias_start].unflatten(-1, (layer.n_in, layer.n_out))


class TestPieces:
    @quick
    @given(nets, st.integers(1, 3), st.integers(0, 2**31))
    def test_are_products_of_what_is_emitted_layer_by_layer(self, net, rank, seed):
        pieces = cut(net, "low_rank", 8, rank)
        generator = torch.Generator().manual_seed(seed)
        emitted = torch.randn(2, pieces.n_pieces, pieces.piece_size, generator=generator).double()
        theta = pieces.assemble(emitted.flatten(1))
        assert theta.shape == (2, net.n_weights)
        for i, layer in enumerate(net.layers):
            values = emitted[:, i].tolist()
            for own, whole in zip(theta, values, strict=True):
                n, r, m = layer.n_in, rank, layer.n_out
                thin = n * r + r * m
                if thin < n * m:
                    a = np.reshape(whole[: n * r], (n, r))
                    b = np.reshape(whole[n * r : thin], (r, m))
                    expected, size = a @ b / np.sqrt(r), thin
                else:
                    expected, size = np.reshape(whole[: n * m], (n, m)), n * m
                np.testing.assert_allclose(matrix_of(own, layer).numpy(), expected, atol=1e-12)
                np.testing.assert_array_equal(
                    own[layer.bias_start : layer.stop].numpy(), whole[size : size + m]
                )

    def test_a_wide_network_needs_few_numbers(self):
        net = OutcomeNet(20, (256,) * 5, "tanh")
        low_rank, component = (cut(net, way, 8, 4) for way in ("low_rank", "component"))
        assert low_rank.n_pieces == component.n_pieces == 6
        assert low_rank.piece_size == 4 * 512 + 256
        assert low_rank.piece_size < component.piece_size / 25

    def test_entries_have_the_variance_of_what_is_emitted(self):
        net = OutcomeNet(60, (60,), "tanh")
        pieces = cut(net, "low_rank", 8, 3)
        emitted = torch.randn(
            200, 2 * pieces.piece_size, generator=torch.Generator().manual_seed(0)
        )
        assert pieces.assemble(emitted)[:, :3600].std().item() == pytest.approx(1, abs=0.05)


class TestTheGenerator:
    @pytest.mark.parametrize("spectral_norm", [False, True])
    @pytest.mark.parametrize("n_heads", [1, 4])
    def test_arms_depart_by_matrices_of_the_rank(self, spectral_norm, n_heads):
        net = OutcomeNet(7, (9, 8), "tanh")
        shape = hypernet(
            net=net, generation="low_rank", rank=2, n_heads=n_heads, spectral_norm=spectral_norm
        )
        params, buffers = drawn(shape)
        for name in params:
            params[name].requires_grad_()
        theta = shape.generate(params, buffers)
        theta.square().sum().backward()
        assert all(tensor.grad.abs().max() > 0 for tensor in params.values())
        common = (buffers["scale"] * params["common"])[:, None]
        departed = (theta - common).detach() / buffers["departure"][:, None]
        for layer, rank in zip(net.layers, (2, 2, 1), strict=True):
            found = torch.linalg.matrix_rank(matrix_of(departed, layer), rtol=1e-4)
            assert (found == rank).all()


class TestModels:
    def test_learn_an_effect(self):
        X, y, arm, effects = trial(n=400)
        est = able(generation="low_rank", rank=2, pretrained="none", second_stage="none")
        error = est.fit(X, y, arm).predict(X) - effects
        assert np.sqrt(np.mean(error**2)) < 0.4 * effects.std()

    def test_are_saved_pickled_and_repeated_to_the_bit(self, tmp_path):
        X, y, arm, _ = trial(n=120, n_arms=3)
        est = tiny(generation="low_rank", rank=2).fit(X, y, arm)
        for copy in copies_of(est, X, y, arm, tmp_path / "model.hypercate"):
            np.testing.assert_array_equal(copy.predict(X), est.predict(X))
            np.testing.assert_array_equal(copy.effect_interval(X), est.effect_interval(X))
        assert (layer_departures(est) > 0).all(axis=None)
        other = tiny(generation="low_rank", rank=1).fit(X, y, arm)
        assert not np.array_equal(other.predict(X), est.predict(X))

    def test_of_a_smaller_rank_train_fewer_parameters(self):
        X, y, arm, _ = trial(n=60)
        trained = [
            compression(
                tiny(outcome_hidden=(32, 32), max_epochs=1, **parameters).fit(X, y, arm)
            ).loc["outcomes", ["heads", "trained"]]
            for parameters in (
                {"generation": "low_rank", "rank": 1},
                {"generation": "low_rank", "rank": 4},
                {"generation": "component"},
            )
        ]
        for fewer, more in itertools.pairwise(trained):
            assert (fewer < more).all()

    @pytest.mark.parametrize(
        "parameters",
        [
            {"hypernet": "rnn", "uncertainty": "both", "hypernet_dropout": 0.1},
            {"learner": "dr", "context": "data", "spectral_norm": True},
            {"hypernet_noise": 0.1, "noise_kind": "weights", "uncertainty": "noise"},
        ],
        ids=str,
    )
    def test_work_with_the_other_parameters(self, parameters):
        X, y, arm, _ = trial(n=120, n_arms=3)
        est = tiny(generation="low_rank", rank=1).set_params(**parameters).fit(X, y, arm)
        assert np.isfinite(est.effect_interval(X)).all()

    def test_generate_doses(self):
        X, y, _, _ = trial(n=120)
        dose = np.random.default_rng(0).random(120)
        est = tiny(treatment_kind="dose", generation="low_rank").fit(X, y, dose)
        assert np.isfinite(est.predict(X)).all()
