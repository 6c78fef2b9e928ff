"""A fitted model learns from further rows, without the rows that it had."""

import copy
import json
import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from small import rmse, tiny
from test_persistence import parts, rewritten

from hypercate import HyperCATE
from hypercate.added.links import link_of
from hypercate.folds import Folds
from hypercate.outcomes import Bernoulli, Count, Normal, Positive
from hypercate.updated.posterior import posterior_mean

ARMS = ["control", "a", "b"]
SLOPE = dict(zip(ARMS, (0.0, 1.0, -1.0), strict=True))
LEVEL = dict(zip(ARMS, (0.0, 1.0, 0.5), strict=True))
OUTCOMES = ("continuous", "binary", "count", "positive")


def truth(X, arm, more=0.0):
    """Linear predictors of an arm, or of each row's; `more` of all effects."""
    level, slope = (pd.Series(arm).map(of).to_numpy() for of in (LEVEL, SLOPE))
    x = X["x0"].to_numpy()
    return np.sin(X["x1"].to_numpy()) + level + slope * x + more * (level > 0) * (1 + x)


def study(n, seed, arms=ARMS, outcome="continuous", more=0.0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["x0", "x1", "x2"])
    arm = rng.choice(arms, n)
    value = truth(X, arm, more)
    if outcome == "binary":
        y = (rng.random(n) < 1 / (1 + np.exp(-value))).astype(int)
    elif outcome == "count":
        y = rng.poisson(np.exp(value / 2))
    elif outcome == "positive":
        y = np.exp(value / 2) * rng.gamma(4, 1 / 4, n)
    else:
        y = value + 0.5 * rng.normal(size=n)
    return X, y, arm


@cache
def _fitted(n=120, **parameters):
    est = tiny(control="control", **parameters)
    return est.fit(*study(n, 501, outcome=parameters.get("outcome", "continuous")))


def fitted(**parameters):
    """A model of its own, that a test may change."""
    return copy.deepcopy(_fitted(**parameters))


NEW = study(60, 503)[0]
FURTHER = study(90, 502)


def mean_of(value, outcome):
    if outcome == "continuous":
        return value
    return 1 / (1 + np.exp(-value)) if outcome == "binary" else np.exp(value / 2)


class TestLearning:
    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_brings_outcomes_nearer_to_the_truth(self, outcome):
        before = fitted(outcome=outcome)
        after = fitted(outcome=outcome).partial_fit(*study(900, 504, outcome=outcome))
        expected = np.column_stack([mean_of(truth(NEW, [a] * 60), outcome) for a in ARMS])
        was, now = (rmse(est.predict_outcomes(NEW), expected).mean() for est in (before, after))
        assert now < 0.75 * was
        least, greatest = after.fitted_.family.support
        assert (after.predict_outcomes(NEW) >= least).all()
        assert (after.predict_outcomes(NEW) <= greatest).all()

    def test_follows_effects_that_have_changed(self):
        after = fitted().partial_fit(*study(600, 505, more=2.0))
        changed, old = (
            truth(NEW, ["a"] * 60, more) - truth(NEW, ["control"] * 60, more) for more in (2.0, 0)
        )
        found = after.effect(NEW, T1="a")
        assert rmse(found, changed) < 0.3 * rmse(old, changed)

    def test_the_more_rows_a_model_knows_the_less_it_is_moved(self):
        X, y, arm = study(40, 506)
        few, many = fitted(), fitted()
        many.fitted_ = replaced_rows(many.fitted_, 100)
        moved = [
            np.abs(copy.deepcopy(est).partial_fit(X, y, arm).predict(NEW) - est.predict(NEW)).mean()
            for est in (few, many)
        ]
        assert 0 < moved[1] < 0.35 * moved[0]

    def test_few_rows_of_what_is_known_move_little(self):
        est = fitted()
        X, _, arm = study(30, 507)
        rng = np.random.default_rng(1)
        known = est.predict_outcomes(X)[np.arange(30), pd.Index(ARMS).get_indexer(arm)]
        before = est.predict(NEW)
        est.partial_fit(X, known + rng.normal(size=30), arm)
        assert rmse(est.predict(NEW), before).max() < 0.35

    def test_in_batches_learns_about_as_much_as_at_once(self):
        X, y, arm = study(600, 504)
        once, batches = fitted().partial_fit(X, y, arm), fitted()
        for first in range(0, 600, 100):
            rows = slice(first, first + 100)
            batches.partial_fit(X[rows], y[rows], arm[rows])
        effect = truth(NEW, ["a"] * 60) - truth(NEW, ["control"] * 60)
        errors = [rmse(est.effect(NEW, T1="a"), effect) for est in (once, batches)]
        assert errors[1] < 1.3 * errors[0]
        np.testing.assert_allclose(batches.fitted_.seen.rows, once.fitted_.seen.rows)

    def test_before_a_fit_is_a_fit(self):
        X, y, arm = study(120, 501)
        est = tiny(control="control").partial_fit(X, y, arm)
        np.testing.assert_array_equal(est.predict(NEW), fitted().predict(NEW))


