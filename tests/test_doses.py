"""Doses: outcomes are smooth in them, blended from generated networks, and answers are honest."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.base import clone

from hypercate import HyperCATE, OverlapWarning, inspection, overlap_report
from hypercate.encoding.doses import LEAST_DOSES, N_BLENDED, Doses, blend_of

quick = settings(max_examples=40, deadline=None, derandomize=True)
FEW = {"treatment_kind": "dose", "n_members": 2, "max_epochs": 3, "device": "cpu"}
ABLE = FEW | {"max_epochs": 150, "outcome_hidden": (16, 16, 16)}


def study(n=400, seed=0, binary=False):
    """Doses from 0 to 10, more for large x0, whose effect saturates and grows with x1."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["x0", "x1", "x2"])
    dose = 10 * expit(X["x0"].to_numpy() / 2 + rng.normal(size=n))
    mean = outcome(X, dose)
    if binary:
        return X, (rng.random(n) < expit(mean - 2)).astype(int), dose
    return X, mean + 0.3 * rng.normal(size=n), dose


def outcome(X, dose):
    return X["x0"].to_numpy() + (2 + X["x1"].to_numpy()) * dose / (dose + 3)


@cache
def fitted(binary=False, seed=0, **parameters):
    X, y, dose = study(binary=binary)
    return HyperCATE(**FEW | parameters, random_state=seed).fit(X, y, dose), X


@cache
def able():
    X, y, dose = study(n=800)
    return HyperCATE(**ABLE, random_state=0).fit(X, y, dose)


class TestSplines:
    @given(st.integers(0, 10_000), st.integers(20, 600))
    @quick
    def test_share_one_between_three_networks_of_the_doses_range(self, seed, n):
        doses = np.random.default_rng(seed).gamma(2, 3, n)
        of = Doses.fit(doses, None)
        splines, where = of.splines(doses), of.range_of(doses)
        blend, _ = blend_of(splines, where, of.blended)
        assert splines.shape == (n, of.n_splines)
        assert (splines >= 0).all()
        np.testing.assert_allclose(splines.sum(axis=1), 1)
        for j in range(N_BLENDED):
            np.testing.assert_allclose(blend[:, j], splines[np.arange(n), where + j], atol=1e-6)
        assert ((of.ends[where] <= doses) & (doses <= of.ends[where + 1])).all()

    def test_can_be_any_parabola(self):
        doses = np.linspace(1, 5, 200)
        splines = Doses.fit(doses, None).splines(doses)
        curve = 3 - 2 * doses + 0.5 * doses**2
        coefficients = np.linalg.lstsq(splines, curve, rcond=None)[0]
        np.testing.assert_allclose(splines @ coefficients, curve, atol=1e-9)

    def test_codes_of_near_doses_are_near_and_of_one_norm(self):
        codes = Doses.fit(np.linspace(0, 9, 400), None).codes()
        np.testing.assert_allclose(np.square(codes).mean(axis=1), 1, rtol=1e-5)
        apart = np.linalg.norm(codes[:, None] - codes, axis=2)
        assert (np.diff(apart[0]) > 0).all()

    def test_many_rows_of_one_dose_are_a_range_with_others(self):
        doses = np.append(np.zeros(300), np.linspace(1, 9, 200))
        of = Doses.fit(doses, None)
        assert np.bincount(of.range_of(doses)).min() >= 2


class TestCurves:
    def test_follow_the_truth(self):
        new, doses = study(n=500, seed=1)[0], np.linspace(1, 8, 8)
        truth = np.column_stack([outcome(new, d) for d in doses])
        error = able().dose_response(new, doses) - truth
        assert np.sqrt(np.mean(error**2)) < 0.2 * truth.std()
        slopes = able().dose_response(new, doses, derivative=True).mean(axis=0)
        np.testing.assert_allclose(slopes, 2 * 3 / (doses + 3) ** 2, atol=0.15)

    def test_effects_are_their_differences(self):
        est, X = fitted()
        at = est.dose_response(X, [2.0, 5.0])
        np.testing.assert_allclose(est.effect(X, T0=2.0, T1=5), at[:, 1] - at[:, 0], atol=1e-12)
        each = np.where(X["x0"] > 0, 2.0, 5.0)
        by_row = np.where(X["x0"] > 0, 0.0, at[:, 1] - at[:, 0])
        np.testing.assert_allclose(est.effect(X, T0=2.0, T1=each), by_row, atol=1e-12)

    def test_predict_compares_the_usual_dose_with_control(self):
        X, y, dose = study()
        est = HyperCATE(**FEW, control=float(np.median(dose)), random_state=0).fit(X, y, dose)
        usual = np.median(dose[dose > np.median(dose)])
        np.testing.assert_array_equal(est.predict(X), est.effect(X, T0=np.median(dose), T1=usual))
        assert est.effect_inference(X).summary_frame().shape[0] == len(X)

    def test_slopes_are_those_of_the_curve(self):
        est, X = fitted()
        doses = np.linspace(2, 7, 6)
        before, after = est.dose_response(X, doses - 0.01), est.dose_response(X, doses + 0.01)
        np.testing.assert_allclose(
            est.dose_response(X, doses, derivative=True), (after - before) / 0.02, atol=2e-3
        )
        ends = est.fitted_.doses.ends[[0, -1]]
        assert np.isfinite(est.dose_response(X, ends, derivative=True)).all()

    def test_of_binary_outcomes_are_probabilities(self):
        est, X = fitted(binary=True)
        curve = est.dose_response(X, np.linspace(1, 9, 5))
        assert ((curve > 0) & (curve < 1)).all()
        assert (np.abs(est.effect_interval(X, T0=1.0, T1=9.0)) <= 1).all()


