"""The pre-trained generator: what it solves, what it reads, and how it is trained."""

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate.generator.outcome_net import OutcomeNet
from hypercate.pretraining import training, weights
from hypercate.pretraining.__main__ import main
from hypercate.pretraining.emitter import Emitter
from hypercate.pretraining.last_layers import solve_last_layers
from hypercate.pretraining.training import Recipe, held_out_error, train
from hypercate.pretraining.weights import pretrained

CPU = torch.device("cpu")
SHORT = {"steps": 6, "batch": 2, "rows": (50, 60), "columns": (2, 4), "arms": (2, 3)}


def study(b=2, n=80, p=5, n_arms=2, seed=0):
    """Covariates, weights of the arms and outcomes of random studies."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(b, n, p, generator=generator)
    arm = torch.rand(b, n, generator=generator).argsort(1) % n_arms
    weight = F.one_hot(arm, n_arms).float()
    y = x[..., 0] + arm * (0.5 + 0.5 * x[..., -1]) + torch.randn(b, n, generator=generator)
    return x, weight, (y - y.mean(1, keepdim=True)) / y.std(1, keepdim=True)


def linear_study(n=60, n_features=4, n_arms=3, seed=0):
    """One study in float64, with positive precisions."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, n, n_features, generator=generator, dtype=torch.float64)
    arm = torch.arange(n)[None] % n_arms
    weight = F.one_hot(arm, n_arms) * (0.5 + torch.rand(1, n, 1, generator=generator).double())
    y = torch.randn(1, n, generator=generator, dtype=torch.float64)
    shared, own = torch.rand(2, 1, n_features, generator=generator, dtype=torch.float64) * 5 + 0.5
    return features, weight, y, shared, own


def jointly(features, weight, y, shared, own):
    """Mean and covariance of all arms' coefficients, by one ridge regression on all of them."""
    features, weight, y = features[0].numpy(), weight[0].numpy(), y[0].numpy()
    n_arms, size = weight.shape[1], features.shape[1]
    own_arm = weight > 0
    design = np.hstack([features, *(features * own_arm[:, [k]] for k in range(n_arms))])
    penalty = np.concatenate([shared[0].numpy(), np.tile(own[0].numpy(), n_arms)])
    row_weight = weight.sum(1)
    inverse = np.linalg.inv((design * row_weight[:, None]).T @ design + np.diag(penalty))
    coef = inverse @ (design * row_weight[:, None]).T @ y
    to_arm = np.hstack([np.tile(np.eye(size), (n_arms, 1)), np.eye(n_arms * size)])
    return (to_arm @ coef).reshape(n_arms, size), to_arm @ inverse @ to_arm.T


class TestLastLayers:
    def test_are_the_ridge_regression_on_shared_and_own_coefficients(self):
        arguments = linear_study()
        coef, covariance = jointly(*arguments)
        last = solve_last_layers(*arguments)
        np.testing.assert_allclose(last.coef[0], coef, atol=1e-10)
        rows = arguments[0][:, :7]
        size = coef.shape[1]
        for k in range(3):
            block = covariance[k * size : (k + 1) * size, k * size : (k + 1) * size]
            own = np.einsum("nf,fg,ng->n", rows[0], block, rows[0])
            np.testing.assert_allclose(last.leverage(rows)[0, :, k], own, atol=1e-10)
        apart = np.hstack([-np.eye(size), np.zeros((size, size)), np.eye(size)])
        of_effect = apart @ covariance @ apart.T
        expected = np.einsum("nf,fg,ng->n", rows[0], of_effect, rows[0])
        np.testing.assert_allclose(last.effect_variance(rows)[0, :, 1], expected, atol=1e-10)

    def test_leverage_tells_the_fit_without_a_row(self):
        features, weight, y, shared, own = linear_study()
        last = solve_last_layers(features, weight, y, shared, own)
        arm = int(weight[0, 5].argmax())
        used = (weight * last.leverage(features)).sum(2)[0, 5]
        residual = (y[0, 5] - features[0, 5] @ last.coef[0, arm]) / (1 - used)
        without = weight.clone()
        without[0, 5] = 0
        coef = solve_last_layers(features, without, y, shared, own).coef[0, arm]
        assert residual.item() == pytest.approx((y[0, 5] - features[0, 5] @ coef).item(), abs=1e-10)

    def test_draws_have_the_posterior_s_covariance(self):
        features, weight, y, shared, own = linear_study()
        last = solve_last_layers(features, weight, y, shared, own)
        drawn = last.draw(40_000, torch.Generator().manual_seed(0))
        effect = ((drawn[:, 0, 1:] - drawn[:, 0, :1]) @ features[0, :9].T).transpose(1, 2)
        expected = last.effect_variance(features[:, :9])[0]
        np.testing.assert_allclose(effect.var(0), expected, rtol=0.05)
        assert effect.mean(0).abs().max() < 4 * expected.max().sqrt() / 200

    def test_an_arm_of_few_rows_stays_at_what_all_share(self):
        features, weight, y, shared, _ = linear_study(n=300, n_arms=2)
        weight[0, 4:, 1] = 0
        firm, loose = (
            solve_last_layers(features, weight, y, shared, torch.full_like(shared, held)).coef
            for held in (1e6, 1e-3)
        )
        assert (firm[0, 1] - firm[0, 0]).abs().max() < 1e-3
        assert (loose[0, 1] - loose[0, 0]).abs().max() > 0.1