def replaced_rows(fitted, times):
    """A fitted model that counts more rows."""
    return replace(fitted, seen=replace(fitted.seen, rows=times * fitted.seen.rows))


class TestArmsWithoutRows:
    def test_stay_as_they_were_to_the_bit(self):
        est, before = fitted(), fitted().predict_outcomes(NEW)
        after = est.partial_fit(*study(200, 508, arms=["control", "a"])).predict_outcomes(NEW)
        np.testing.assert_array_equal(after[:, 2], before[:, 2])
        assert (np.abs(after - before)[:, :2].mean(axis=0) > 0.01).all()

    def test_described_ones_and_added_ones_are_kept(self):
        features = pd.DataFrame({"dose": [0.0, 1, 2, 3]}, index=[*ARMS, "described"])
        est = tiny(control="control").fit(*study(120, 501), arm_features=features)
        before = est.predict_outcomes(NEW)
        est.partial_fit(*FURTHER)
        np.testing.assert_array_equal(est.predict_outcomes(NEW)[:, 3], before[:, 3])
        X, y, _ = study(30, 509)
        est.add_arm(X, y, ["new"] * 30).partial_fit(*FURTHER)
        assert est.arms_.tolist() == [*ARMS, "described", "new"]
        assert np.isfinite(est.effect_interval(NEW)).all()


class TestRowsThatJudge:
    def folds(self, est, arm, groups=None):
        conditions = est.fitted_.conditions
        condition = np.unique(conditions.place[conditions.positions(arm)], return_inverse=True)[1]
        cluster = None if groups is None else np.unique(groups, return_inverse=True)[1]
        n_models = est.fitted_.networks.n_models
        n_parts = max(3, round(1 / est.validation_fraction))
        return Folds.of(condition, n_parts, n_models, est.fitted_.seed, cluster)

    @pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_do_not_reach_the_model_that_they_judge(self, outcome, grouped):
        X, y, arm = study(90, 502, outcome=outcome)
        groups = np.arange(90) // 3 if grouped else None
        before = fitted(outcome=outcome).partial_fit(X, y, arm, groups=groups)
        folds = self.folds(before, arm, groups)
        for m in (0, folds.n_models - 1):
            wild = y.copy()
            judged = folds.judges[m]
            wild[judged] = 1 - y[judged] if outcome == "binary" else 5 + 2 * y[judged][::-1]
            after = fitted(outcome=outcome).partial_fit(X, wild, arm, groups=groups)
            same = [
                all(
                    np.array_equal(getattr(first, name)[k], getattr(second, name)[k])
                    for name in ("coef", "bounds")
                )
                for first, second in [[est.fitted_.networks.correction for est in (before, after)]]
                for k in range(folds.n_models)
            ]
            assert same == [k == m for k in range(folds.n_models)]

    def test_are_judged_by_models_that_did_not_see_them(self):
        X, y, arm = FURTHER
        est = fitted()
        old = est.fitted_.evidence
        est.partial_fit(X, y, arm)
        evidence, folds = est.fitted_.evidence, self.folds(est, arm)
        new = evidence.row >= 120
        assert folds.judges[evidence.model[new], evidence.row[new] - 120].all()
        assert (np.bincount(evidence.row) >= 1).all()
        x = est.fitted_.features.transform(X)
        by_model = est.fitted_.networks.by_model(x, "cpu")
        np.testing.assert_array_equal(
            evidence.outcomes[new], by_model[evidence.model[new], evidence.row[new] - 120]
        )
        np.testing.assert_array_equal(evidence.outcomes[~new], old.outcomes)
        np.testing.assert_array_equal(evidence.propensity[120:], est.propensity(X))