class TestIntervals:
    def test_hold_the_effect_and_are_nothing_at_the_same_dose(self):
        est, X = fitted()
        lower, upper = est.effect_interval(X, T0=1.0, T1=6.0)
        effect = est.effect(X, T0=1.0, T1=6.0)
        assert (lower < effect).all()
        assert (effect < upper).all()
        np.testing.assert_allclose(est.effect_interval(X, T0=4.0, T1=4.0), 0, atol=1e-12)
        draws = est.sample_effects(X, 500, T0=1.0, T1=6.0)
        np.testing.assert_allclose(draws.mean(axis=0), effect, atol=0.3 * (upper - lower).max())

    def test_cover_about_what_they_say(self):
        """Of the mean coverage in six studies the standard error is about .04."""
        held = []
        for seed in range(11, 17):
            X, y, dose = study(n=500, seed=seed)
            est = HyperCATE(**ABLE, random_state=seed).fit(X, y, dose)
            new = study(n=300, seed=100 + seed)[0]
            lower, upper = est.effect_interval(new, T0=1.0, T1=7.0, alpha=0.1)
            truth = outcome(new, 7.0) - outcome(new, 1.0)
            held.append(((lower <= truth) & (truth <= upper)).mean())
        assert 0.75 < np.mean(held) < 0.995


class TestAverages:
    def test_have_the_mean_outcome_of_every_range(self):
        table = able().average_dose_response()
        everyone = study(n=20_000, seed=3)[0]
        middle = (table["least"] + table["greatest"]) / 2
        truth = [outcome(everyone, dose).mean() for dose in middle]
        assert (table["least"].to_numpy()[1:] == table["greatest"].to_numpy()[:-1]).all()
        off = (table["point_estimate"] - truth) / table["stderr"]
        assert np.abs(off).max() < 4
        assert (np.diff(table["point_estimate"]) > 0).all()

    def test_compare_ranges_with_that_of_the_control_dose(self):
        est, X = fitted(control=5.0)
        table = est.average_dose_response()["point_estimate"]
        own = est.arms_[0]
        found = est.ate_inference().summary_frame()["point_estimate"]
        np.testing.assert_allclose(found, table[found.index] - table[own])
        assert own in [f"{low:.4g} to {high:.4g}" for low, high in
                       zip(est.fitted_.doses.ends, est.fitted_.doses.ends[1:], strict=False)
                       if low <= 5 <= high]  # fmt: skip
        assert len(est.ate(X[:30])) == len(est.arms_) - 1
        assert est.gate(np.arange(len(X)) % 2).shape == (2 * (len(est.arms_) - 1),)

    def test_rest_on_rows_that_did_not_shape_the_networks(self):
        """Other outcomes of rows that a model is judged on leave its networks alone."""
        X, y, dose = study(n=200)
        first = HyperCATE(**FEW, inputs="raw", random_state=0).fit(X, y, dose).fitted_
        judged = first.evidence.row[first.evidence.model == 0]
        y = y.copy()
        y[judged] = y[judged[::-1]]
        second = HyperCATE(**FEW, inputs="raw", random_state=0).fit(X, y, dose).fitted_
        np.testing.assert_array_equal(first.networks.theta[0], second.networks.theta[0])
        assert not np.array_equal(first.networks.theta[1], second.networks.theta[1])


class TestOverlap:
    def test_of_ranges_that_are_apart_is_warned_of_with_advice_that_can_be_followed(self):
        rng = np.random.default_rng(0)
        X = pd.DataFrame({"x0": rng.normal(size=400)})
        dose = 5 * expit(4 * X["x0"].to_numpy()) + rng.random(400)
        with pytest.warns(OverlapWarning) as caught:
            HyperCATE(**FEW, random_state=0).fit(X, dose + rng.normal(size=400), dose)
        for warning in caught:
            assert "overlap_report(X, ranges)" in str(warning.message)
            assert "pandas.qcut(doses, 3).astype(str)" in str(warning.message)
            assert "arm '" in str(warning.message)
        ranges = pd.qcut(pd.Series(dose), 3).astype(str)
        assert overlap_report(X, ranges).arms["poor"].any()


