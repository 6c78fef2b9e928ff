"""Arms that come after the fit are learned from a few rows, and nothing else moves."""

import copy
import pickle
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from small import rmse, tiny

from hypercate import HyperCATE
from hypercate.added.links import link_of
from hypercate.added.posterior import LEVEL_VARIANCE, fit_posterior
from hypercate.inspection import along_step, arm_similarity, layer_departures
from hypercate.metrics import coverage
from hypercate.outcomes import Bernoulli, Count, Normal, Positive

ARMS = ["control", "a", "b", "c"]
SLOPE = dict(zip(ARMS, (0.0, 1.0, 2.0, -1.0), strict=True)) | {"new": 1.5, "newer": -0.5}
LEVEL = dict(zip(ARMS, (0.0, 1.0, 0.5, 2.0), strict=True)) | {"new": 3.0, "newer": -1.0}
OUTCOMES = ("continuous", "binary", "count", "positive")


def truth(X, arm):
    """Linear predictors of an arm, or of each row's."""
    level, slope = (pd.Series(arm).map(of).to_numpy() for of in (LEVEL, SLOPE))
    return np.sin(X["x1"].to_numpy()) + level + slope * X["x0"].to_numpy()


def study(arms, n, seed, outcome="continuous"):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["x0", "x1", "x2"])
    arm = rng.choice(arms, n)
    value = truth(X, arm)
    if outcome == "binary":
        y = rng.random(n) < 1 / (1 + np.exp(-value))
    elif outcome == "count":
        y = rng.poisson(np.exp(value / 2))
    elif outcome == "positive":
        y = np.exp(value / 2) * rng.gamma(4, 1 / 4, n)
    else:
        y = value + 0.5 * rng.normal(size=n)
    return X, y, arm


@cache
def _fitted(**parameters):
    est = tiny(control="control", **parameters)
    kind = parameters.get("outcome", "continuous")
    return est.fit(*study(ARMS, 240, 501, kind))


def fitted(**parameters):
    """A model of its own, that a test may add to."""
    return copy.deepcopy(_fitted(**parameters))


@cache
def _trained(outcome):
    """One that has learned the arms of the fit in a few seconds."""
    est = tiny(
        control="control", outcome=outcome, max_epochs=120, outcome_hidden=(16, 16), sharing="weak",
        inputs="raw",
    )  # fmt: skip
    return est.fit(*study(ARMS, 500, 504, outcome))


def trained(outcome="continuous"):
    return copy.deepcopy(_trained(outcome))


def add(est, n=40, arms=("new",), seed=502, outcome="continuous"):
    return est.add_arm(*study(list(arms), n, seed, outcome))


NEW = study(ARMS, 50, 503)[0]


class TestOldArms:
    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_stay_as_they_were_to_the_bit(self, outcome):
        before = fitted(outcome=outcome)
        after = add(fitted(outcome=outcome), outcome=outcome)
        np.testing.assert_array_equal(
            after.predict_outcomes(NEW)[:, :4], before.predict_outcomes(NEW)
        )
        for T0, T1 in (("control", "a"), ("c", "b")):
            for name in ("effect", "effect_interval", "sample_effects"):
                old, new = (getattr(est, name)(NEW, T0=T0, T1=T1) for est in (before, after))
                if name == "sample_effects":  # more deviations are mixed
                    assert np.isfinite(new).all()
                elif name == "effect":
                    np.testing.assert_array_equal(new, old)
                else:
                    np.testing.assert_allclose(new, old, rtol=1e-12)

    def test_keep_their_averages_tests_and_intervals_of_persons(self):
        before, after = fitted(), add(fitted())
        pd.testing.assert_frame_equal(
            before.ate_inference().summary_frame(), after.ate_inference().summary_frame()
        )
        np.testing.assert_array_equal(before.ate(NEW), after.ate(NEW))
        np.testing.assert_array_equal(
            before.individual_effect_interval(NEW), after.individual_effect_interval(NEW)
        )
        pd.testing.assert_frame_equal(before.heterogeneity_test(), after.heterogeneity_test())


