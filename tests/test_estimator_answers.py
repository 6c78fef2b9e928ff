"""Answers of a fitted model agree with one another: effects, averages, tables, scores."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from small import able, mixed_frame, three_arms, tiny, trial, two_arms


@pytest.fixture(scope="module")
def two():
    return two_arms()


@pytest.fixture(scope="module")
def three():
    return three_arms()


@pytest.fixture(params=["two", "three"])
def fitted(request):
    return request.getfixturevalue(request.param)


class TestAnswers:
    def test_shapes_for_two_arms(self, two):
        est, X, _, arm = two
        n = len(X)
        assert est.predict_outcomes(X).shape == (n, 2)
        assert est.predict(X).shape == est.effect(X).shape == est.effect(X, T0=1).shape == (n,)
        assert est.sample_effects(X, n_samples=7).shape == (7, n)
        assert [bound.shape for bound in est.effect_interval(X)] == [(n,), (n,)]
        assert isinstance(est.ate(X), float)
        assert isinstance(est.att(X, arm), float)
        assert all(isinstance(bound, float) for bound in est.ate_interval(X))

    def test_shapes_for_three_arms(self, three):
        est, X, _, labels = three
        n = len(X)
        assert est.predict_outcomes(X).shape == (n, 3)
        assert est.predict(X).shape == est.effect(X).shape == est.effect(X, T0="a").shape == (n, 2)
        assert est.effect(X, T1="a").shape == (n,)
        assert est.sample_effects(X, n_samples=7).shape == (7, n, 2)
        assert est.sample_effects(X, n_samples=7, T0="a", T1=labels).shape == (7, n)
        assert [bound.shape for bound in est.effect_interval(X)] == [(n, 2), (n, 2)]
        assert est.ate(X).shape == est.att(X, labels).shape == (2,)
        assert [bound.shape for bound in est.ate_interval(X)] == [(2,), (2,)]

    def test_answers_are_float64_arrays_also_for_a_frame(self):
        frame, y, arm, _ = mixed_frame(100)
        est = tiny().fit(frame, y, arm)
        for answer in (est.predict(frame), est.predict_outcomes(frame), est.sample_effects(frame)):
            assert type(answer) is np.ndarray
            assert answer.dtype == np.float64

    def test_effects_are_differences_of_outcomes(self, three):
        est, X, *_ = three
        outcomes = dict(zip(est.arms_.tolist(), est.predict_outcomes(X).T, strict=True))
        np.testing.assert_array_equal(
            est.predict(X),
            np.column_stack([outcomes["a"] - outcomes["b"], outcomes["c"] - outcomes["b"]]),
        )
        np.testing.assert_array_equal(est.effect(X), est.predict(X))
        np.testing.assert_array_equal(
            est.effect(X, T0="c"),
            np.column_stack([outcomes["b"] - outcomes["c"], outcomes["a"] - outcomes["c"]]),
        )
        for T0 in outcomes:
            for T1 in outcomes:
                forth, back = est.effect(X, T0=T0, T1=T1), est.effect(X, T0=T1, T1=T0)
                np.testing.assert_array_equal(forth, outcomes[T1] - outcomes[T0])
                np.testing.assert_array_equal(forth, -back)

    def test_arms_may_be_given_row_by_row(self, three):
        est, X, _, labels = three
        outcomes = est.predict_outcomes(X)
        rows = np.arange(len(X))
        other = np.roll(labels, 1)
        code = {label: k for k, label in enumerate(est.arms_.tolist())}
        of, against = ([code[label] for label in given] for given in (other, labels))
        expected = outcomes[rows, of] - outcomes[rows, against]
        for T0, T1 in [
            (labels, other),
            (pd.Series(labels, index=rows[::-1]), pd.Categorical(other)),
        ]:
            np.testing.assert_array_equal(est.effect(X, T0=T0, T1=T1), expected)
        np.testing.assert_array_equal(
            est.effect(X, T1=other), outcomes[rows, of] - outcomes[rows, 0]
        )
        np.testing.assert_array_equal(
            est.effect(X, T0="a", T1=other), outcomes[rows, of] - outcomes[rows, code["a"]]
        )
        assert (est.effect(X, T0=labels, T1=labels) == 0).all()


def outcome_correction(fit):
    """Mean error of each arm's out-of-fold predictions, weighted by one over the propensity."""
    inverse = (fit.arm[:, None] == np.arange(fit.n_arms)) / fit.propensity
    residual = fit.y[:, None] - fit.mean_outcomes
    return (inverse * residual).sum(axis=0) / inverse.sum(axis=0)


