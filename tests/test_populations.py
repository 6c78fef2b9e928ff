"""Averages over controls, overlap and trimmed rows, new rows in groups, linear projections."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit

from hypercate import HyperCATE
from hypercate.answers.groups import crossed
from hypercate.inference.groups import inverse_propensity

SMALL = {"effort": "instant", "random_state": 0, "device": "cpu"}


def study(n=500, seed=501, n_arms=2, known=False):
    """Confounded by age, by which the effect varies: 1 + age."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"age": rng.normal(size=n), "site": rng.choice(["north", "south"], n)})
    chance = np.full(n, 0.3) if known else expit(X["age"].to_numpy())
    arm = (rng.random(n) < chance).astype(int) * rng.integers(1, n_arms, n)
    y = X["age"] + (arm > 0) * (1 + X["age"]) + 0.5 * rng.normal(size=n)
    return X, y.to_numpy(), arm


@pytest.fixture(scope="module")
def fitted():
    X, y, arm = study()
    return HyperCATE(**SMALL).fit(X, y, arm), X, y, arm


@pytest.fixture(scope="module")
def three_arms():
    X, y, arm = study(n_arms=3)
    return HyperCATE(**SMALL).fit(X, y, np.array(["none", "pill", "surgery"])[arm])


def scores(est):
    evidence = est.fitted_.evidence
    inverse = inverse_propensity(evidence)
    inverse = inverse / np.average(inverse, axis=0, weights=evidence.weight)
    predicted = evidence.mean_outcomes
    return predicted + inverse * (evidence.y[:, None] - predicted)


class TestControls:
    def test_they_are_those_treated_with_the_arms_exchanged(self, fitted, three_arms):
        est = fitted[0]
        assert est.atc() == -est.att(T0=1)
        lower, upper = est.atc_interval()
        back = est.att_interval(T0=1)
        np.testing.assert_allclose((lower, upper), (-back[1], -back[0]))
        table = three_arms.atc_inference().summary_frame()
        assert table.index.tolist() == ["pill", "surgery"]
        of_pill = three_arms.att_inference(T0="pill").summary_frame().loc["none"]
        assert table.loc["pill", "point_estimate"] == -of_pill["point_estimate"]
        assert table.loc["pill", "stderr"] == pytest.approx(of_pill["stderr"])

    def test_everyone_is_those_treated_and_the_controls(self, fitted):
        est, *_, arm = fitted
        share = arm.mean()
        both = share * est.att() + (1 - share) * est.atc()
        assert both == pytest.approx(est.ate(), abs=0.05)
        assert est.att() > est.ate() + 0.1 > est.atc() + 0.2

    def test_the_truth_is_inside(self, fitted):
        est, X, _, arm = fitted
        for average, own in ((est.atc_interval, arm == 0), (est.att_interval, arm == 1)):
            lower, upper = average(alpha=0.01)
            assert lower < (1 + X["age"])[own].mean() < upper


class TestOverlap:
    def test_it_is_the_ate_where_propensities_are_constant(self):
        X, y, arm = study(known=True)
        est = HyperCATE(**SMALL).fit(X, y, arm, propensity=np.full(len(y), 0.3))
        assert est.ato() == pytest.approx(est.ate(), rel=1e-12)
        found, everyone = est.ato_inference(), est.ate_inference()
        np.testing.assert_allclose(found.stderr, everyone.stderr)

    def test_rows_count_by_their_overlap(self, fitted):
        est, X, *_ = fitted
        e = expit(X["age"])
        true = np.average(1 + X["age"], weights=e * (1 - e))
        lower, upper = est.ato_interval(alpha=0.01)
        assert lower < true < upper
        assert est.ato_inference().stderr[0] < est.ate_inference().stderr[0]
        assert "ATO" in str(est.ato_inference())

    def test_all_arms_have_the_same_population(self, three_arms):
        found = three_arms.ato_inference()
        assert found.index.tolist() == ["pill", "surgery"]
        against = three_arms.ato(T0="pill")
        assert against[0] == pytest.approx(-found.point_estimate[0])
        difference = found.point_estimate[1] - found.point_estimate[0]
        assert against[1] == pytest.approx(difference)


class TestTrimming:
    def test_rows_of_small_propensities_are_left_out(self, fitted):
        est, X, *_ = fitted
        least = est.fitted_.evidence.propensity.min(axis=1)
        kept = least >= 0.2
        found = est.ate_inference(trim=0.2)
        assert found.n_rows == kept.sum() < len(X)
        assert "some training rows" in str(found)
        lower, upper = est.ate_interval(trim=0.2, alpha=0.01)
        assert lower < (1 + X["age"])[kept].mean() < upper
        assert est.ate(trim=1e-9) == est.ate()

    @pytest.mark.parametrize("trim", [0, 0.5, -1, "a", True, np.nan])
    def test_what_is_no_share_is_refused(self, fitted, trim):
        with pytest.raises(ValueError, match="trim"):
            fitted[0].ate(trim=trim)

    def test_new_rows_are_not_trimmed(self, fitted):
        with pytest.raises(ValueError, match="without X"):
            fitted[0].ate(fitted[1], trim=0.1)