class TestNewArms:
    def test_are_the_last_ones_and_have_effects_with_intervals(self):
        est = add(fitted(), arms=("newer", "new"))
        assert est.arms_.tolist() == [*ARMS, "new", "newer"]
        assert est.predict(NEW).shape == (50, 5)
        assert est.predict_outcomes(NEW).shape == (50, 6)
        np.testing.assert_array_equal(est.predict(NEW)[:, 3], est.effect(NEW, T1="new"))
        lower, upper = est.effect_interval(NEW, T0="new", T1="newer")
        effect = est.effect(NEW, T0="new", T1="newer")
        assert (lower < effect).all()
        assert (effect < upper).all()
        assert est.effect_inference(NEW).summary_frame().index.nlevels == 2
        draws = est.sample_effects(NEW, n_samples=4000, T1="new")
        bounds = est.effect_interval(NEW, T1="new", alpha=0.1)
        np.testing.assert_allclose(
            np.quantile(draws, [0.05, 0.95], axis=0),
            bounds,
            atol=0.1 * np.ptp(bounds, axis=0).max(),
        )

    def test_are_nearer_to_the_truth_than_any_old_arm_and_their_intervals_hold_it(self):
        est = add(trained(), n=40)
        effect = truth(NEW, ["new"] * 50) - truth(NEW, ["control"] * 50)
        others = [rmse(est.effect(NEW, T1=arm), effect) for arm in ARMS[1:]]
        assert rmse(est.effect(NEW, T1="new"), effect) < 0.35 * min(others)
        assert coverage(effect, *est.effect_interval(NEW, T1="new", alpha=0.1)) > 0.75

    @pytest.mark.parametrize("outcome", OUTCOMES[1:])
    def test_of_outcomes_with_a_link_follow_the_truth(self, outcome):
        est = add(trained(outcome), n=150, outcome=outcome)
        value = truth(NEW, ["new"] * 50)
        mean = 1 / (1 + np.exp(-value)) if outcome == "binary" else np.exp(value / 2)
        found = est.predict_outcomes(NEW)[:, 4]
        least, greatest = est.fitted_.family.support
        assert (found >= least).all()
        assert (found <= greatest).all()
        assert np.corrcoef(found, mean)[0, 1] > 0.85
        assert rmse(found, mean) < 0.75 * mean.std()
        lower, upper = est.effect_interval(NEW, T1="new")
        assert np.isfinite([lower, upper]).all()

    def test_have_narrower_intervals_with_more_rows_and_tend_to_the_truth(self):
        error, width = [], []
        for n in (10, 60, 2000):
            more = add(trained(), n=n)
            error.append(rmse(more.predict_outcomes(NEW)[:, 4], truth(NEW, ["new"] * 50)))
            width.append(np.diff(more.effect_interval(NEW, T1="new"), axis=0).mean())
        assert width[0] > width[1] > width[2]
        assert error[2] < 0.5
        assert error[0] > error[2]

    def test_can_be_added_one_after_another_or_at_once(self):
        X, y, arm = study(["new", "newer"], 60, 506)
        at_once = fitted().add_arm(X, y, arm)
        one_by_one = fitted()
        for name in ("new", "newer"):
            own = arm == name
            one_by_one.add_arm(X[own], y[own], arm[own])
        np.testing.assert_array_equal(one_by_one.predict(NEW), at_once.predict(NEW))

    def test_know_neither_the_order_of_rows_nor_of_columns_nor_the_library(self):
        X, y, arm = study(["new"], 30, 507)
        expected = fitted().add_arm(X, y, arm).predict(NEW)
        backwards = fitted().add_arm(X[::-1], y[::-1], arm[::-1]).predict(NEW)
        np.testing.assert_allclose(backwards, expected, atol=1e-9)
        for frame in (X[["x2", "x0", "x1"]], pl.DataFrame(X)):
            np.testing.assert_array_equal(fitted().add_arm(frame, y, arm).predict(NEW), expected)

    def test_do_not_count_rows_of_weight_zero(self):
        X, y, arm = study(["new"], 40, 508)
        weight = np.where(np.arange(40) < 30, 2.0, 0.0)
        expected = fitted().add_arm(X[:30], y[:30], arm[:30]).predict(NEW)
        y[30:] = 1e6
        found = fitted().add_arm(X, y, arm, sample_weight=weight).predict(NEW)
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_have_neither_averages_nor_scores_nor_intervals_of_persons(self):
        est, X = add(fitted()), NEW
        for call in (
            lambda: est.ate(T0="new"),
            lambda: est.att(X, np.repeat("new", len(X))),
            lambda: est.predict_outcome_interval(X, arm="new"),
            lambda: est.individual_effect_interval(X, T1="new"),
            lambda: est.score(X, np.zeros(len(X)), np.repeat("new", len(X))),
        ):
            with pytest.raises(ValueError, match="no row of the fit received arm 'new'"):
                call()

    def test_have_no_embedding_to_look_into(self):
        est = add(fitted())
        assert layer_departures(est).index.tolist() == ARMS
        similarity = arm_similarity(est, NEW)
        assert similarity.embedding.loc["new"].isna().all()
        assert similarity.embedding.loc[ARMS, ARMS].notna().all(axis=None)
        assert similarity.function.notna().all(axis=None)
        with pytest.raises(ValueError, match="arm 'new' was added after the fit"):
            along_step(est, NEW, "control", "new")