class TestAverages:
    @pytest.fixture(scope="class")
    @staticmethod
    def by_all_models(three):
        """The same fit, in which every model that is trained makes the prediction."""
        est, X, y, labels = three
        return clone(est).set_params(n_members=5).fit(X, y, labels)

    def test_of_new_rows_it_is_the_mean_effect_and_the_average_error_out_of_fold(
        self, three, by_all_models
    ):
        est, X, *_ = three
        new, correction = X[:70] + 0.1, outcome_correction(est.fitted_.evidence)
        for T0, k in ((None, 0), ("b", 0), ("a", 1), ("c", 2)):
            expected = by_all_models.effect(new, T0=T0).mean(axis=0)
            expected += np.delete(correction - correction[k], k)
            np.testing.assert_allclose(est.ate(new, T0=T0), expected, rtol=1e-9)
        assert np.abs(correction[1:] - correction[0]).min() > 1e-3

    def test_of_the_training_rows_it_is_the_same_with_their_out_of_fold_outcomes(self, three):
        est, *_ = three
        fit = est.fitted_.evidence
        outcomes = fit.mean_outcomes.mean(axis=0) + outcome_correction(fit)
        np.testing.assert_allclose(est.ate(), outcomes[1:] - outcomes[0], rtol=1e-9)
        np.testing.assert_allclose(est.ate(T0="c"), (outcomes - outcomes[2])[:2], rtol=1e-9)

    def test_on_the_treated_it_is_the_control_outcomes_error_weighted_by_the_odds(
        self, three, by_all_models
    ):
        est, X, _, labels = three
        fit = est.fitted_.evidence
        residual = fit.y - fit.mean_outcomes[:, 0]
        for k, arm in ((1, "a"), (2, "c")):
            odds = (fit.propensity[:, k] / fit.propensity[:, 0])[fit.arm == 0]
            untreated = np.average(residual[fit.arm == 0], weights=odds)
            on_treated = residual[fit.arm == k].mean() - untreated
            assert est.att()[k - 1] == pytest.approx(on_treated)
            mine = fit.arm == k
            out_of_fold = (fit.mean_outcomes[mine, k] - fit.mean_outcomes[mine, 0]).mean()
            new = by_all_models.effect(X[:90] + 0.1, T1=arm)[labels[:90] == arm].mean()
            new += on_treated - out_of_fold
            assert est.att(X[:90] + 0.1, labels[:90])[k - 1] == pytest.approx(new)

    def test_shapes_and_labels(self, fitted):
        est, X, _, arm = fitted
        several = len(est.arms_) > 2
        for given, of_treated in (((), ()), ((X,), (X, arm))):
            for T0 in (None, *est.arms_.tolist()):
                others = [label for label in est.arms_.tolist() if label != (T0 or est.arms_[0])]
                for name, arguments in (("ate", given), ("att", of_treated)):
                    inference = getattr(est, f"{name}_inference")(*arguments, T0=T0)
                    assert inference.index.tolist() == others
                    point = getattr(est, name)(*arguments, T0=T0)
                    lower, upper = getattr(est, f"{name}_interval")(*arguments, T0=T0, alpha=0.2)
                    frame = inference.summary_frame(0.2)
                    for value, column in (
                        (point, "point_estimate"),
                        *((lower, "ci_lower"), (upper, "ci_upper")),
                    ):
                        assert isinstance(value, np.ndarray if several else float)
                        np.testing.assert_array_equal(np.atleast_1d(value), frame[column])
                    assert (frame["ci_lower"] < frame["ci_upper"]).all()

    def test_against_another_arm_averages_and_intervals_mirror(self, three):
        est, X, *_ = three
        for rows in ((), (X,)):
            table = {T0: est.ate_inference(*rows, T0=T0).summary_frame() for T0 in "abc"}
            for T0, T1 in (("a", "b"), ("a", "c"), ("b", "c")):
                forth, back = table[T0].loc[T1], table[T1].loc[T0]
                assert forth["point_estimate"] == pytest.approx(-back["point_estimate"])
                assert forth["ci_lower"] == pytest.approx(-back["ci_upper"])

    def test_intervals_are_nested_in_alpha(self, fitted):
        est, X, _, arm = fitted
        groups = np.arange(len(X)) % 2
        for method, arguments in (
            *((est.ate_interval, ()), (est.ate_interval, (X,)), (est.att_interval, ())),
            *((est.att_interval, (X, arm)), (est.gate_interval, (groups,))),
        ):
            narrow, wide = (method(*arguments, alpha=alpha) for alpha in (0.5, 0.01))
            assert np.all((wide[0] < narrow[0]) & (narrow[1] < wide[1]))
            np.testing.assert_array_equal(method(*arguments), method(*arguments, alpha=0.05))

    def test_groups_are_named_and_each_is_its_rows_average(self, three):
        est, X, *_ = three
        groups = pd.Series(np.where(X[:, 0] > 0, "old", "new"), name="site")
        gate = est.gate(groups)
        assert gate.index.names == ["site", "arm"]
        assert gate.index.tolist() == [("new", "a"), ("new", "c"), ("old", "a"), ("old", "c")]
        lower, upper = est.gate_interval(groups, alpha=0.3)
        assert ((lower < gate) & (gate < upper)).all()
        pd.testing.assert_frame_equal(
            pd.DataFrame({"point_estimate": gate, "ci_lower": lower, "ci_upper": upper}),
            est.gate_inference(groups).summary_frame(0.3)[
                ["point_estimate", "ci_lower", "ci_upper"]
            ],
        )
        everyone = est.gate(np.zeros(len(X)))
        np.testing.assert_allclose(everyone, est.ate(), rtol=1e-12)
        from_a = est.gate(groups, T0="a")
        assert from_a["old", "b"] == pytest.approx(-gate["old", "a"])

    def test_of_two_arms_groups_are_rows_of_the_table(self, two):
        est, X, *_ = two
        grades = pd.Categorical(np.where(X[:, 0] > 0, "low", "high"), ["low", "high"])
        assert est.gate(grades).index.tolist() == ["low", "high"]
        in_order = est.gate(list(grades))
        assert in_order.index.tolist() == ["high", "low"]
        assert in_order.index.name == "group"
        np.testing.assert_array_equal(in_order.iloc[::-1], est.gate(grades))

    @pytest.mark.parametrize("index", ["range", "reversed", "dates"])
    def test_groups_go_with_the_rows_by_position_also_of_weight_0(self, index):
        X, y, arm, _ = trial()
        out = np.arange(len(X)) % 5 == 3
        groups = np.where(X[:, 0] > 0, "b", "a").astype(object)
        groups[out] = "nowhere"
        groups[3] = None
        labels = {
            "range": None,
            "reversed": np.arange(len(X))[::-1],
            "dates": pd.date_range("2020", periods=len(X)),
        }[index]
        est = tiny(inputs="raw").fit(X, y, arm, sample_weight=(~out).astype(float))
        without = tiny(inputs="raw").fit(X[~out], y[~out], arm[~out])
        pd.testing.assert_series_equal(
            est.gate(pd.Series(groups, index=labels)), without.gate(groups[~out])
        )
        assert est.ate() == without.ate()
        assert est.att() == without.att()

    def test_of_one_member_they_rest_on_all_rows_and_models_as_those_of_more(self):
        X, y, arm, _ = trial()
        one, five = (tiny(n_members=m, inputs="raw").fit(X, y, arm) for m in (1, 5))
        assert one.ate_inference().n_rows == len(X)
        pd.testing.assert_frame_equal(
            one.ate_inference().summary_frame(), five.ate_inference().summary_frame()
        )
        pd.testing.assert_frame_equal(one.heterogeneity_test(), five.heterogeneity_test())
        assert one.ate(X) == five.ate(X)
        assert one.att(X, arm) == five.att(X, arm)
        assert not np.array_equal(one.predict(X), five.predict(X))

    def test_heterogeneity_is_seen_where_there_is_some(self):
        X, y, arm, _ = trial(n_arms=3)
        settings = {"inputs": "raw", "max_epochs": 60, "learning_rate": 0.02, "n_members": 5}
        est = tiny(**settings, control=1).fit(X, y, arm)
        table = est.heterogeneity_test()
        assert table.index.get_level_values("arm").unique().tolist() == [0, 2]
        assert (table["pvalue"] < 1e-3).all()
        np.testing.assert_allclose(table["coefficient"], 1, atol=0.5)
        other = est.heterogeneity_test(T0=0)
        assert other.index.get_level_values("arm").unique().tolist() == [1, 2]
        pd.testing.assert_frame_equal(
            other.loc[[1]].reset_index(), table.loc[[0]].reset_index().assign(arm=1)
        )
        flat = tiny(**settings, sharing="intercept").fit(X, y, arm).heterogeneity_test()
        assert (flat.xs("differential_prediction", level="term")["pvalue"] > 0.05).all()


