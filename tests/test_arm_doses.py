"""Doses of several arms: each has curves of its own, and questions are of pairs or of frames."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from small import copies_of, tiny

from hypercate import HyperCATE, plots
from hypercate.encoding import fit_doses
from hypercate.encoding.doses import blend_of

quick = settings(max_examples=20, deadline=None, derandomize=True)
ABLE = {"n_members": 2, "max_epochs": 60, "outcome_hidden": (16, 16, 16), "device": "cpu"}


def study(n=400, seed=501):
    """Two drugs, one given in up to 10 mg and the other in up to 200, or none; two covariates."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 2)), columns=["x0", "x1"])
    drug = rng.choice(["none", "A", "B"], n)
    share = rng.uniform(0.02, 1, n)
    mg = share * np.select([drug == "A", drug == "B"], [10.0, 200.0], 0.0)
    treatment = pd.DataFrame({"mg": mg, "drug": drug})
    return X, outcome(X, drug, mg) + 0.3 * rng.normal(size=n), treatment


def outcome(X, drug, mg):
    x0, x1 = X.to_numpy().T
    added = [(2 + x1) * mg / (mg + 3), (1 + x1) * mg / 100]
    return x0 + np.select([drug == "A", drug == "B"], added, 0.0)


def fit(X, y, treatment, **parameters):
    settings = {"treatment_kind": "dose", "control": "none", "inputs": "raw", "random_state": 0}
    return HyperCATE(**settings | ABLE | parameters).fit(X, y, treatment)


def few(**parameters):
    return tiny(**{"treatment_kind": "dose", "inputs": "raw", "device": "cpu"} | parameters)


@pytest.fixture(scope="module")
def est():
    return fit(*study())


@pytest.fixture(scope="module")
def new():
    return study(n=200, seed=502)[0]


class TestSplines:
    @given(st.integers(0, 10_000), st.integers(120, 500))
    @quick
    def test_of_a_row_are_those_of_its_arm_and_sum_to_one(self, seed, n):
        _, _, treatment = study(n, seed)
        doses, where, splines = fit_doses(treatment, np.ones(n, dtype=bool), None)
        np.testing.assert_allclose(splines.sum(axis=1), 1)
        blend, blended = blend_of(splines, where, doses.blended)
        np.testing.assert_allclose(blend.sum(axis=1), 1, rtol=1e-5)
        whole = np.zeros_like(splines)
        np.add.at(whole, (np.arange(n)[:, None], blended[where]), blend)
        np.testing.assert_allclose(whole, splines, atol=1e-6)
        for drug, own in treatment.groupby("drug"):
            others = splines[treatment["drug"] != drug]
            used = splines[own.index].any(axis=0)
            assert not others[:, used].any()
            found = doses.ranges().loc[where[own.index]]
            assert (found["arm"] == drug).all()
            assert (found["least"].to_numpy() <= own["mg"]).all()
            assert (own["mg"] <= found["greatest"].to_numpy()).all()

    def test_of_an_arm_with_one_dose_is_one_network(self):
        _, _, treatment = study()
        doses, where, splines = fit_doses(treatment, np.ones(len(treatment), dtype=bool), "none")
        none = (treatment["drug"] == "none").to_numpy()
        assert (splines[none].max(axis=1) == 1).all()
        assert len(np.unique(where[none])) == 1
        assert doses.conditions().labels[0] == "none: 0"

    def test_codes_tell_arms_apart_and_have_one_norm(self):
        _, _, treatment = study()
        doses = fit_doses(treatment, np.ones(len(treatment), dtype=bool), None)[0]
        codes = doses.codes()
        np.testing.assert_allclose(np.square(codes).mean(axis=1), 1, rtol=1e-5)
        assert len(np.unique(codes, axis=0)) == doses.n_splines == len(codes)


