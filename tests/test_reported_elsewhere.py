"""Troubles that users of other packages reported in public, tried here. Each names its source."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from small import able, tiny, trial

from hypercate import HyperCATE

pytestmark = pytest.mark.filterwarnings("error")


def columns(X):
    return pd.DataFrame(X, columns=list("abcd")[: X.shape[1]])


def test_values_may_be_missing_in_fit_and_first_missing_in_predict():
    """github.com/py-why/EconML/issues/989 and /827: refused, or allowed in fit alone."""
    X, y, arm, effect = trial(300)
    holed = columns(X)
    holed.loc[::7, "b"] = np.nan
    est = able().fit(holed, y, arm)
    new = columns(X)
    new.loc[::3, ["a", "c"]] = np.nan  # never missing in fit
    assert np.isfinite(est.predict(new)).all()
    assert all(np.isfinite(bound).all() for bound in est.effect_interval(new))
    assert np.corrcoef(est.predict(columns(X)), effect)[0, 1] > 0.9


def test_a_control_that_is_no_arm_is_named_beside_the_arms():
    """github.com/uber/causalml/issues/382: an assertion without a way out."""
    X, y, arm, _ = trial(60)
    with pytest.raises(ValueError, match=r"control.*'placebo'.*\[0, 1\]"):
        tiny(control="placebo").fit(X, y, arm)


@pytest.mark.parametrize("one", [lambda X: X["a"], lambda X: X["a"].to_numpy()])
def test_one_column_without_its_frame_is_refused_with_the_remedy(one):
    """github.com/uber/causalml/issues/615: a bare IndexError."""
    X, y, arm, _ = trial(60)
    with pytest.raises(ValueError, match=r"Expected (a )?2"):
        tiny().fit(one(columns(X)), y, arm)


def test_vectors_with_a_fresh_index_beside_a_filtered_frame_go_by_position():
    """github.com/maks-sh/scikit-uplift/issues/181: failed, or joined rows that were not one."""
    X, y, arm, _ = trial(200)
    kept = np.arange(200) % 3 > 0
    filtered = columns(X)[kept]
    plain = tiny().fit(filtered, y[kept], arm[kept]).predict(filtered)
    series = tiny().fit(filtered, pd.Series(y[kept]), pd.Series(arm[kept])).predict(filtered)
    np.testing.assert_array_equal(series, plain)


def test_arms_to_compare_may_differ_by_row_and_columns_of_them_are_refused():
    """github.com/py-why/EconML/issues/85: as columns they end in an IndexError."""
    X, y, arm, _ = trial(90, n_arms=3)
    est = tiny().fit(X, y, arm)
    T0, T1 = arm, (arm + 1) % 3
    expected = est.effect(X, T0=T0, T1=T1)
    outcomes = est.predict_outcomes(X)
    rows = np.arange(90)
    np.testing.assert_allclose(expected, outcomes[rows, T1] - outcomes[rows, T0])
    with pytest.raises(ValueError, match=r"T0 has shape \(90, 1\).*pass T0\[:, 0\]"):
        est.effect(X, T0=T0[:, None], T1=T1[:, None])


def test_arms_may_be_ordered_categories_with_spaces_in_their_names():
    """github.com/py-why/EconML/issues/884: categories as treatment."""
    X, y, arm, _ = trial(120, n_arms=3)
    names = np.array(["Low Impact", "Medium Impact", "High Impact"])
    treatment = pd.Series(pd.Categorical(names[arm], categories=names, ordered=True))
    est = tiny(control="Low Impact").fit(X, y, treatment)
    assert est.arms_.tolist() == ["Low Impact", "High Impact", "Medium Impact"]
    strings = tiny(control="Low Impact").fit(X, y, names[arm])
    np.testing.assert_array_equal(est.predict(X), strings.predict(X))


def test_each_arm_has_an_average_and_an_interval_of_its_own():
    """github.com/uber/causalml/issues/828: one interval for all arms."""
    X, y, arm, effect = trial(400, n_arms=3)
    est = able(n_members=3).fit(X, y, arm)
    lower, upper = est.ate_interval()
    truth = effect.mean(axis=0)
    assert (lower < truth).all()
    assert (truth < upper).all()
    assert lower[1] > upper[0]  # the arms' effects are 2 and 4


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_effects_are_finite_where_columns_do_not_matter_and_the_noise_is_large(scale):
    """github.com/uber/causalml/issues/589: effects that are infinite."""
    rng = np.random.default_rng(0)
    X, arm = rng.normal(size=(200, 20)), rng.integers(2, size=200)
    y = scale * (arm + 5 * rng.normal(size=200))
    effects = able().fit(X, y, arm).predict(X)
    assert np.isfinite(effects).all()
    assert np.abs(effects).max() < 10 * scale


@pytest.mark.parametrize("n", [0, 1, 10])
def test_a_few_rows_are_predicted_with_an_effect_for_each_of_several_arms(n):
    """github.com/uber/causalml/issues/569: shapes that do not fit with four arms and ten rows."""
    X, y, arm, _ = trial(120, n_arms=4)
    est = tiny().fit(X, y, arm)
    if n:
        assert est.predict(X[:n]).shape == (n, 3)
        np.testing.assert_allclose(est.predict(X[:n]), est.predict(X)[:n], rtol=1e-4, atol=1e-5)
    else:
        with pytest.raises(ValueError, match=r"0 sample|empty"):
            est.predict(X[:0])


def test_weights_count_in_standard_errors_on_the_treated():
    """github.com/grf-labs/grf/pull/1103: weights were left out of the error of the ATT."""
    X, y, arm, _ = trial(400, noise=2.0)
    weight = np.where(X[:, 2] > 0, 20.0, 1.0)  # 200 rows carry nearly all that is counted
    plain = tiny().fit(X, y, arm).att_inference()
    weighted = tiny().fit(X, y, arm, sample_weight=weight).att_inference()
    assert weighted.stderr[0] > 1.2 * plain.stderr[0]


def test_the_estimate_and_its_error_use_the_same_propensities():
    """github.com/statsmodels/statsmodels/issues/10222: clipped in one and not in the other."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    arm = (rng.random(600) < 1 / (1 + np.exp(-3 * X[:, 0]))).astype(int)
    y = X[:, 0] + arm + 0.3 * rng.normal(size=600)
    with pytest.warns(UserWarning, match="poor support"):
        est = able(n_members=3).fit(X, y, arm)
    inference = est.ate_inference()
    lower, upper = inference.interval()
    assert lower[0] < 1 < upper[0]
    assert abs(inference.point_estimate[0] - 1) < 4 * inference.stderr[0]
    assert est.fitted_.evidence.propensity.min() > 0.005


