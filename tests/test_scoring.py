"""The R-score: what it rewards, what it does not mind, and what it refuses."""

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.model_selection import cross_val_predict

from hypercate import scoring
from hypercate.folds import Folds
from hypercate.scoring import r_score

NUMBERS = np.zeros(2, dtype=int)  # no feature is the code of a level


def trial(n=140, n_arms=2):
    """x1 confounds; the effect of arm k is k * (1 + 2 [x0 > 0])."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    arm = np.where(rng.random(n) < 1 / (1 + np.exp(-x[:, 1])), rng.integers(1, n_arms, n), 0)
    tau = np.arange(1, n_arms) * (1 + 2 * (x[:, :1] > 0))
    y = x[:, 1] + np.column_stack([np.zeros(n), tau])[np.arange(n), arm]
    return tau, x, y + 0.3 * rng.normal(size=n), arm


def score(effects, x, y, arm, weight=None, seed=0):
    weight = np.ones(len(y)) if weight is None else weight
    return r_score(effects, x, NUMBERS, y, arm, weight, seed)


class TestWhatItRewards:
    def test_the_true_effect_scores_higher_than_wrong_ones(self):
        tau, *data = trial()
        centre = tau.mean()
        true, mild, flipped, wild = (
            score(centre + factor * (tau - centre), *data) for factor in (1, 0.4, -1, 3)
        )
        assert 0.2 < true <= 1
        assert true > mild > 0 > flipped
        assert wild < true
        assert score(tau + 1, *data) < true
        assert score(np.random.default_rng(1).permutation(tau), *data) < 0

    @pytest.mark.parametrize("weighted", [False, True])
    def test_the_best_constant_scores_0(self, weighted):
        """In a constant the score is a parabola; its top is at 0."""
        tau, *data = trial()
        weight = np.random.default_rng(1).exponential(size=len(tau)) if weighted else None
        at = np.array([0.0, 2.0, 4.0])
        scores = [score(np.full_like(tau, c, dtype=float), *data, weight) for c in at]
        a, b, c = np.polyfit(at, scores, 2)
        assert a < 0
        assert c - b**2 / (4 * a) == pytest.approx(0, abs=1e-9)
        assert max(scores) <= 0

    def test_agrees_with_the_formula_on_nuisances_cross_fitted_by_scikit_learn(self):
        tau, x, y, arm = trial(160, n_arms=3)
        rng = np.random.default_rng(1)
        weight = rng.exponential(size=len(y))
        effects = tau + rng.normal(size=tau.shape)
        part = Folds.of(arm, 5, 1, 7).part[0]
        folds = [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(5)]
        settings = {"cv": folds, "params": {"sample_weight": weight / weight.mean()}}
        trees = {"num_leaves": 15, "max_bin": 127, "n_jobs": 1, "verbosity": -1}
        m = cross_val_predict(LGBMRegressor(**trees), x, y, **settings)
        e = cross_val_predict(LGBMClassifier(**trees), x, arm, method="predict_proba", **settings)

        def loss(effect):
            total = 0.0
            for i in range(len(y)):
                fitted = sum(((arm[i] == k) - e[i, k]) * effect[i, k - 1] for k in (1, 2))
                total += weight[i] * (y[i] - m[i] - fitted) ** 2
            return total

        surprise = np.column_stack([(arm == k) - e[:, k] for k in (1, 2)])
        normal = surprise.T @ (weight[:, None] * surprise)
        best = np.linalg.solve(normal, surprise.T @ (weight * (y - m)))
        expected = 1 - loss(effects) / loss(np.tile(best, (len(y), 1)))
        assert score(effects, x, y, arm, weight, seed=7) == pytest.approx(expected, rel=1e-6)


class TestWhatItDoesNotMind:
    def test_units_and_origin_of_the_outcome(self):
        tau, x, y, arm = trial()
        plain = score(tau, x, y, arm)
        assert score(8 * tau, x, 8 * y, arm) == pytest.approx(plain, rel=1e-6)
        assert score(tau, x, y + 16, arm) == pytest.approx(plain, rel=1e-3)
        assert score(tau, x, 8 * y, arm) != pytest.approx(plain, rel=0.1)

    def test_outcomes_of_rows_without_weight_and_the_scale_of_weights(self):
        tau, x, y, arm = trial()
        weight = np.where(np.arange(len(y)) % 5 == 0, 0.0, 1.0)
        plain = score(tau, x, y, arm, weight)
        assert plain != pytest.approx(score(tau, x, y, arm), rel=1e-3)
        corrupt = np.where(weight == 0, 1e3, y)
        assert score(tau, x, corrupt, arm, weight) == pytest.approx(plain, rel=1e-9)
        assert score(tau, x, y, arm, 4 * weight) == pytest.approx(plain, rel=1e-6)

    def test_the_effect_of_an_arm_that_no_scored_row_received(self):
        tau, x, y, arm = trial()
        three = np.column_stack([np.full(len(tau), np.pi), tau])
        assert score(three, x, y, 2 * arm) == pytest.approx(score(tau, x, y, arm), rel=1e-9)

    def test_how_often_it_is_asked(self):
        tau, *data = trial()
        before = np.random.get_state()[1].tolist()  # noqa: NPY002
        assert score(tau, *data) == score(tau, *data)
        assert score(tau, *data) != score(tau, *data, seed=1)
        assert np.random.get_state()[1].tolist() == before  # noqa: NPY002

    def test_an_outcome_that_never_varies(self):
        tau, x, y, arm = trial(60)
        assert score(tau, x, np.zeros_like(y), arm) == 0


@pytest.fixture
def grown(monkeypatch):
    """Targets of the trees that are grown, in the order of the calls."""
    targets, grow = [], scoring.lightgbm.grow

    def watched(x, y, *more, **settings):
        targets.append(y)
        return grow(x, y, *more, **settings)

    monkeypatch.setattr(scoring.lightgbm, "grow", watched)
    monkeypatch.setattr(scoring, "_kept", scoring._Kept())
    return targets


class TestWhatItKeeps:
    def test_estimates_scored_on_the_same_rows_share_their_nuisances(self, grown):
        tau, *data = trial()
        scores = [score(factor * tau, *data) for factor in (1, 0.5, 1)]
        assert len(grown) == 10
        assert scores[0] == scores[2] != scores[1]

    @pytest.mark.parametrize("part", ["features", "outcome", "arm", "weight", "seed"])
    def test_but_not_with_other_rows(self, grown, part):
        tau, x, y, arm = trial()
        weight, seed = np.ones(len(y)), 0
        score(tau, x, y, arm, weight, seed)
        again = {"features": x, "outcome": y, "arm": arm, "weight": weight}
        again = {name: values.copy() for name, values in again.items()}
        if part == "seed":
            seed = 1
        elif part == "arm":
            again["arm"][:] = 1 - arm
        else:
            again[part][0] += 1
        after = score(tau, *again.values(), seed)
        assert len(grown) == 20
        scoring._kept = scoring._Kept()
        assert score(tau, *again.values(), seed) == after

    def test_the_data_sets_of_a_search_and_not_more(self, grown):
        tau, x, y, arm = trial(40)
        for seed in (*range(20), *range(20)):
            score(tau, x, y, arm, seed=seed)
        assert len(grown) == 10 * 20
        for seed in range(20, 60):
            score(tau, x, y, arm, seed=seed)
        assert len(scoring._kept._by_digest) == scoring._MOST_KEPT
        grown.clear()
        score(tau, x, y, arm, seed=59)
        assert not grown
        score(tau, x, y, arm, seed=0)
        assert grown

    def test_what_is_kept_is_bounded_in_size_too(self, grown, monkeypatch):
        tau, x, y, arm = trial(40)
        monkeypatch.setattr(scoring, "_MOST_BYTES", 2 * 40 * 3 * 8)
        for seed in range(3):
            score(tau, x, y, arm, seed=seed)
        assert len(scoring._kept._by_digest) == 2
        monkeypatch.setattr(scoring, "_MOST_BYTES", 1)
        first, again = (score(tau, x, y, arm, seed=9) for _ in range(2))
        assert first == again
        assert not scoring._kept._by_digest

    def test_the_number_of_threads_does_not_matter(self, grown):
        tau, x, y, arm = trial(n_arms=3)
        one = r_score(tau, x, NUMBERS, y, arm, np.ones(len(y)), 0, 1)
        scoring._kept = scoring._Kept()
        assert r_score(tau, x, NUMBERS, y, arm, np.ones(len(y)), 0, 3) == one


class TestWhatItRefuses:
    @pytest.mark.parametrize(
        ("arm", "counts"), [([0] * 6, "[6, 0]"), ([1] * 6, "[0, 6]"), ([0] * 5 + [1], "[5, 1]")]
    )
    def test_too_few_rows_of_an_arm(self, arm, counts):
        data = np.zeros((6, 1)), np.zeros((6, 2)), np.zeros(6), np.array(arm)
        with pytest.raises(ValueError, match="at least two arms with two rows each") as refusal:
            score(*data)
        assert counts in str(refusal.value)

    def test_two_rows_of_an_arm_are_enough(self):
        tau, x, y, _ = trial(60)
        arm = np.where(np.arange(60) < 2, 1, 0)
        assert np.isfinite(score(tau, x, y, arm))