class TestAnswers:
    def test_curves_follow_the_truth(self, est, new):
        for arm, doses in (("A", np.linspace(1, 9, 5)), ("B", np.linspace(20, 180, 5))):
            truth = np.column_stack([outcome(new, arm, dose) for dose in doses])
            error = est.dose_response(new, doses, arm=arm) - truth
            assert np.sqrt(np.mean(error**2)) < 0.25 * truth.std()
        none = est.dose_response(new, [0.0], arm="none")[:, 0]
        assert np.sqrt(np.mean((none - outcome(new, "none", 0.0)) ** 2)) < 0.3
        slopes = est.dose_response(new, [100.0], arm="B", derivative=True).mean()
        assert slopes == pytest.approx((1 + new["x1"]).mean() / 100, abs=0.004)

    def test_effects_are_differences_of_curves_however_they_are_asked(self, est, new):
        a, b = (
            est.dose_response(new, [dose], arm=arm)[:, 0] for arm, dose in (("A", 4), ("B", 50))
        )
        none = est.dose_response(new, [0], arm="none")[:, 0]
        rows = pd.DataFrame({"drug": ["A", "B"] * 100, "mg": [4.0, 50.0] * 100})
        own = np.where(rows["drug"] == "A", a, b)
        for T0, T1, expected in (
            (("A", 4), ("B", 50), b - a),
            (None, ("A", 4.0), a - none),
            (("none", 0), ("A", np.full(200, 4.0)), a - none),
            (("B", 50), "none", none - b),
            ("none", rows, own - none),
            (rows, rows[["mg", "drug"]], 0 * own),
        ):
            found = est.effect(new, T0=T0, T1=T1)
            np.testing.assert_allclose(found, expected, atol=1e-12)

    def test_predict_compares_usual_doses_of_other_arms_with_control(self, est, new):
        _, _, treatment = study()
        usual = treatment.groupby("drug")["mg"].median()
        expected = [est.effect(new, T1=(arm, usual[arm])) for arm in ("A", "B")]
        np.testing.assert_allclose(
            est.predict(new), np.column_stack(expected), rtol=0.02, atol=0.02
        )
        table = est.effect_inference(new).summary_frame()
        names = [f"{arm}: {est.fitted_.doses.curve(arm)[0].usual:.4g}" for arm in ("A", "B")]
        assert table.index.get_level_values("arm").unique().tolist() == names

    def test_control_may_be_a_dose_of_an_arm(self, new):
        X, y, treatment = study(n=200)
        model = fit(X, y, treatment, control=("A", 5.0), max_epochs=3)
        reference = model.dose_response(new, [5.0], arm="A")[:, 0]
        effect = model.dose_response(new, [60.0], arm="B")[:, 0] - reference
        np.testing.assert_allclose(model.effect(new, T1=("B", 60.0)), effect, atol=1e-12)
        assert model.arms_[0].startswith("A: ")
        assert model.predict(new).shape == (200, 2)

    def test_intervals_hold_most_effects_and_are_nothing_at_the_same_dose(self, est, new):
        lower, upper = est.effect_interval(new, T0="none", T1=("A", 5.0), alpha=0.1)
        truth = outcome(new, "A", 5.0) - outcome(new, "none", 0.0)
        assert ((lower <= truth) & (truth <= upper)).mean() > 0.6
        same = est.effect_interval(new, T0=("A", 5.0), T1=("A", 5.0))
        np.testing.assert_allclose(same, 0, atol=1e-12)

    def test_averages_are_of_every_arms_ranges(self, est):
        table = est.average_dose_response()
        assert table["arm"].drop_duplicates().tolist() == ["none", "A", "B"]
        everyone = study(n=20_000, seed=503)[0]
        middle = (table["least"] + table["greatest"]) / 2
        truth = [
            outcome(everyone, arm, mg).mean() for arm, mg in zip(table["arm"], middle, strict=True)
        ]
        assert np.abs((table["point_estimate"] - truth) / table["stderr"]).max() < 4
        for _, own in table.groupby("arm"):
            assert (own["least"].to_numpy()[1:] == own["greatest"].to_numpy()[:-1]).all()
        assert sorted(est.arms_) == sorted(table.index)
        assert len(est.ate()) == len(table) - 1

    def test_pictures_are_of_one_arm(self, est, new):
        ax = plots.plot_dose_response(est, new, arm="B")
        curve, dots = ax.lines[:2]
        at = est.dose_response(new, curve.get_xdata(), arm="B")
        np.testing.assert_allclose(curve.get_ydata(), at.mean(axis=0))
        table = est.average_dose_response()
        own = table.loc[table["arm"] == "B", "point_estimate"]
        np.testing.assert_array_equal(dots.get_ydata(), own)
        for arm, message in (("none", "single dose"), (None, "pass arm="), ("C", "'C' is not")):
            with pytest.raises(ValueError, match=message):
                plots.plot_dose_response(est, new, arm=arm)