def test_an_arm_is_compared_alike_beside_arms_that_nobody_asks_about():
    """github.com/DeclareDesign/estimatr/issues/259: clusters of two arms, of three in the data."""
    X, y, arm, effect = trial(360, n_arms=3)
    cluster = np.arange(360) // 6
    est = able(n_members=3).fit(X, y, arm, groups=cluster)
    two = arm < 2
    pair = able(n_members=3).fit(X[two], y[two], arm[two], groups=cluster[two])
    assert est.ate()[0] == pytest.approx(effect[:, 0].mean(), abs=0.25)
    assert pair.ate() == pytest.approx(effect[:, 0].mean(), abs=0.25)
    ratio = est.ate_inference().stderr[0] / pair.ate_inference().stderr[0]
    assert 0.5 < ratio < 2


def test_a_score_of_some_thousand_rows_does_not_square_their_number():
    """github.com/maks-sh/scikit-uplift/issues/202: 558 GB for 4215 rows."""
    X, y, arm, _ = trial(4215)
    est = tiny().fit(X[:300], y[:300], arm[:300])
    tracemalloc.start()
    try:
        est.score(X, y, arm)
        est.individual_effect_interval(X)
        assert tracemalloc.get_traced_memory()[1] < 4215**2 * 8
    finally:
        tracemalloc.stop()


def test_a_binary_outcome_has_effects_that_differ_and_are_no_classes():
    """github.com/py-why/EconML/issues/438 and /676: one value for all rows; why not 0 and 1."""
    rng = np.random.default_rng(0)
    X, arm = rng.normal(size=(1500, 2)), rng.integers(2, size=1500)
    chance = np.where(arm == 1, 0.5 + 0.4 * np.tanh(2 * X[:, 0]), 0.5)
    y = (rng.random(1500) < chance).astype(int)
    effects = able(n_members=3).fit(X, y, arm).predict(X)
    assert np.corrcoef(effects, 0.4 * np.tanh(2 * X[:, 0]))[0, 1] > 0.9
    assert len(np.unique(effects)) > 1000
    assert np.abs(effects).max() <= 1


def test_a_model_is_as_good_after_a_copy_of_its_data_was_changed():
    """github.com/py-why/dowhy/pull/1546: what was read in fit went stale, or changed with it."""
    X, y, arm, _ = trial(120)
    frame, outcome, treatment = columns(X), pd.Series(y), pd.Series(arm)
    est = HyperCATE(max_epochs=3, n_members=2, random_state=0).fit(frame, outcome, treatment)
    before = est.ate(), est.predict(columns(X))
    frame.iloc[:] = 0.0
    outcome[:] = 0.0
    treatment[:] = 0
    assert est.ate() == before[0]
    np.testing.assert_array_equal(est.predict(columns(X)), before[1])
