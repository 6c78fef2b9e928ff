"""Efforts: what a fit tries, over what the parameters say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import copies_of, trial

from hypercate import HyperCATE
from hypercate.effort import EFFORTS

TRAINED = sorted(EFFORTS)


def fitted(X, y, arm, effort, **parameters):
    settings_ = {"max_epochs": 30, "random_state": 0, "device": "cpu", "outcome_hidden": (16, 16)}
    return HyperCATE(effort=effort, **settings_ | parameters).fit(X, y, arm)


@pytest.fixture(scope="module", params=TRAINED)
def effort(request):
    return request.param


class TestEveryEffort:
    def test_recovers_effects(self, effort):
        X, y, arm, _ = trial(600, n_arms=3)
        est = fitted(X, y, arm, effort, max_epochs=60)
        fresh, _, _, truth = trial(500, n_arms=3, seed=1)
        assert np.sqrt(np.mean((est.predict(fresh) - truth) ** 2)) < 0.4 * truth.std()
        low, high = est.effect_interval(fresh, alpha=0.1)
        assert ((low <= truth) & (truth <= high)).mean() > 0.7
        assert (high - low).mean() < 3 * truth.std()

    def test_is_reproducible_pickled_cloned_and_saved(self, effort, tmp_path):
        X, y, arm, _ = trial(120, n_arms=3)
        est = fitted(X, y, arm, effort, max_epochs=3)
        for copy in copies_of(est, X, y, arm, tmp_path / "model.hypercate"):
            assert (copy.predict_outcomes(X) == est.predict_outcomes(X)).all()
            assert (copy.effect_interval(X)[0] == est.effect_interval(X)[0]).all()

    @pytest.mark.parametrize("source", ["dropout", "noise", "both"])
    def test_draws_by_perturbed_generators(self, effort, source):
        X, y, arm, _ = trial(150, n_arms=3)
        est = fitted(
            X, y, arm, effort, max_epochs=5, uncertainty=source, hypernet_dropout=0.2,
            hypernet_noise=0.3,
        )  # fmt: skip
        assert (np.ptp(est.sample_effects(X, 100, random_state=0), axis=0) > 0).all()


class TestFast:
    def test_tries_no_constant_effects(self):
        X, y, arm, _ = trial(100)
        est = fitted(X, y, arm, "fast", max_epochs=2)
        assert list(est.sharing_) == ["weak", "chosen"]
        assert list(est.inputs_) == ["raw", "boosted", "chosen"]
        three = trial(100, n_arms=3)[:3]
        est = fitted(*three, "fast", max_epochs=2)
        assert list(est.sharing_) == ["weak", "independent", "chosen"]

    def test_has_one_random_start(self):
        X, y, arm, _ = trial(200)
        settings_ = {"max_epochs": 1, "sharing": "weak", "inputs": "raw"}
        fast, balanced = (fitted(X, y, arm, way, **settings_) for way in ("fast", "balanced"))
        assert fast.calibration_.start_share == 0
        assert balanced.calibration_.start_share > 0
        assert len(fast.fitted_.networks.theta) == len(balanced.fitted_.networks.theta) == 5

    @settings(derandomize=True, deadline=None, max_examples=5)
    @given(st.integers(0, 100), st.sampled_from([2, 3]))
    def test_what_is_kept_did_best_on_the_stop_rows(self, seed, n_arms):
        X, y, arm, _ = trial(100, n_arms=n_arms, seed=seed)
        est = fitted(X, y, arm, "fast", max_epochs=10, pretrained="none", second_stage="none")
        best = est.history_.groupby("member")["validation_loss"].min()
        least = est.sharing_.drop(columns="chosen").min(axis=1)
        np.testing.assert_allclose(best, least, rtol=1e-6)

    def test_waits_half_as_long(self):
        X, y, arm, _ = trial(200)
        settings_ = {"max_epochs": 200, "patience": 6, "sharing": "weak", "inputs": "raw"}
        for way, patience in (("fast", 3), ("balanced", 6)):
            history = fitted(X, y, arm, way, **settings_).history_
            for _, member in history.groupby("member"):
                gained, least = 0, np.inf
                for epoch, loss in enumerate(member["validation_loss"].astype(np.float32)):
                    if loss < np.float32(0.99) * np.float32(least):
                        gained, least = epoch, loss
                assert len(member) - 1 - gained == patience


class TestThorough:
    @pytest.mark.parametrize("n_members", [1, 3, 5])
    def test_has_twice_as_many_members(self, n_members):
        X, y, arm, _ = trial(100)
        est = fitted(X, y, arm, "thorough", max_epochs=2, n_members=n_members)
        assert len(est.weights_) == len(est.sharing_) == 2 * n_members
        networks = est.fitted_.networks
        members = networks.by_model(est.fitted_.features.transform(X), torch.device("cpu"))
        np.testing.assert_allclose(
            est.predict_outcomes(X), members[: 2 * n_members].mean(axis=0), atol=1e-6
        )
        same = fitted(X, y, arm, "balanced", max_epochs=2, n_members=2 * n_members)
        assert (same.predict(X) == est.predict(X)).all()