class TestProjection:
    def test_it_is_least_squares_of_the_scores_with_hc3_errors(self, fitted):
        est, X, *_ = fitted
        found = est.best_linear_projection(X)
        assert found.index.tolist() == ["constant", "age", "site_south"]
        design = np.column_stack([np.ones(len(X)), X["age"], X["site"] == "south"]).astype(float)
        effect = scores(est)[:, 1] - scores(est)[:, 0]
        expected = sm.OLS(effect, design).fit(cov_type="HC3")
        np.testing.assert_allclose(found.point_estimate, expected.params)
        np.testing.assert_allclose(found.stderr, expected.bse)
        assert abs(found.point_estimate[1] - 1) < 3 * found.stderr[1]

    def test_a_constant_alone_is_the_average_effect(self, fitted):
        est, X, *_ = fitted
        centred = (X["age"] - X["age"].mean()).rename("age")
        found = est.best_linear_projection(centred)
        assert found.point_estimate[0] == pytest.approx(est.ate())

    def test_clusters_are_left_out_whole(self):
        X, y, arm = study(200)
        school = np.arange(200) // 5
        est = HyperCATE(**SMALL).fit(X, y, arm, groups=school)
        found = est.best_linear_projection(X[["age"]])
        design = np.column_stack([np.ones(200), X["age"]])
        effect = scores(est)[:, 1] - scores(est)[:, 0]

        def fit(rows):
            return np.linalg.lstsq(design[rows], effect[rows], rcond=None)[0]

        everyone = fit(np.arange(200))
        apart = [fit(school != each) - everyone for each in range(40)]
        np.testing.assert_allclose(found.stderr, np.sqrt(np.square(apart).sum(axis=0)))
        assert (found.dof == 38).all()

    def test_weights_and_several_arms(self, three_arms):
        X, *_ = study(n_arms=3)
        table = three_arms.best_linear_projection(X[["age"]]).summary_frame()
        assert table.index.tolist() == [
            (arm, term) for arm in ("pill", "surgery") for term in ("constant", "age")
        ]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda X: X.assign(age=np.nan), "'age' have missing"),
            (lambda X: X.assign(age=1.0)[["age"]], "'age' is constant"),
            (lambda X: X.assign(twice=2 * X["age"])[["age", "twice"]], "'twice'"),
            (lambda X: X.assign(age=np.inf)[["age"]], "infinite"),
            (lambda X: X[:10], "10"),
            (lambda X: X[["age"]][::-1], "order"),
        ],
    )
    def test_covariates_that_cannot_be_used_are_named(self, fitted, change, message):
        est, X, *_ = fitted
        with pytest.raises(ValueError, match=message):
            est.best_linear_projection(change(X))


class TestNewRowsInGroups:
    def test_they_are_averaged_by_models_that_did_not_see_them(self, fitted):
        est = fitted[0]
        X, y, arm = study(seed=502)
        found = est.gate_inference(X["site"], X, y, arm).summary_frame()
        assert found.index.tolist() == ["north", "south"]
        for site, row in found.iterrows():
            true = (1 + X["age"])[X["site"] == site].mean()
            assert abs(row["point_estimate"] - true) < 3.5 * row["stderr"]
        lower, _ = est.gate_interval(X["site"], X, y, arm)
        np.testing.assert_array_equal(lower, found["ci_lower"])
        np.testing.assert_array_equal(est.gate(X["site"], X, y, arm), found["point_estimate"])

    def test_their_order_does_not_matter(self, fitted):
        est = fitted[0]
        X, y, arm = study(seed=502)
        order = np.random.default_rng(0).permutation(len(y))
        one = est.gate(X["site"], X, y, arm)
        other = est.gate(X["site"].iloc[order], X.iloc[order], y[order], arm[order])
        np.testing.assert_allclose(one, other)

    def test_training_rows_and_missing_arguments_are_refused(self, fitted):
        est, X, y, arm = fitted
        with pytest.raises(ValueError, match="did not see"):
            est.gate(X["site"], X, y, arm)
        with pytest.raises(TypeError, match="treatment"):
            est.gate(X["site"], X, y)
        with pytest.raises(TypeError, match="X is needed"):
            est.gate(X["site"], y=y)

    def test_groups_of_several_columns_are_crossed(self, fitted):
        est, X, *_ = fitted
        groups = X[["site"]].assign(old=X["age"] > 0)
        found = est.gate(groups)
        assert found.index.tolist() == [
            "north, False",
            "north, True",
            "south, False",
            "south, True",
        ]
        assert found.index.name == "site, old"
        one = est.gate(groups["site"].str.cat(groups["old"].astype(str), sep=", "))
        np.testing.assert_array_equal(found, one)
        assert crossed(groups[["site"]]).equals(X["site"])

    def test_labels_that_are_missing_are_named(self, fitted):
        est, X, *_ = fitted
        groups = X[["site"]].assign(old=np.where(X.index == 7, None, "yes"))
        with pytest.raises(ValueError, match="'old' has 1 missing labels, the first at row 7"):
            est.gate(groups)