class TestState:
    def test_files_pickles_and_clones_answer_alike(self, est, new, tmp_path):
        X, y, treatment = study(n=150)
        first = few(control="none").fit(X, y, treatment)
        for copy in copies_of(first, X, y, treatment, tmp_path / "model.hypercate"):
            for T1 in (("A", 5.0), treatment):
                np.testing.assert_array_equal(copy.effect(X, T1=T1), first.effect(X, T1=T1))
            pd.testing.assert_frame_equal(
                copy.average_dose_response(), first.average_dose_response()
            )
        assert clone(first).get_params()["control"] == "none"

    def test_names_types_and_order_of_columns_change_nothing(self):
        X, y, treatment = study(n=150)
        model = few(control="none").fit(X, y, treatment)
        other = treatment[["drug", "mg"]].replace({"drug": {"A": "z", "none": "k", "B": "c"}})
        other["drug"] = other["drug"].astype("category")
        same = few(control="k").fit(X, y, other)
        np.testing.assert_array_equal(same.effect(X, T1=("z", 5.0)), model.effect(X, T1=("A", 5.0)))
        np.testing.assert_array_equal(same.predict(X)[:, ::-1], model.predict(X))

    def test_rows_of_no_weight_are_left_out(self):
        X, y, treatment = study(n=200)
        weight = np.append(np.zeros(40), np.ones(160))
        treatment.loc[:3, ["mg", "drug"]] = [999.0, "A"]
        model = few().fit(X, y, treatment, sample_weight=weight)
        less = few().fit(X[40:], y[40:], treatment[40:])
        np.testing.assert_array_equal(model.predict(X), less.predict(X))

    def test_other_outcomes_and_contexts_are_fitted_too(self):
        X, y, treatment = study(n=150)
        several = pd.DataFrame({"a": y, "b": y > 0})
        model = few(context="data").fit(X, several, treatment)
        assert model.dose_response(X, [1.0, 2.0], arm="A").shape == (150, 2, 2)
        event = np.arange(150) % 4 > 0
        times = few(outcome="time", horizon=1.0)
        times.fit(X, np.exp(y / 5), treatment, event=event)
        curve = times.dose_response(X, [1.0, 2.0], arm="A")
        assert ((curve >= 0) & (curve <= 1)).all()


def with_arm(drug):
    return study(n=150)[2].assign(drug=drug)


CANNOT_BE_FITTED = {
    "two numbers": (with_arm(np.arange(150) % 3), {}, ValueError, r"'drug' \(int64\).*astype"),
    "no number": (
        with_arm("A").astype({"mg": str}),
        {},
        ValueError,
        "two of which one holds numbers",
    ),
    "three columns": (with_arm("A").assign(more="x"), {}, ValueError, "'more'"),
    "one arm": (with_arm("A"), {}, ValueError, r"treatment\['drug'\] holds a single arm: leave"),
    "few doses": (
        study(n=150)[2].assign(mg=lambda of: of["mg"].mask(of["drug"] == "A", of.index % 4)),
        {},
        ValueError,
        "arm 'A': treatment has 4 distinct doses",
    ),
    "a missing dose": (
        study(n=150)[2].assign(mg=lambda of: of["mg"].mask(of.index == 3)),
        {},
        ValueError,
        r"treatment\['mg'\] .*missing.* in row 3",
    ),
    "no such control": (study(n=150)[2], {"control": "C"}, ValueError, "control 'C' is not an arm"),
    "control as a dose": (study(n=150)[2], {"control": 0.0}, ValueError, "control 0.0 is not an"),
    "control beyond": (
        study(n=150)[2],
        {"control": ("A", 77.0)},
        ValueError,
        "arm 'A': control=77.0 lies outside",
    ),
    "control of another dose than its one": (
        study(n=150)[2],
        {"control": ("none", 5.0)},
        ValueError,
        "arm 'none': control has the dose 5",
    ),
    "arms alone": (study(n=150)[2], {"treatment_kind": "auto"}, ValueError, "one-dimensional"),
}