class TestEmitter:
    @settings(max_examples=15, deadline=None)
    @given(
        n=st.integers(30, 90),
        p=st.integers(1, 9),
        n_arms=st.integers(2, 4),
        seed=st.integers(0, 10**6),
    )
    def test_the_order_of_rows_columns_and_arms_does_not_matter(self, n, p, n_arms, seed):
        x, weight, y = study(1, n, p, n_arms, seed)
        emitter = pretrained(CPU)
        outcomes = emitter(x, weight, y)[-1].outcomes(x)
        rng = np.random.default_rng(seed)
        rows, columns, arms = (torch.as_tensor(rng.permutation(size)) for size in (n, p, n_arms))
        other = x[:, rows][..., columns]
        again = emitter(other, weight[:, rows][..., arms], y[:, rows])[-1].outcomes(other)
        torch.testing.assert_close(again, outcomes[:, rows][..., arms], atol=2e-3, rtol=2e-3)

    def test_nor_that_of_columns_that_look_alike(self):
        x, weight, y = study(1, 80, 6)
        x = torch.sign(x.argsort(1).argsort(1).float() - 39.5)
        emitter = pretrained(CPU)
        outcomes = emitter(x, weight, y)[-1].outcomes(x)
        again = emitter(x.flip(2), weight, y)[-1].outcomes(x.flip(2))
        torch.testing.assert_close(again, outcomes, atol=2e-3, rtol=2e-3)

    @settings(max_examples=15, deadline=None)
    @given(
        n=st.integers(20, 120),
        p=st.integers(1, 150),
        n_arms=st.integers(2, 6),
        seed=st.integers(0, 10**6),
    )
    def test_any_size_is_finite(self, n, p, n_arms, seed):
        x, weight, y = study(2, n, p, n_arms, seed)
        for emitted in pretrained(CPU)(x, weight, y):
            assert emitted.outcomes(x).isfinite().all()
            assert (emitted.last.effect_variance(emitted.features(x)) > 0).all()
            assert (emitted.noise > 0).all()
            assert (emitted.spread > 0).all()

    def test_rows_of_no_weight_are_not_read(self):
        x, weight, y = study()
        weight[:, 50:] = 0
        other = y.clone()
        other[:, 50:] = 1000
        first, second = (pretrained(CPU)(x, weight, values)[-1] for values in (y, other))
        assert torch.equal(first.outcomes(x), second.outcomes(x))

    def test_networks_are_what_was_emitted(self):
        x, weight, y = study(3, 60, 4, 3)
        emitted = pretrained(CPU)(x, weight, y)[-1]
        net = OutcomeNet(4, (emitted.bias.shape[1] + 2,), "silu")
        theta = emitted.weights(emitted.last.coef)
        assert theta.shape == (3, 3, net.n_weights)
        outcomes = net(theta.flatten(0, 1), x.repeat_interleave(3, dim=0)).unflatten(0, (3, 3))
        torch.testing.assert_close(outcomes.mT, emitted.outcomes(x), atol=1e-5, rtol=1e-4)

    def test_each_round_says_more_on_rows_left_out(self):
        recipe = Recipe()
        errors = []
        for batch in range(6):
            worlds = training._draw(
                recipe,
                torch.Generator().manual_seed(10**8 + batch),
                torch.Generator().manual_seed(10**8 + batch),
            )
            rounds = training.emit(pretrained(CPU), worlds)
            errors.append([training.losses(worlds, [one])[1].mean().item() for one in rounds])
        mean = np.mean(errors, axis=0)
        assert mean[-1] < 0.97 * mean[0]

    def test_what_it_has_learned_pays(self):
        recipe = Recipe()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            untrained = Emitter(**pretrained(CPU).shape)
        before = held_out_error(untrained, recipe, 6, CPU)
        assert held_out_error(pretrained(CPU), recipe, 6, CPU) < 0.82 * before