class TestReject:
    def test_the_share_asked_for_is_rejected_and_it_is_the_least_certain(self, fitted):
        est, X, *_ = fitted
        stderr = est.effect_inference(X).stderr.reshape(len(X), -1).max(axis=1)
        before = np.zeros(len(X), dtype=bool)
        for share in (0, 0.001, 0.1, 1 / 3, 0.5, np.float32(0.75), 0.999):
            rejected = est.reject(X, share)
            assert rejected.dtype == bool
            assert rejected.shape == (len(X),)
            assert rejected.sum() == int(share * len(X))
            assert not rejected.any() or stderr[rejected].min() >= stderr[~rejected].max()
            assert not (before & ~rejected).any()
            before = rejected

    def test_it_follows_the_contrast(self, three):
        est, X, *_ = three
        for arms in ({"T0": "a"}, {"T0": "a", "T1": "c"}, {"T1": "c"}):
            stderr = est.effect_inference(X, **arms).stderr.reshape(len(X), -1).max(axis=1)
            expected = stderr > np.sort(stderr)[-31]
            np.testing.assert_array_equal(est.reject(X, 0.1, **arms), expected)
        forth, back = (est.reject(X, 0.2, T0=a, T1=b) for a, b in ("ac", "ca"))
        np.testing.assert_array_equal(forth, back)

    def test_of_equal_rows_later_ones_are_rejected(self, two):
        est, X, *_ = two
        assert est.reject(X[[3] * 8], 0.5).tolist() == [False] * 4 + [True] * 4