class TestRefusals:
    @pytest.mark.parametrize("case", CANNOT_BE_FITTED)
    def test_of_what_cannot_be_fitted(self, case):
        treatment, parameters, error, message = CANNOT_BE_FITTED[case]
        X, y, _ = study(n=150)
        with pytest.raises(error, match=message):
            few(**parameters).fit(X, y, treatment)

    def test_an_arm_without_weight(self):
        X, y, treatment = study(n=150)
        weight = (treatment["drug"] != "A").to_numpy(float)
        with pytest.raises(ValueError, match="arm 'A' has no row of positive weight"):
            few().fit(X, y, treatment, sample_weight=weight)

    @pytest.mark.parametrize(
        ("T1", "error", "message"),
        [
            (
                "A",
                ValueError,
                r"T1='A' is an arm without a dose: pass T1=\('A', dose\), a dose from",
            ),
            (3.0, ValueError, r"T1: 3.0 is not an arm.*Pass T1=\(arm, dose\)"),
            (["A", 3.0], ValueError, r"not an arm.*Pass T1=\(arm, dose\)"),
            (("C", 3.0), ValueError, "T1: 'C' is not an arm"),
            (("A", 77.0), ValueError, "T1, of arm 'A', has the dose 77, outside"),
            (("none", 1.0), ValueError, "T1, of arm 'none', has the dose 1, outside"),
            (("A", "much"), TypeError, "T1, of arm 'A', holds 'much', but doses are numbers"),
            (("A", [1.0, 2.0]), ValueError, "T1, of arm 'A', has 2 rows, but X has 200"),
            (study(n=200)[2][["mg"]], ValueError, "T1 has no column 'drug'"),
            (study(n=100)[2], ValueError, "T1 has 100 rows, but X has 200"),
            (
                study(n=200)[2].assign(mg=150.0, drug="A"),
                ValueError,
                "of arm 'A', has the dose 150",
            ),
            (study(n=200)[2].assign(drug="C"), ValueError, r"T1\['drug'\].* 'C'"),
        ],
    )
    def test_of_what_cannot_be_compared(self, est, new, T1, error, message):
        with pytest.raises(error, match=message):
            est.effect(new, T1=T1)

    def test_of_questions_without_a_meaning(self, est, new):
        rows = study(n=200)[2]
        for ask, message in (
            (lambda: est.effect(new, T0=rows), "T0 differs by row, so T1 is needed too"),
            (lambda: est.dose_response(new, [1.0]), r"pass arm=, one of \['none', 'A', 'B'\]"),
            (lambda: est.dose_response(new, [1.0], arm="C"), "arm 'C' is not an arm"),
            (lambda: est.dose_response(new, [20.0], arm="A"), "doses has the dose 20, outside"),
            (
                lambda: est.dose_response(new, [0.0], arm="none", derivative=True),
                "arm='none' was given at a single dose",
            ),
            (lambda: est.predict_outcomes(new), "treatments of this model are doses"),
            (lambda: est.individual_effect_interval(new), "treatments of this model are doses"),
        ):
            with pytest.raises(ValueError, match=message):
                ask()
        alone = few().fit(new, rows["mg"], rows["mg"])
        with pytest.raises(ValueError, match="fitted to doses without arms"):
            alone.dose_response(new, [1.0], arm="A")
