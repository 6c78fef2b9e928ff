"""How much emitted networks count beside trained ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize_scalar

from hypercate import HyperCATE
from hypercate.pretraining import emission
from hypercate.pretraining.weights import SHA256
from hypercate.weigh import HELD, emitted_share

quick = settings(derandomize=True, deadline=None, max_examples=60)


def squared(output, target):
    return (output - target).square()


def cross_entropy(output, target):
    return F.binary_cross_entropy_with_logits(output, target, reduction="none")


def share_of(trained, emitted, target, weight=None, cluster=None, loss=squared):
    trained, emitted, target = (np.atleast_2d(part) for part in (trained, emitted, target))
    weight = np.ones(target.shape) if weight is None else np.atleast_2d(weight)
    if cluster is None:
        cluster = np.tile(np.arange(target.shape[1]), (len(target), 1))
    return emitted_share(trained, emitted, target, weight, np.atleast_2d(cluster), loss)


class TestShare:
    @quick
    @given(
        hnp.arrays(np.float64, (3, 12), elements=st.floats(-3, 3, width=32)),
        st.floats(0.01, 2),
        st.booleans(),
    )
    def test_minimises_the_loss_at_the_stop_rows_held_to_the_emitted(self, drawn, noise, binary):
        """Against a minimiser of its own, over the whole interval."""
        trained, emitted, other = drawn
        rng = np.random.default_rng(0)
        target = (trained + other) / 2 + noise * rng.normal(size=12)
        if binary:
            target = (target > 0).astype(float)
        loss = cross_entropy if binary else squared

        def mean(w):
            mixed = torch.as_tensor(trained + w * (emitted - trained))
            return loss(mixed, torch.as_tensor(target)).mean().item()

        best = min(mean(w) for w in np.linspace(0, 1, 101))

        def criterion(w):
            return mean(w) / best + (HELD / 12) ** 2 * (1 - w) ** 2

        found = share_of(trained, emitted, target, loss=loss).item()
        exact = minimize_scalar(criterion, bounds=(0, 1), method="bounded").x
        assert found == pytest.approx(exact, abs=0.0101)

    def test_each_model_has_its_own(self):
        rng = np.random.default_rng(1)
        target = rng.normal(size=(2, 400))
        poor = target + rng.normal(size=target.shape)
        good = target + 0.1 * rng.normal(size=target.shape)
        trained = np.stack([poor[0], good[1]])
        emitted = np.stack([good[0], poor[1]])
        first, second = share_of(trained, emitted, target)
        assert first > 0.95
        assert second < 0.05

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_is_all_of_it_where_rows_say_nothing(self, value):
        """No rows; outputs that are the same; no error to explain."""
        ones = np.ones(5)
        assert share_of(ones, 0 * ones, ones, weight=0 * ones) == 1
        assert share_of(value * ones, value * ones, 0 * ones) == 1

    def test_few_rows_move_it_less_than_many(self):
        rng = np.random.default_rng(2)
        target = rng.normal(size=2000)
        trained, emitted = target + rng.normal(size=2000), target + 2 * rng.normal(size=2000)
        shares = [share_of(trained[:n], emitted[:n], target[:n]).item() for n in (4, 2000)]
        assert shares[0] > shares[1] + 0.1
        assert shares[1] == pytest.approx(0.2, abs=0.06)  # by inverse variances

    @quick
    @given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
    def test_units_of_weights_and_outcomes_do_not_matter(self, of_weight, of_outcome):
        rng = np.random.default_rng(3)
        trained, emitted, target = rng.normal(size=(3, 30))
        weight = rng.exponential(size=30)
        expected = share_of(trained, emitted, target, weight)
        scaled = (part * of_outcome for part in (trained, emitted, target))
        assert share_of(*scaled, weight * of_weight) == pytest.approx(expected, abs=0.0101)

    def test_rows_of_a_cluster_count_as_one(self):
        rng = np.random.default_rng(4)
        once = rng.normal(size=(3, 20))
        thrice = np.repeat(once, 3, axis=1)
        cluster = np.repeat(np.arange(20), 3)
        assert share_of(*thrice, cluster=cluster) == share_of(*once)
        assert share_of(*thrice) != share_of(*once)


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(150, 4))
    arm = rng.integers(0, 3, size=150)
    y = x[:, 0] + arm * (1 + x[:, 1]) + 0.5 * rng.normal(size=150)
    return x, y, arm


def fitted(study, **parameters):
    x, y, arm = study
    settings = {"max_epochs": 15, "inputs": "raw", "random_state": 6} | parameters
    return HyperCATE(device="cpu", **settings).fit(x, y, arm)


def by_model(est, x):
    return est.fitted_.networks.by_model(est.fitted_.features.transform(x), torch.device("cpu"))


class TestThroughFit:
    def test_outcomes_are_those_of_trained_and_emitted_networks_averaged(self, study):
        """The same as two estimators that each hold one kind."""
        both, trained = fitted(study), fitted(study, pretrained="none")
        emitted = HyperCATE(effort="instant", device="cpu", random_state=6).fit(*study)
        share = both.weights_["emitted"].to_numpy()
        assert ((share > 0) & (share < 1)).any()
        fresh = np.random.default_rng(7).normal(size=(50, 4))
        parts = [by_model(est, fresh) for est in (both, trained, emitted)]
        weight = share[:, None, None]
        expected = (1 - weight) * parts[1] + weight * parts[2]
        np.testing.assert_allclose(parts[0], expected, rtol=1e-4, atol=1e-4)
        assert np.abs(parts[1] - parts[2]).max() > 0.1

    def test_of_a_binary_outcome_log_odds_are_averaged(self, study):
        x, y, arm = study
        study = x, (y > 1).astype(int), arm
        both, trained = fitted(study), fitted(study, pretrained="none")
        emitted = HyperCATE(effort="instant", device="cpu", random_state=6).fit(*study)
        weight = both.weights_["emitted"].to_numpy()[:, None, None]
        odds = [np.log(p / (1 - p)) for p in (by_model(e, x) for e in (both, trained, emitted))]
        expected = (1 - weight) * odds[1] + weight * odds[2]
        np.testing.assert_allclose(odds[0], expected, rtol=1e-3, atol=1e-3)

    def test_draws_lie_about_the_average(self, study):
        est = fitted(study, uncertainty="both", hypernet_dropout=0.2, hypernet_noise=0.2)
        draws = est.sample_effects(study[0], 400, random_state=0)
        assert (est.weights_["emitted"] > 0).any()
        error = draws.std(axis=0).mean()
        assert 0 < error < 5
        assert np.abs(draws.mean(axis=0) - est.predict(study[0])).max() < 8 * error / 20

    def test_weights_add_up_to_one(self, study):
        weights = fitted(study, n_members=7).weights_
        assert list(weights.columns)[:2] == ["trained", "emitted"]
        assert weights.index.tolist() == list(range(7))
        np.testing.assert_allclose(weights.sum(axis=1), 1)
        assert fitted(study).fitted_.pretrained.sha256 == SHA256
        assert fitted(study, pretrained="none").fitted_.pretrained is None
        instant = HyperCATE(effort="instant", device="cpu").fit(*study).weights_
        assert (instant["emitted"] == 1).all()

    @pytest.mark.parametrize(
        "parameters",
        [
            {"pretrained": "none"},
            {"sharing": "weak"},
            {"generation": "none"},
            {"uncertainty": "dropout", "hypernet_dropout": 0.2},
            {"uncertainty": "noise", "hypernet_noise": 0.2},
        ],
    )
    def test_only_trained_networks_count_where_that_is_asked_for(self, study, parameters):
        assert (fitted(study, **parameters).weights_["emitted"] == 0).all()

    @pytest.mark.parametrize("limit", ["_MOST_ROWS", "_MOST_INPUTS", "_MOST_ARMS"])
    def test_or_where_the_study_is_larger_than_has_been_tried(self, study, limit, monkeypatch):
        monkeypatch.setattr(emission, limit, 2)
        assert (fitted(study).weights_["emitted"] == 0).all()

    def test_where_emitted_networks_fit_badly_they_do_not_count(self):
        """An outcome that oscillates too fast for them, but not for boosted trees."""
        rng = np.random.default_rng(8)
        x = rng.uniform(-1, 1, size=(2000, 1))
        arm = rng.integers(0, 2, size=2000)
        y = np.sign(np.sin(20 * x[:, 0])) + 0.1 * rng.normal(size=2000)
        est = HyperCATE(device="cpu", random_state=0, max_epochs=60).fit(x, y, arm)
        assert (est.weights_["emitted"] < 0.2).all()