class TestSummaryFrame:
    columns = ("point_estimate", "stderr", "zstat", "pvalue", "ci_lower", "ci_upper")

    def test_one_effect_is_a_row_on_the_index_of_the_frame(self, two):
        est, X, *_ = two
        index = pd.Index(np.random.default_rng(0).integers(9, size=len(X)), name="patient")
        frame = pd.DataFrame(X, index=index)
        table = est.effect_inference(frame).summary_frame(alpha=0.1)
        assert tuple(table) == self.columns
        pd.testing.assert_index_equal(table.index, index)
        np.testing.assert_allclose(table["point_estimate"], est.predict(X), rtol=1e-12)
        np.testing.assert_array_equal(table["stderr"], est.effect_inference(X).stderr)
        np.testing.assert_allclose(table["zstat"], table["point_estimate"] / table["stderr"])
        np.testing.assert_array_equal(
            table[["ci_lower", "ci_upper"]].T, est.effect_interval(X, alpha=0.1)
        )
        assert table["pvalue"].between(0, 1).all()
        order = np.argsort(-table["zstat"].abs().to_numpy(), kind="stable")
        assert (np.diff(table["pvalue"].to_numpy()[order]) >= 0).all()

    def test_an_array_gets_a_range_index(self, two):
        est, X, *_ = two
        table = est.effect_inference(X[5:9]).summary_frame()
        pd.testing.assert_index_equal(table.index, pd.RangeIndex(4))

    @pytest.mark.parametrize(("T0", "arms"), [(None, ["a", "c"]), ("a", ["b", "c"])])
    def test_several_effects_have_the_arm_as_second_level(self, three, T0, arms):
        est, X, *_ = three
        index = pd.Index([f"r{i}" for i in range(len(X))], name="row")
        frame = pd.DataFrame(X, index=index)
        table = est.effect_inference(frame, T0=T0).summary_frame()
        assert table.index.names == ["row", "arm"]
        assert len(table) == 2 * len(X)
        for k, arm in enumerate(arms):
            of_arm = table.xs(arm, level="arm")
            pd.testing.assert_index_equal(of_arm.index, index)
            for effects in (est.effect(X, T0=T0)[:, k], est.effect(X, T0, arm)):
                np.testing.assert_allclose(of_arm["point_estimate"], effects, atol=1e-12)

    def test_levels_of_the_index_are_kept_beside_the_arm(self, three):
        est, X, *_ = three
        index = pd.MultiIndex.from_product(
            [range(len(X) // 10), list("abcdefghij")], names=["site", "patient"]
        )
        table = est.effect_inference(pd.DataFrame(X, index=index)).summary_frame()
        assert table.index.names == ["site", "patient", "arm"]
        pd.testing.assert_index_equal(table.xs("c", level="arm").index, index)

    def test_one_contrast_of_three_arms_is_a_row_a_row(self, three):
        est, X, _, labels = three
        for T1 in ("c", labels):
            table = est.effect_inference(X, T0="a", T1=T1).summary_frame()
            assert len(table) == len(X)
            np.testing.assert_allclose(table["point_estimate"], est.effect(X, "a", T1), atol=1e-12)
            np.testing.assert_allclose(
                table[["ci_lower", "ci_upper"]].T, est.effect_interval(X, T0="a", T1=T1)
            )


class TestScore:
    def test_a_good_model_scores_higher_than_a_bad_one(self):
        X, y, arm, _ = trial(n=500)
        new = trial(n=500, seed=1)[:3]
        settings = {"inputs": "raw", "max_epochs": 60}
        good = able(sharing="moderate", **settings).fit(X, y, arm)
        flat = able(sharing="intercept", **settings).fit(X, y, arm)
        bad = able(sharing="moderate", **settings).fit(-X, y, arm)
        assert 0.4 < good.score(*new) <= 1
        assert flat.score(*new) == pytest.approx(0, abs=0.05)
        assert bad.score(*new) < -0.3

    def test_a_score_is_a_repeatable_float_whatever_the_labels(self, three):
        est, X, y, labels = three
        score = est.score(X, y, labels)
        assert isinstance(score, float)
        assert est.score(pd.DataFrame(X), pd.Series(y), pd.Categorical(labels)) == score
        heavy = np.full(len(y), 4.0)
        assert est.score(X, y, labels, sample_weight=heavy) == pytest.approx(score, rel=1e-12)

    def test_rows_of_weight_0_are_not_scored(self, two):
        est, X, y, arm = two
        kept = np.arange(len(X)) % 3 > 0
        spoilt = np.where(kept, y, 1e6)
        assert est.score(X, spoilt, arm, sample_weight=kept * 1.0) == pytest.approx(
            est.score(X[kept], y[kept], arm[kept]), abs=1e-9
        )

    def test_a_binary_outcome_is_scored_by_its_labels(self):
        X, y, arm, _ = trial()
        happened = y > 2
        of_flags = tiny().fit(X, happened, arm).score(X, happened, arm)
        named = np.where(happened, "yes", "no")
        assert tiny().fit(X, named, arm).score(X, named, arm) == of_flags