class TestModels:
    @pytest.mark.parametrize(
        "parameters",
        [
            *({"learner": name, "sharing": "auto"} for name in ("s", "dr")),
            {"generation": "none"},
            {"hypernet_dropout": 0.2, "uncertainty": "dropout"},
            {"sharing": "independent"},
        ],
        ids=repr,
    )
    def test_of_every_kind_can_be_added_to(self, parameters):
        est = add(fitted(**parameters))
        assert np.isfinite(est.predict(NEW)).all()
        assert np.isfinite(est.effect_interval(NEW)).all()

    def test_that_trained_nothing_can_be_added_to(self):
        est = HyperCATE(effort="instant", n_members=2, random_state=0, control="control")
        add(est.fit(*study(ARMS, 240, 501)))
        effect = truth(NEW, ["new"] * 50) - truth(NEW, ["control"] * 50)
        assert rmse(est.effect(NEW, T1="new"), effect) < 0.6

    def test_that_describe_arms_keep_those_without_rows(self):
        features = pd.DataFrame({"dose": [0.0, 1, 2, 3, 4]}, index=[*ARMS, "described"])
        est = tiny(control="control").fit(*study(ARMS, 240, 501), arm_features=features)
        before = est.predict(NEW)
        add(est)
        assert est.arms_.tolist() == [*ARMS, "described", "new"]
        np.testing.assert_array_equal(est.predict(NEW)[:, :4], before)

    def test_are_kept_whole_by_files_and_pickles(self, tmp_path):
        est = add(fitted())
        est.save(tmp_path / "model.hypercate", evidence=False)
        for kept in (
            HyperCATE.load(tmp_path / "model.hypercate", device="cpu"),
            pickle.loads(pickle.dumps(est)),
        ):
            np.testing.assert_array_equal(kept.predict(NEW), est.predict(NEW))
            np.testing.assert_array_equal(kept.effect_interval(NEW), est.effect_interval(NEW))

    def test_that_were_loaded_without_evidence_learn_the_same(self, tmp_path):
        fitted().save(tmp_path / "model.hypercate", evidence=False)
        loaded = HyperCATE.load(tmp_path / "model.hypercate", device="cpu")
        np.testing.assert_array_equal(add(loaded).predict(NEW), add(fitted()).predict(NEW))

    def test_that_are_fitted_again_forget_added_arms(self):
        est = add(fitted())
        assert clone(est).fit(*study(ARMS, 240, 501)).arms_.tolist() == ARMS