class TestState:
    def test_files_pickles_and_clones_answer_alike(self, tmp_path):
        est, X = fitted()
        est.save(tmp_path / "model.hypercate")
        again = clone(est).set_params(random_state=0).fit(*study())
        for copy in (
            HyperCATE.load(tmp_path / "model.hypercate", device="cpu"),
            pickle.loads(pickle.dumps(est)),
            again,
        ):
            np.testing.assert_array_equal(
                copy.dose_response(X, [1, 2.5, 7]), est.dose_response(X, [1, 2.5, 7])
            )
            np.testing.assert_array_equal(copy.effect_interval(X), est.effect_interval(X))
            pd.testing.assert_frame_equal(copy.average_dose_response(), est.average_dose_response())

    def test_networks_are_generated_without_what_is_of_arms(self):
        est, _ = fitted()
        assert (est.weights_["trained"] == 1).all()
        assert "independent" not in est.sharing_.columns
        assert est.fitted_.networks.theta.shape[1] == est.fitted_.doses.n_splines

    def test_sample_weights_of_zero_are_rows_left_out(self):
        X, y, dose = study(n=300)
        weight = np.ones(300)
        weight[:40] = 0
        dose = dose.copy()
        dose[:5] = 99.0
        found = HyperCATE(**FEW, random_state=0).fit(X, y, dose, sample_weight=weight)
        expected = HyperCATE(**FEW, random_state=0).fit(X[40:], y[40:], dose[40:])
        np.testing.assert_array_equal(found.predict(X), expected.predict(X))


class TestRefusals:
    def test_doses_without_being_asked_name_the_option(self):
        X, y, dose = study(n=60)
        with pytest.raises(ValueError, match="pass treatment_kind='dose' if it is an amount"):
            HyperCATE(n_members=2).fit(X, y, dose)
        with pytest.raises(ValueError, match="pass treatment_kind='dose' if it is an amount"):
            HyperCATE(n_members=2).fit(np.zeros((150, 1)), np.zeros(150), np.arange(150))

    @pytest.mark.parametrize(
        ("dose", "parameters", "error", "message"),
        [
            (np.arange(60) % (LEAST_DOSES - 1), {}, ValueError, "9 distinct doses"),
            (np.repeat("a", 60), {}, TypeError, "holds 'a', but doses are numbers"),
            (np.where(np.arange(60) == 3, np.nan, 1.5), {}, ValueError, "missing .* in row 3"),
            (np.where(np.arange(60) == 3, np.inf, 1.5), {}, ValueError, "infinite in row 3"),
            (np.arange(60.0), {"control": 77}, ValueError, "control=77.* outside the doses"),
            (np.arange(60.0), {"control": "low"}, TypeError, "control='low' must be a dose"),
            (np.arange(60.0), {"learner": "dr"}, ValueError, "learner='dr' works only with arms"),
            (np.arange(59.0), {}, ValueError, "59"),
        ],
    )
    def test_of_what_cannot_be_fitted(self, dose, parameters, error, message):
        X, y, _ = study(n=60)
        with pytest.raises(error, match=message):
            HyperCATE(**FEW | parameters).fit(X, y, dose)

    def test_of_what_is_of_arms(self):
        X, y, dose = study(n=60)
        with pytest.raises(ValueError, match="propensity describes arms"):
            HyperCATE(**FEW).fit(X, y, dose, propensity=np.full(60, 0.5))
        with pytest.raises(ValueError, match="effort='instant' works only with arms"):
            HyperCATE(treatment_kind="dose", effort="instant").fit(X, y, dose)
        est, X = fitted()
        for ask in (
            lambda: est.predict_outcomes(X),
            lambda: est.score(X, np.zeros(len(X)), np.zeros(len(X))),
            lambda: est.predict_outcome_interval(X),
            lambda: est.individual_effect_interval(X),
        ):
            with pytest.raises(ValueError, match="treatments of this model are doses"):
                ask()

    def test_of_doses_where_nothing_is_known(self):
        est, X = fitted()
        with pytest.raises(ValueError, match=r"T1 has the dose 30, outside the doses of the fit"):
            est.effect(X, T1=30)
        with pytest.raises(ValueError, match="doses has the dose -1"):
            est.dose_response(X, [1.0, -1.0])
        with pytest.raises(ValueError, match="T1"):
            est.effect(X, T1=[1.0, 2.0])

    def test_of_curves_to_models_of_arms(self):
        X, y, dose = study(n=60)
        est = HyperCATE(n_members=2, max_epochs=2).fit(X, y, dose > 5)
        for ask in (lambda: est.dose_response(X, [1.0]), est.average_dose_response):
            with pytest.raises(ValueError, match="fit with treatment_kind='dose'"):
                ask()

    def test_of_looks_at_arms(self):
        est, X = fitted()
        for look in (
            lambda: inspection.arm_similarity(est, X),
            lambda: inspection.layer_departures(est),
            lambda: inspection.along_step(est, X, est.arms_[0], est.arms_[1]),
        ):
            with pytest.raises(ValueError, match="treatments of this model are doses"):
                look()
        assert inspection.compression(est)["trained"].sum() == est.n_parameters_["trained"]