class TestWeights:
    def test_they_are_small_and_those_that_were_released(self):
        assert weights.PATH.stat().st_size < 8 * 2**20
        assert not any(parameter.requires_grad for parameter in pretrained(CPU).parameters())

    def test_damaged_weights_are_refused(self, monkeypatch, tmp_path):
        data = bytearray(weights.PATH.read_bytes())
        data[-1] ^= 1
        damaged = tmp_path / "weights.safetensors"
        damaged.write_bytes(data)
        monkeypatch.setattr(weights, "PATH", damaged)
        with pytest.raises(ValueError, match="checksum differs from that of this version"):
            pretrained.__wrapped__(CPU)

    def test_reading_them_does_not_import_the_compiler(self):
        code = (
            "import sys, torch; from hypercate.pretraining.weights import pretrained; "
            "before = set(sys.modules); pretrained(torch.device('cpu')); "
            "print(sorted(set(sys.modules) - before))"
        )
        command = [sys.executable, "-c", code]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "torch._dynamo" not in found

    def test_reading_them_draws_no_random_numbers(self):
        state = torch.get_rng_state()
        pretrained.__wrapped__(CPU)
        assert torch.equal(torch.get_rng_state(), state)


class TestTraining:
    def train(self, path, **changed):
        return train(Recipe(**SHORT | changed), path, CPU, every=2, held_out=1)

    def test_the_command_trains_writes_and_says_how_it_fares(self, tmp_path, caplog):
        path = tmp_path / "weights.safetensors"
        arguments = [f"--{name}" for name in SHORT]
        values = [value if isinstance(value, tuple) else (value,) for value in SHORT.values()]
        pairs = zip(arguments, values, strict=True)
        flat = [str(part) for name, value in pairs for part in (name, *value)]
        state = torch.get_rng_state()
        with caplog.at_level(logging.INFO):
            main([str(path), *flat, "--every", "3", "--held-out", "1", "--device", "cpu"])
        assert torch.equal(torch.get_rng_state(), state)
        assert [record.message.split(",")[0] for record in caplog.records] == ["3 steps", "6 steps"]
        assert "held-out worlds" in caplog.records[-1].message
        x, weight, y = study()
        outcomes = weights.read(path.read_bytes(), CPU)(x, weight, y)[-1].outcomes(x)
        assert outcomes.isfinite().all()

    def test_a_run_that_was_stopped_goes_on_to_the_same_weights(self, tmp_path, monkeypatch):
        straight = self.train(tmp_path / "straight.safetensors")
        judge, calls = training.held_out_error, []

        def stopped(*arguments):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return judge(*arguments)

        path = tmp_path / "stopped.safetensors"
        monkeypatch.setattr(training, "held_out_error", stopped)
        with pytest.raises(KeyboardInterrupt):
            self.train(path)
        resumed = self.train(path)
        assert len(calls) == 4
        for name, tensor in straight.state_dict().items():
            assert torch.equal(resumed.state_dict()[name], tensor), name

    def test_a_checkpoint_of_another_recipe_is_refused(self, tmp_path):
        path = tmp_path / "weights.safetensors"
        self.train(path)
        with pytest.raises(ValueError, match=r"to a run with other settings.*'steps': 6"):
            self.train(path, steps=8)

    def test_a_run_goes_on_in_the_same_worlds(self, tmp_path):
        path = tmp_path / "weights.safetensors"
        self.train(path)
        with pytest.raises(ValueError, match="to a run with other settings"):
            train(Recipe(**SHORT), path, CPU, without=frozenset({"confounding"}))

    def test_other_seeds_and_other_worlds_give_other_weights(self, tmp_path):
        first, other, without = (
            self.train(tmp_path / "a.safetensors"),
            self.train(tmp_path / "b.safetensors", seed=1),
            train(
                Recipe(**SHORT), tmp_path / "c.safetensors", CPU, every=6, held_out=1,
                without=frozenset({"confounding"}),
            ),
        )  # fmt: skip
        assert not torch.equal(first.unit, other.unit)
        assert not torch.equal(first.unit, without.unit)

    def test_training_lowers_the_error_on_held_out_worlds(self, tmp_path):
        recipe = Recipe(steps=40, batch=8, rows=(50, 100), columns=(2, 6))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            before = held_out_error(Emitter(), recipe, 6, CPU)
        after = train(recipe, tmp_path / "weights.safetensors", CPU, every=40, held_out=1)
        assert held_out_error(after, recipe, 6, CPU) < 0.97 * before

    def test_worlds_are_of_the_sizes_asked_for(self):
        recipe = Recipe()
        sizes = np.array([recipe.sizes(torch.Generator().manual_seed(s)) for s in range(500)])
        assert sizes.min(axis=0).tolist() == [50, 1, 2]
        assert sizes[:, 0].max() <= 700
        assert sizes[:, 1].max() <= 40
        assert set(sizes[:, 2]) == set(range(2, 9))
        assert 0.7 < (sizes[:, 2] == 2).mean() < 0.85