class TestAverages:
    def test_are_of_old_and_new_rows(self):
        before, after = fitted(), fitted().partial_fit(*FURTHER)
        was, now = (est.ate_inference().summary_frame()["stderr"] for est in (before, after))
        assert (now < 0.9 * was).all()
        everything = pd.concat([study(120, 501)[0], FURTHER[0]], ignore_index=True)
        np.testing.assert_allclose(after.ate(everything), after.ate())
        assert len(after.scores_frame()) == 210
        frame = after.gate_inference(np.arange(210) % 2).summary_frame()
        assert np.isfinite(frame).all(axis=None)
        assert (after.heterogeneity_test()["pvalue"] <= 1).all()
        assert np.isfinite(after.individual_effect_interval(NEW, alpha=0.5)).all()

    def test_weigh_old_and_new_rows_on_one_scale(self):
        X, y, arm = study(120, 501)
        est = tiny(control="control").fit(X, y, arm, sample_weight=np.full(120, 2.0))
        weight = np.where(np.arange(90) < 60, 6.0, 0.0)
        est.partial_fit(*FURTHER, sample_weight=weight)
        found = est.fitted_.evidence.weight
        assert len(found) == 180
        np.testing.assert_allclose(found.mean(), 1)
        np.testing.assert_allclose(found[120:], 3 * found[0])
        assert est.fitted_.evidence.used.sum() == 180
        np.testing.assert_allclose(est.fitted_.seen.rows.sum(), 180)
        np.testing.assert_allclose(est.fitted_.seen.weight, (120 * 2 + 60 * 6) / 180)

    def test_count_new_groups_as_clusters_of_their_own(self):
        X, y, arm = study(120, 501)
        est = tiny(control="control").fit(X, y, arm, groups=np.arange(120) // 2)
        est.partial_fit(*FURTHER, groups=np.arange(90) // 3)
        cluster = est.fitted_.evidence.cluster
        np.testing.assert_array_equal(cluster[120:], 60 + np.arange(90) // 3)

    def test_stay_unknown_without_evidence(self, tmp_path):
        fitted().save(tmp_path / "model", evidence=False)
        est = HyperCATE.load(tmp_path / "model", device="cpu").partial_fit(*FURTHER)
        with pytest.raises(ValueError, match="saved without evidence"):
            est.ate()


class TestIntervals:
    def test_become_narrower_and_stay_about_the_effect(self):
        before, after = fitted(), fitted().partial_fit(*study(900, 504))
        was, now = (
            np.diff(est.effect_interval(NEW, T1="a"), axis=0).mean() for est in (before, after)
        )
        assert now < was
        lower, upper = after.effect_interval(NEW, T1="a")
        effect = after.effect(NEW, T1="a")
        assert ((lower < effect) & (effect < upper)).all()

    def test_of_two_arms_without_new_rows_stay_as_they_were(self):
        before = fitted().effect_interval(NEW, T0="a", T1="b")
        after = fitted().partial_fit(*study(60, 508, arms=["control"]))
        np.testing.assert_allclose(after.effect_interval(NEW, T0="a", T1="b"), before, rtol=1e-9)


class TestModels:
    @pytest.mark.parametrize(
        "parameters",
        [
            *({"learner": name, "sharing": "auto"} for name in ("s", "dr")),
            {"generation": "none"},
            {"hypernet_dropout": 0.2, "uncertainty": "dropout"},
            {"sharing": "auto", "outcome": "binary", "n_members": 3},
        ],
        ids=repr,
    )
    def test_of_every_kind_learn(self, parameters):
        outcome = parameters.get("outcome", "continuous")
        before = fitted(**parameters).predict(NEW)
        est = fitted(**parameters).partial_fit(*study(90, 502, outcome=outcome))
        assert not np.allclose(est.predict(NEW), before)
        assert np.isfinite(est.effect_interval(NEW)).all()

    def test_that_trained_nothing_learn(self):
        est = HyperCATE(effort="instant", n_members=2, random_state=0, control="control")
        est.fit(*study(120, 501)).partial_fit(*study(600, 505, more=2.0))
        changed = truth(NEW, ["a"] * 60, 2.0) - truth(NEW, ["control"] * 60, 2.0)
        assert rmse(est.effect(NEW, T1="a"), changed) < 0.7

    def test_of_one_outcome_of_several_learn(self):
        X, y, arm = study(120, 501)
        est = tiny(control="control").fit(X, pd.DataFrame({"y": y, "other": -y}), arm)
        with pytest.raises(ValueError, match="one outcome"):
            est.partial_fit(*FURTHER)
        one = est.of("y")
        before = one.predict(NEW)
        assert not np.allclose(one.partial_fit(*FURTHER).predict(NEW), before)

    @pytest.mark.parametrize("evidence", [True, False])
    def test_that_were_saved_learn_the_same_and_are_kept_whole(self, evidence, tmp_path):
        path = tmp_path / "model.hypercate"
        fitted().save(path, evidence=evidence)
        expected = fitted().partial_fit(*FURTHER)
        loaded = HyperCATE.load(path, device="cpu").partial_fit(*FURTHER)
        expected.save(path, evidence=evidence)
        kept = (
            loaded,
            HyperCATE.load(path, device="cpu"),
            pickle.loads(pickle.dumps(expected)),
            fitted().partial_fit(*FURTHER),
        )
        for est in kept:
            np.testing.assert_array_equal(est.predict(NEW), expected.predict(NEW))
            np.testing.assert_array_equal(est.effect_interval(NEW), expected.effect_interval(NEW))

    @pytest.mark.parametrize("evidence", [True, False])
    def test_of_older_files_learn_if_their_rows_are_known(self, evidence, tmp_path):
        path = tmp_path / "model.hypercate"
        fitted().save(path, evidence=evidence)

        def change(content):
            del content["fitted"]["fields"]["seen"]
            networks = content["fitted"]["fields"]["networks"]["fields"]
            del networks["correction"]

        path.write_bytes(rewritten(path.read_bytes(), change))
        assert "seen" not in json.dumps(parts(path.read_bytes())[0])
        est = HyperCATE.load(path, device="cpu")
        np.testing.assert_array_equal(est.predict(NEW), fitted().predict(NEW))
        if evidence:
            expected = fitted().partial_fit(*FURTHER).predict(NEW)
            np.testing.assert_allclose(est.partial_fit(*FURTHER).predict(NEW), expected)
        else:
            with pytest.raises(ValueError, match="file of an older version without evidence"):
                est.partial_fit(*FURTHER)


class TestRows:
    def test_are_known_by_name_and_position_whatever_the_library(self):
        X, y, arm = FURTHER
        expected = fitted().partial_fit(X, y, arm).predict(NEW)
        for frame in (X[["x2", "x0", "x1"]], pl.DataFrame(X), X.set_axis(range(90, 180))):
            np.testing.assert_array_equal(
                fitted().partial_fit(frame, y, arm).predict(NEW), expected
            )
        y = pd.Series(y, index=X.index)
        with pytest.raises(ValueError, match="y"):
            fitted().partial_fit(X, y[::-1], arm)

    def test_of_weight_zero_do_not_count(self):
        X, y, arm = FURTHER
        expected = fitted().partial_fit(X[:60], y[:60], arm[:60]).predict(NEW)
        y = np.where(np.arange(90) < 60, y, 1e6)
        weight = (np.arange(90) < 60).astype(float)
        found = fitted().partial_fit(X, y, arm, sample_weight=weight).predict(NEW)
        np.testing.assert_array_equal(found, expected)

    def test_of_more_weight_move_the_model_further(self):
        before = fitted().predict(NEW)
        moved = [
            np.abs(
                fitted().partial_fit(*FURTHER, sample_weight=np.full(90, w)).predict(NEW) - before
            ).mean()
            for w in (0.01, 1.0, 100.0)
        ]
        assert moved[0] < 0.5 * moved[1] < 0.5 * moved[2]

    def test_reach_the_model_by_metadata_routing(self):
        request = HyperCATE().get_metadata_routing().partial_fit.requests
        assert request == {"treatment": True, "sample_weight": True, "groups": True}


REFUSED = {
    "an arm that is new": (
        lambda X, y, arm: (X, y, np.where(y > 0, "new", arm)),
        ValueError,
        "holds 'new', which the model does not know.* add_arm",
    ),
    "arms of another type": (
        lambda X, y, arm: (X, y, np.arange(len(y)) % 2),
        ValueError,
        "holds 0, 1, which the model does not know",
    ),
    "no arms": (lambda X, y, arm: (X, y, None), TypeError, "treatment is missing"),
    "one row": (lambda X, y, arm: (X[:1], y[:1], arm[:1]), ValueError, "has 1 row of positive"),
    "another column": (
        lambda X, y, arm: (X.assign(x9=1), y, arm),
        ValueError,
        "unseen at fit time",
    ),
    "a column less": (lambda X, y, arm: (X[["x0", "x1"]], y, arm), ValueError, "yet now missing"),
    "a short y": (lambda X, y, arm: (X, y[:-1], arm), ValueError, "y "),
    "a missing y": (
        lambda X, y, arm: (X, np.where(y > 1, np.nan, y), arm),
        ValueError,
        "y is missing",
    ),
}


class TestRefused:
    @pytest.mark.parametrize("name", REFUSED)
    def test_rows_leave_the_model_as_it_was(self, name):
        change, error, message = REFUSED[name]
        est = fitted()
        before, kept = est.predict(NEW), est.fitted_
        with pytest.raises(error, match=message):
            est.partial_fit(*change(*study(30, 510)))
        assert est.fitted_ is kept
        np.testing.assert_array_equal(est.predict(NEW), before)

    def test_arms_that_were_added(self):
        X, y, _ = study(30, 509)
        est = fitted().add_arm(X, y, ["new"] * 30)
        with pytest.raises(ValueError, match="holds 'new', which had no rows in fit"):
            est.partial_fit(X, y, ["new"] * 30)

    def test_groups_of_which_one_holds_all_rows_of_an_arm(self):
        X, y, arm = FURTHER
        with pytest.raises(ValueError, match="arm 'a' occurs in too few groups"):
            fitted().partial_fit(X, y, arm, groups=np.where(arm == "a", 99, np.arange(90)))

    def test_outcomes_that_the_fit_did_not_have(self):
        X, _, arm = study(30, 510)
        with pytest.raises(ValueError, match="y"):
            fitted(outcome="binary").partial_fit(X, np.arange(30), arm)

    def test_doses_and_times(self):
        X, y, arm = study(200, 510)
        doses = tiny(treatment_kind="dose", sharing="auto", pretrained="none")
        doses.fit(X, y, np.linspace(0, 1, 200))
        with pytest.raises(ValueError, match=r"partial_fit needs arms, .* this model are doses"):
            doses.partial_fit(X, y, np.linspace(0, 1, 200))
        times = tiny(outcome="time", horizon=1.0).fit(X, np.exp(y), arm, event=np.ones(200))
        with pytest.raises(ValueError, match="partial_fit needs outcomes that are fully observed"):
            times.partial_fit(X, np.exp(y), arm)


class TestPosterior:
    FAMILIES = (Normal(), Bernoulli(np.array([0, 1])), Count(), Positive())

    def rows(self, family, n, own, seed):
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(n, 8)) / 8**0.5
        coef, offset = own * rng.normal(size=8), 0.5 * rng.normal(size=n)
        mean = link_of(family).back(offset + features @ coef)
        y = {
            "continuous": lambda: mean + rng.normal(size=n),
            "binary": lambda: (rng.random(n) < mean).astype(float),
            "count": lambda: rng.poisson(mean).astype(float),
            "positive": lambda: mean * rng.gamma(2, 1 / 2, n),
        }[family.kind]()
        return features, coef, offset, y

    def mean(self, family, features, offset, y, n_before):
        dispersed = family.classes is None
        weight = np.ones((1, len(y)))
        return posterior_mean(
            features, offset[None], y, weight, n_before, link_of(family), dispersed
        )[0]

    @pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
    def test_tends_to_the_truth(self, family):
        features, coef, offset, y = self.rows(family, 20_000, 1.0, 1)
        found = self.mean(family, features, offset, y, 100.0)
        np.testing.assert_allclose(found, coef, atol=0.25)

    @pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
    def test_is_nearer_to_the_truth_than_nothing_and_than_no_prior(self, family):
        errors = []
        for seed in range(40):
            features, coef, offset, y = self.rows(family, 100, 0.3, seed)
            held = self.mean(family, features, offset, y, 100.0)
            free = self.mean(family, features, offset, y, 1.0)
            errors.append([np.sum((guess - coef) ** 2) for guess in (held, free, 0 * coef)])
        held, free, nothing = np.mean(errors, axis=0)
        assert held < nothing
        assert held < free

    def test_is_nothing_where_the_model_is_right(self):
        features, _, offset, _ = self.rows(Normal(), 50, 0.0, 1)
        found = self.mean(Normal(), features, offset, offset, 100.0)
        np.testing.assert_array_equal(found, 0)
