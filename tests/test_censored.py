"""Times until an event, some of them censored: pseudo-outcomes, and what is answered of them."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from small import tiny

from hypercate import HyperCATE
from hypercate.datasets import draw_survival_study
from hypercate.datasets.survival import HORIZON
from hypercate.nuisance.censoring import LEAST_FOLLOWED, pseudo_outcomes
from hypercate.nuisance.hazards import fit_hazard, periods
from hypercate.outcomes import RestrictedTime, Survival

ENDS = np.array([0.0, 1.0, 2.5, 4.0])
OF_EVENT = np.array([0.2, 0.4, 0.1])
OF_CENSORING = np.array([0.1, 0.25, 0.3])
FAMILIES = {"time": RestrictedTime, "survival": Survival}


def drawn(rates, n, rng):
    """Times whose hazard is constant within the periods, and goes on as in the last."""
    cumulative = np.append(0, np.cumsum(rates * np.diff(ENDS)))
    hazard = rng.exponential(size=n)
    period = np.minimum(np.searchsorted(cumulative, hazard) - 1, len(rates) - 1)
    return ENDS[period] + (hazard - cumulative[period]) / rates[period]


def transformed(outcome, of_event, of_censoring, n=100_000, seed=0):
    """Pseudo-outcomes of rows whose hazards are taken for others, and outcomes without censoring.

    Returns
    -------
    pseudo, uncensored, observed : ndarray, shape (n,)
    """
    rng = np.random.default_rng(seed)
    died, lost = drawn(OF_EVENT, n, rng), drawn(OF_CENSORING, n, rng)
    family, horizon = FAMILIES[outcome](ENDS[-1]), ENDS[-1]
    time, event = np.minimum(died, lost), died <= lost
    observed = event | (time >= horizon)
    pseudo, _ = pseudo_outcomes(
        np.minimum(time, horizon),
        observed,
        family.known(time, event),
        ENDS,
        *(np.broadcast_to(rates, (n, 3)) for rates in (of_event, of_censoring)),
        outcome == "time",
    )
    return pseudo, family.known(died, np.ones(n, dtype=bool)), observed


def off(outcome, of_event, of_censoring):
    """By how many standard errors the mean of pseudo-outcomes is off."""
    pseudo, uncensored, _ = transformed(outcome, of_event, of_censoring)
    apart = pseudo - uncensored
    return abs(apart.mean()) / (apart.std() / len(apart) ** 0.5)


def study(n=120, seed=501, n_arms=2):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    arm = rng.permutation(np.arange(n) % n_arms)
    died = rng.exponential(np.exp(1 + 0.5 * X["a"] + 0.5 * arm))
    lost = rng.exponential(6, n)
    return X, np.minimum(died, lost), arm, died <= lost


def small(**parameters):
    return tiny(**{"outcome": "time", "horizon": 3.0, **parameters})


@pytest.fixture(scope="module")
def fitted():
    X, y, arm, event = study()
    return small(max_epochs=20).fit(X, y, arm, event=event)


@pytest.mark.parametrize("outcome", ["time", "survival"])
class TestPseudoOutcomes:
    def test_have_the_mean_of_outcomes_without_censoring(self, outcome):
        assert off(outcome, OF_EVENT, OF_CENSORING) < 4

    def test_have_it_too_if_either_hazard_is_wrong_but_not_if_both_are(self, outcome):
        wrong_event, wrong_censoring = OF_EVENT[::-1] * 1.5, OF_CENSORING / 3
        assert off(outcome, wrong_event, OF_CENSORING) < 4
        assert off(outcome, OF_EVENT, wrong_censoring) < 4
        assert off(outcome, wrong_event, wrong_censoring) > 10

    def test_scatter_less_than_weighted_outcomes(self, outcome):
        """Those that are seen over the probability of it; the rest is taken from the hazards."""
        pseudo, _, observed = transformed(outcome, OF_EVENT, OF_CENSORING)
        weighted, *_ = transformed(outcome, np.array([50.0, 50.0, 50.0]), OF_CENSORING)
        assert observed.mean() < 0.7
        assert pseudo.std() < 0.9 * weighted.std()

    def test_are_the_outcomes_where_nobody_is_censored(self, outcome):
        rng = np.random.default_rng(0)
        time = np.minimum(drawn(OF_EVENT, 50, rng), ENDS[-1])
        known = FAMILIES[outcome](ENDS[-1]).known(time, time < ENDS[-1])
        none, rates = np.zeros((50, 3)), np.broadcast_to(OF_EVENT, (50, 3))
        pseudo, followed = pseudo_outcomes(
            time, np.ones(50, dtype=bool), known, ENDS, rates, none, outcome == "time"
        )
        np.testing.assert_allclose(pseudo, known, rtol=1e-12)
        np.testing.assert_array_equal(followed, 1.0)

    def test_of_rows_censored_at_once_are_what_is_expected_of_everyone(self, outcome):
        rates, none = OF_EVENT[None], np.zeros((1, 3))
        pseudo, _ = pseudo_outcomes(
            np.array([1e-12]), np.array([False]), np.array([0.0]), ENDS, rates, none,
            outcome == "time",
        )  # fmt: skip
        alive = np.exp(-np.append(0, np.cumsum(OF_EVENT * np.diff(ENDS))))
        expected = alive[-1] if outcome == "survival" else (-np.diff(alive) / OF_EVENT).sum()
        assert pseudo[0] == pytest.approx(expected, abs=1e-9)

    def test_are_bounded_however_seldom_rows_are_followed(self, outcome):
        pseudo, uncensored, _ = transformed(outcome, OF_EVENT, np.full(3, 40.0), n=1000)
        assert np.abs(pseudo).max() < 2 / LEAST_FOLLOWED * uncensored.max()


class TestHazards:
    def rows(self, n=4000):
        rng = np.random.default_rng(0)
        arm = np.arange(n) % 2
        x = np.column_stack([rng.normal(size=n), arm]).astype(np.float32)
        died = np.where(arm, drawn(OF_EVENT / 2, n, rng), drawn(OF_EVENT, n, rng))
        time = np.minimum(died, ENDS[-1])
        return x, time, died < ENDS[-1], np.ones(n)

    def test_follow_periods_and_arms(self):
        x, time, event, weight = self.rows()
        hazard = fit_hazard(x, np.zeros(2, int), time, event, weight, ENDS, 0)
        rates = hazard.predict(np.array([[0, 0], [0, 1]], dtype=np.float32))
        np.testing.assert_allclose(rates, np.stack([OF_EVENT, OF_EVENT / 2]), rtol=0.25)

    def test_do_not_depend_on_the_unit_of_time(self):
        x, time, event, weight = self.rows(400)
        rates = [
            fit_hazard(x, np.zeros(2, int), time * u, event, weight, ENDS * u, 0).predict(x) * u
            for u in (1, 365.25)
        ]
        np.testing.assert_allclose(*rates, rtol=1e-3)

    def test_are_zero_where_nothing_was_seen(self):
        x, time, event, weight = self.rows(40)
        hazard = fit_hazard(x, np.zeros(2, int), time, event & False, weight, ENDS, 0)
        assert not hazard.predict(x).any()

    def test_periods_hold_as_many_rows_and_end_with_the_horizon(self):
        time = np.random.default_rng(0).exponential(3, 1000)
        ends = periods(time, 4.0)
        held = np.histogram(time[time < 4], ends)[0]
        assert (ends[0], ends[-1]) == (0, 4)
        assert np.ptp(held) < 0.1 * held.mean()
        np.testing.assert_array_equal(periods(np.array([5.0, 6.0]), 4.0), [0, 4])


class TestFits:
    @pytest.mark.parametrize("outcome", ["time", "survival"])
    def test_of_times_that_are_all_seen_are_those_of_the_outcome_itself(self, outcome):
        X, y, arm, _ = study()
        est = small(outcome=outcome).fit(X, y, arm, event=np.ones(len(y), dtype=bool))
        own = np.minimum(y, 3.0) if outcome == "time" else (y > 3).astype(float)
        np.testing.assert_allclose(est.fitted_.evidence.y, own, rtol=1e-9, atol=1e-9)
        plain = tiny(outcome="continuous").fit(X, own, arm)
        np.testing.assert_allclose(est.ate(), plain.ate(), rtol=0.02)

    @pytest.mark.parametrize("outcome", ["time", "survival"])
    def test_are_right_on_average_where_the_naive_are_not(self, outcome):
        """Over a few studies, effects by emitted networks, which take no training."""
        errors = {"ours": [], "naive": []}
        for seed in range(501, 504):
            split = draw_survival_study(outcome, 500, seed)
            train = split.train
            rows = train.X, train.y, train.treatment
            censored = HyperCATE(effort="instant", outcome=outcome, horizon=HORIZON, random_state=0)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="censoring leaves little")
                censored.fit(*rows, event=train.event)
            cut = np.minimum(train.y, HORIZON)
            naive = HyperCATE(effort="instant", outcome="continuous", random_state=0).fit(
                train.X, cut if outcome == "time" else (cut == HORIZON) * 1.0, train.treatment
            )
            for name, est in (("ours", censored), ("naive", naive)):
                outcomes = est.predict_outcomes(split.test.X)
                errors[name].append(outcomes.mean(axis=0) - split.test.mu.mean(axis=0))
        ours, naive = (np.abs(np.mean(each, axis=0)) for each in errors.values())
        assert (naive > 2 * ours).all()

    @pytest.mark.parametrize(
        "way",
        [
            {"outcome": "survival"},
            {"inputs": "auto", "sharing": "auto"},
            {"learner": "dr"},
            {"learner": "r", "model_outcome": LinearRegression()},
            {"learner": "x"},
        ],
        ids=repr,
    )
    def test_stay_within_what_an_outcome_can_be(self, way):
        X, y, arm, event = study()
        est = small(**way).fit(X, y, arm, event=event)
        outcomes = est.predict_outcomes(X)
        most = 1.0 if est.outcome_ == "survival" else 3.0
        assert ((outcomes > 0) & (outcomes < most)).all()

    def test_of_three_arms_groups_weights_and_categories_of_many_levels(self):
        X, y, arm, event = study(180, n_arms=3)
        X["site"] = [f"site {k}" for k in np.arange(180) % 30]
        weight, y = np.ones(180), y.copy()
        weight[:6], y[:6] = 0, -1
        est = small().fit(
            X, y, np.array(["x", "y", "z"])[arm], event=event, sample_weight=weight,
            groups=np.arange(180) // 2,
        )  # fmt: skip
        assert est.ate_inference().n_rows == 174
        assert est.effect(X).shape == (180, 2)

    def test_of_doses(self):
        X, y, _, event = study(150)
        dose = np.random.default_rng(0).uniform(0, 10, 150)
        est = small(treatment_kind="dose").fit(X, y, dose, event=event)
        curves = est.dose_response(X, [2.0, 5.0])
        assert ((curves > 0) & (curves < 3)).all()
        assert np.isfinite(est.ate()).all()

    def test_heavy_pseudo_outcomes_are_no_outliers(self, fitted):
        X, y, arm, event = study(300)
        late = event & (y > np.quantile(y, 0.9))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="censoring leaves little")
            small().fit(X, np.where(late, 1e6 * y, y), arm, event=event)

    def test_event_is_taken_by_position_and_refused_in_another_order(self, fitted):
        X, y, arm, event = study()
        seen = pd.Series(event.astype(int), index=X.index)
        est = small(max_epochs=20).fit(X, y, arm, event=seen)
        np.testing.assert_array_equal(est.predict(X), fitted.predict(X))
        with pytest.raises(ValueError, match="event"):
            small().fit(X, y, arm, event=seen[::-1])

    def test_copies_predict_to_the_bit(self, fitted, tmp_path):
        X, y, arm, event = study()
        path = tmp_path / "model.hypercate"
        fitted.save(path)
        loaded = HyperCATE.load(path, device="cpu")
        again = clone(fitted).fit(X, y, arm, event=event)
        for other in (loaded, again):
            np.testing.assert_array_equal(other.predict(X), fitted.predict(X))
            assert other.fitted_.family == fitted.fitted_.family
            assert str(other.ate_inference()) == str(fitted.ate_inference())
        assert loaded.horizon == 3.0


class TestSupport:
    def test_rows_that_are_seldom_followed_are_counted_in_a_warning(self):
        rng = np.random.default_rng(0)
        n = 600
        X = rng.normal(size=(n, 2))
        died, lost = rng.exponential(5, n), np.where(X[:, 0] > 0, rng.exponential(0.5, n), 9.0)
        y, event = np.minimum(died, lost), died <= lost
        with pytest.warns(UserWarning, match=r"horizon=4: (\d+) of 600 rows") as caught:
            small(effort="balanced", horizon=4.0).fit(X, y, np.arange(n) % 2, event=event)
        counts = [re.search(r": (\d+) of 600", str(one.message)) for one in caught]
        assert 200 < int(counts[0].group(1)) < 340

    @pytest.mark.filterwarnings("error")
    def test_and_none_is_given_where_all_are_followed(self, fitted):
        X, y, arm, event = study()
        small().fit(X, y, arm, event=event)


class TestQuestions:
    def test_of_averages_and_effects_have_answers_on_their_scales(self, fitted):
        X, y, arm, event = study()
        probability = small(outcome="survival").fit(X, y, arm, event=event)
        for est, scales in ((fitted, ["ratio"]), (probability, ["ratio", "odds"])):
            for scale in scales:
                lower, upper = est.ate_interval(scale=scale)
                assert 0 < lower < est.ate(scale=scale) < upper
                assert (est.effect(X, scale=scale) > 0).all()
        with pytest.raises(ValueError, match="odds"):
            fitted.ate(scale="odds")
        assert fitted.gate(X["a"] > 0).index.tolist() == [False, True]
        assert len(fitted.heterogeneity_test())

    @pytest.mark.parametrize(
        "ask",
        [
            lambda est, X, y, arm: est.predict_outcome_interval(X),
            lambda est, X, y, arm: est.individual_effect_interval(X),
            lambda est, X, y, arm: est.score(X, y, arm),
        ],
        ids=["outcome", "effect", "score"],
    )
    def test_of_outcomes_as_they_are_seen_are_refused(self, fitted, ask):
        X, y, arm, _ = study()
        with pytest.raises(ValueError, match=r"outcome='time' some are censored: use"):
            ask(fitted, X, y, arm)


def with_value(vector, row, value):
    vector = np.array(vector, dtype=object)
    vector[row] = value
    return vector


X, Y, ARM, EVENT = study()
BAD = {
    "no event": ({}, {"event": None}, "event is needed with outcome='time'"),
    "no horizon": ({"horizon": None}, {}, "horizon is needed with outcome='time': pass a time"),
    "an event of a continuous outcome": (
        {"outcome": "auto", "horizon": None},
        {},
        "event is only for times .* outcome='auto'",
    ),
    "a horizon of one": ({"outcome": "auto"}, {"event": None}, "horizon is only for times"),
    "a missing event": ({}, {"event": with_value(EVENT, 4, None)}, "event is missing .* row 4 "),
    "another event": ({}, {"event": with_value(EVENT * 1, 4, 2)}, r"event holds 2 in row 4 .* 1 "),
    "a text as event": ({}, {"event": ["dead"] * len(Y)}, "event holds 'dead' in rows 0, 1"),
    "too few events": ({}, {"event": EVENT[:9]}, "event has 9 rows, but X has 120"),
    "no event seen": ({}, {"event": np.zeros(len(Y))}, "event is 0 in every row"),
    "no time": ({}, {"y": np.where(np.arange(len(Y)) == 3, 0, Y)}, "y is 0 or negative in row 3 "),
    "a text as time": ({}, {"y": ["long"] * len(Y)}, "y holds strings such as 'long'"),
    "an early horizon": ({"horizon": 1e-9}, {}, "no event is seen up to horizon=1e-09: the times"),
    "a late horizon": (
        {"horizon": 100.0},
        {"y": np.append(Y[:-1], 50), "event": np.append(EVENT[:-1], False)},
        r"horizon=100 lies beyond the last time of arm \d, .*Pass an earlier horizon",
    ),
}  # fmt: skip


class TestRefused:
    @pytest.mark.parametrize(("parameters", "changed", "message"), BAD.values(), ids=list(BAD))
    def test_by_name_and_the_estimator_stays(self, parameters, changed, message):
        est = small(**parameters)
        given = {"y": Y, "treatment": ARM, "event": EVENT} | changed
        with pytest.raises(ValueError, match=message):
            est.fit(X, **given)
        assert not hasattr(est, "fitted_")

    def test_times_beside_other_outcomes(self):
        both = pd.DataFrame({"months": Y, "cost": Y})
        with pytest.raises(ValueError, match=r"'months' is of kind 'time'.* cannot be fitted"):
            small().fit(X, both, ARM, event=EVENT)
        with pytest.raises(ValueError, match=r"'months' is of kind 'time'.* cannot be fitted"):
            tiny(outcome={"months": "time"}).fit(X, both, ARM)

    @pytest.mark.parametrize("horizon", ["late", [3], 0, -1.0, np.inf, np.nan])
    def test_what_is_no_horizon(self, horizon):
        with pytest.raises((TypeError, ValueError), match="horizon"):
            small(horizon=horizon).fit(X, Y, ARM, event=EVENT)


class TestDrawnStudies:
    @pytest.mark.parametrize("outcome", ["time", "survival"])
    def test_the_truth_is_what_many_of_the_same_people_have(self, outcome):
        split = draw_survival_study(outcome, 40, 501)
        other = draw_survival_study({"time": "survival", "survival": "time"}[outcome], 40, 501)
        np.testing.assert_array_equal(split.train.y, other.train.y)
        survival = draw_survival_study("survival", 40, 501).test.mu
        times = draw_survival_study("time", 40, 501).test.mu
        scale = HORIZON / (-np.log(survival)) ** (1 / 1.5)
        died = scale[:200] * np.random.default_rng(0).weibull(1.5, (4000, 200, 2))
        np.testing.assert_allclose(np.minimum(died, HORIZON).mean(axis=0), times[:200], atol=0.25)
        np.testing.assert_allclose((died > HORIZON).mean(axis=0), survival[:200], atol=0.04)

    def test_a_third_is_lost_before_the_horizon(self):
        people = draw_survival_study("time", 5000, 501).train
        lost = np.mean(~people.event & (people.y < HORIZON))
        assert 0.25 < lost < 0.4
        assert people.take(np.arange(3)).event.shape == (3,)

    def test_bad_arguments_are_refused(self):
        with pytest.raises(ValueError, match="outcome must be one of time, survival"):
            draw_survival_study("cost")
        with pytest.raises(ValueError, match="rows must be at least 40"):
            draw_survival_study(rows=3)


class TestNhefs:
    @pytest.fixture(autouse=True)
    @staticmethod
    def needs_causaldata():
        pytest.importorskip("causaldata")

    def test_deaths_are_those_of_the_table(self):
        from hypercate.datasets import load_nhefs

        people = load_nhefs()
        assert (len(people), people.event.sum()) == (1629, 318)
        assert (people.y[~people.event] == 120).all()
        assert (people.y.min(), people.X.shape[1]) == (1, 14)
        naive = [people.event[people.treatment == arm].mean() for arm in (0, 1)]
        np.testing.assert_allclose(naive, [0.1799, 0.2383], atol=1e-4)

    def test_weight_is_of_those_weighed_again_with_a_word(self):
        from hypercate.datasets import load_nhefs

        with pytest.warns(UserWarning, match="63 of 1629 people are left out"):
            people = load_nhefs("weight")
        assert len(people) == 1566
        assert people.event is None
        gained = [people.y[people.treatment == arm].mean() for arm in (1, 0)]
        assert gained[0] - gained[1] == pytest.approx(2.541, abs=1e-3)
        with pytest.raises(ValueError, match="outcome='height' is unknown"):
            load_nhefs("height")