class TestPosterior:
    FAMILIES = (Normal(), Bernoulli(np.array([0, 1])), Count(), Positive())

    def drawn(self, family, n, seed, own=0.3):
        """Features, an offset, coefficients of their prior, and outcomes."""
        rng = np.random.default_rng(seed)
        features = np.hstack(
            [rng.normal(size=(n, 3)), np.ones((n, 1)), rng.normal(size=(n, 4)) / 2]
        )
        coef = rng.normal(size=8) * np.sqrt([1, 1, 1, 1, *[own] * 4])
        offset = 0.5 * rng.normal(size=n)
        mean = link_of(family).back(offset + features @ coef)
        y = {
            "continuous": lambda: mean + rng.normal(size=n),
            "binary": lambda: (rng.random(n) < mean).astype(float),
            "count": lambda: rng.poisson(mean).astype(float),
            "positive": lambda: mean * rng.gamma(2, 1 / 2, n),
        }[family.kind]()
        return features, offset, coef, y

    def fit(self, family, features, offset, y):
        dispersed = family.classes is None
        weight = np.ones(len(y))
        return fit_posterior(features, 3, offset, y, weight, link_of(family), dispersed)

    @pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
    def test_holds_values_as_often_as_it_says(self, family):
        held = []
        for seed in range(100):
            features, offset, coef, y = self.drawn(family, 40, seed)
            mean, covariance, _ = self.fit(family, features, offset, y)
            error = features @ (coef - mean)
            stderr = np.sqrt(np.einsum("np,pq,nq->n", features, covariance, features))
            held.append(np.mean(np.abs(error) < 1.645 * stderr))
        assert 0.84 < np.mean(held) < 0.95

    @pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
    def test_tends_to_the_truth_and_to_certainty(self, family):
        features, offset, coef, y = self.drawn(family, 20_000, 1)
        mean, covariance, _ = self.fit(family, features, offset, y)
        np.testing.assert_allclose(mean, coef, atol=0.12)
        assert np.sqrt(np.diag(covariance)).max() < 0.06

    def test_gains_from_responses_as_it_says(self):
        features, offset, _, y = self.drawn(Normal(), 60, 3)
        mean, _, gain = self.fit(Normal(), features, offset, y)
        moved, *_ = self.fit(Normal(), features, offset, y + 1e-4 * features[:, 0])
        expected = 1e-4 * gain @ features[:, 0]
        np.testing.assert_allclose(moved - mean, expected, atol=0.1 * np.abs(expected).max())

    def test_leaves_slopes_at_0_where_rows_say_nothing(self):
        features, offset, _, _ = self.drawn(Normal(), 40, 1)
        mean, covariance, _ = self.fit(Normal(), features, offset, offset + 2.0)
        np.testing.assert_allclose(mean, [0, 0, 0, 2, 0, 0, 0, 0], atol=0.05)
        features[:, 4:] = 0
        _, covariance, _ = self.fit(Normal(), features, offset, offset)
        assert covariance[4, 4] > 0.01
        assert covariance[3, 3] < LEVEL_VARIANCE


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            (lambda X, y, arm: (X, y, np.where(y > 0, "a", arm)), ValueError, "holds 'a', which"),
            (lambda X, y, arm: (X, y, np.arange(len(y))), ValueError, "give both the same type"),
            (lambda X, y, arm: (X, y, None), TypeError, "treatment is missing"),
            (lambda X, y, arm: (X[:1], y[:1], arm[:1]), ValueError, "'new' has 1 row of positive"),
            (lambda X, y, arm: (X.assign(x9=1), y, arm), ValueError, "unseen at fit time"),
            (lambda X, y, arm: (X[["x0", "x1"]], y, arm), ValueError, "yet now missing"),
            (lambda X, y, arm: (X, y[:-1], arm), ValueError, "y "),
            (lambda X, y, arm: (X, np.where(y > 3, np.nan, y), arm), ValueError, "y is missing"),
            (lambda X, y, arm: (X, y, np.where(y > 3, None, arm)), ValueError, "treatment"),
        ],
    )
    def test_rows_name_what_is_wrong_and_leave_the_model_as_it_was(self, change, error, message):
        est = fitted()
        before, kept = est.predict(NEW), est.fitted_
        with pytest.raises(error, match=message):
            est.add_arm(*change(*study(["new"], 30, 509)))
        assert est.fitted_ is kept
        np.testing.assert_array_equal(est.predict(NEW), before)

    def test_arms_that_were_added_before(self):
        est = add(fitted())
        with pytest.raises(ValueError, match="treatment holds 'new', which the model already has"):
            add(est)

    def test_outcomes_that_the_fit_did_not_have(self):
        est = fitted(outcome="binary")
        X, _, arm = study(["new"], 30, 509)
        with pytest.raises(ValueError, match="y"):
            est.add_arm(X, np.arange(30), arm)

    def test_several_outcomes_at_once(self):
        X, y, arm = study(ARMS, 120, 511)
        est = tiny(control="control").fit(X, pd.DataFrame({"y": y, "other": -y}), arm)
        with pytest.raises(ValueError, match="one outcome"):
            add(est)
        assert add(est.of("y")).arms_[-1] == "new"

    def test_before_a_fit_and_doses(self):
        with pytest.raises(NotFittedError):
            add(tiny())
        X, y, _ = study(["new"], 200, 510)
        doses = tiny(treatment_kind="dose", sharing="auto", pretrained="none")
        doses.fit(X, y, np.linspace(0, 1, 200))
        with pytest.raises(ValueError, match=r"add_arm needs arms, .* this model are doses"):
            add(doses)
