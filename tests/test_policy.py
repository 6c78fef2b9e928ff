"""Policies: the best arm, budgets, profit, and trees that are the best there are."""

import importlib
import itertools
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict
from small import mixed_frame, tiny

from hypercate.metrics import aipw_scores, policy_value, rate_score
from hypercate.policy import PolicyTree, best_arm, profit_curve, spend

settings.register_profile("policy", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("policy")
SCRIPTS = Path(__file__).parents[1] / "benchmarks"


def drawn(seed, n=60, n_arms=3, n_columns=3, levels=6):
    """Columns of few levels, and scores in which arms are worth more in some boxes."""
    rng = np.random.default_rng(seed)
    X = rng.integers(levels, size=(n, n_columns)).astype(float)
    return X, rng.normal(size=(n, n_arms)) + np.where(X[:, [0]] > 2, 1, -1) * np.arange(n_arms)


def splits_of(X):
    for column in range(X.shape[1]):
        for value in np.unique(X[:, column])[:-1]:
            yield X[:, column] <= value


def by_trying_all(X, scores, least, depth):
    """Worth of the best tree, each split of each split tried."""
    leaf = scores.sum(axis=0).max()
    if depth == 0:
        return leaf
    parts = [
        by_trying_all(X[left], scores[left], least, depth - 1)
        + by_trying_all(X[~left], scores[~left], least, depth - 1)
        for left in splits_of(X)
        if min(left.sum(), (~left).sum()) >= least
    ]
    return max([leaf, *parts])


class TestBestArm:
    @given(st.integers(0, 1000), st.booleans())
    def test_it_has_the_largest_outcome_less_costs(self, seed, by_row):
        rng = np.random.default_rng(seed)
        outcomes = rng.normal(size=(20, 3))
        arms = ["c", "a", "b"]
        costs = rng.random((20, 3)) if by_row else rng.random(3)
        chosen = best_arm(outcomes, arms=arms, costs=costs)
        assert chosen.tolist() == [arms[k] for k in (outcomes - costs).argmax(axis=1)]
        effects = outcomes[:, 1:] - outcomes[:, :1]
        assert best_arm(effects, arms=arms, costs=costs).tolist() == chosen.tolist()
        frame = pd.DataFrame(effects, columns=arms[1:])[["b", "a"]]
        by_name = best_arm(
            frame, control="c", costs=pd.DataFrame(np.broadcast_to(costs, (20, 3)), columns=arms)
        )
        assert by_name.tolist() == chosen.tolist()

    def test_a_frame_gives_a_series_on_its_index_and_ties_go_to_control(self):
        frame = pd.DataFrame({"drug": [0.0, 1.0, -1.0]}, index=list("xyz"))
        chosen = best_arm(frame, control="none")
        pd.testing.assert_series_equal(
            chosen, pd.Series(["none", "drug", "none"], list("xyz"), name="arm")
        )
        outcomes = pl.DataFrame({"none": [1.0, 0.0], "drug": [1.0, 0.5]})
        assert best_arm(outcomes, control="none").tolist() == ["none", "drug"]

    @pytest.mark.parametrize(
        ("values", "options", "message"),
        [
            (np.zeros((3, 3)), {}, "pass arms="),
            (np.zeros((3, 4)), {"arms": ["a", "b"]}, "has 4 columns"),
            (pd.DataFrame(np.zeros((3, 2)), columns=["a", "b"]), {}, "pass control="),
            (np.array([np.nan, 1]), {}, "values is missing or infinite in row 0"),
            (np.zeros(3), {"arms": ["a", "a"]}, "distinct labels"),
            (np.zeros(3), {"costs": {0: 1}}, "costs are given for"),
            (np.zeros(3), {"costs": np.zeros((2, 2))}, "costs has 2 rows"),
        ],
    )
    def test_bad_input_is_named(self, values, options, message):
        with pytest.raises(ValueError, match=message):
            best_arm(values, **options)


class TestSpend:
    @given(st.integers(0, 1000), st.integers(0, 12))
    def test_one_price_is_spent_in_the_best_way(self, seed, budget):
        effects = np.random.default_rng(seed).normal(size=12)
        found = spend(effects, 1.0, budget)
        expected = np.sort(np.maximum(effects, 0))[::-1][:budget].sum()
        assert found.gain == pytest.approx(expected)
        assert found.bound == pytest.approx(expected)
        assert found.cost == sum(found.policy == 1) <= budget

    @given(st.integers(0, 1000), st.floats(0, 8))
    def test_several_arms_are_the_optimum_but_for_a_part_of_a_step(self, seed, budget):
        rng = np.random.default_rng(seed)
        n, n_arms = 8, 3
        effects, costs = rng.normal(size=(n, n_arms)), rng.random((n, n_arms))
        found = spend(effects, costs, budget, arms=["none", "a", "b", "c"])
        one_each = np.kron(np.eye(n), np.ones(n_arms))
        best = linprog(
            -effects.ravel(),
            np.vstack([one_each, costs.ravel()]),
            np.append(np.ones(n), budget),
            bounds=(0, 1),
        )
        assert found.bound == pytest.approx(-best.fun, abs=1e-7)
        assert found.cost <= budget + 1e-9
        assert found.gain <= found.bound + 1e-9
        assert found.gain >= found.bound - effects.max() * 2 + effects.min() - 1e-9

    @given(st.integers(0, 300))
    def test_small_problems_are_bounded_by_what_is_best_in_whole_arms(self, seed):
        rng = np.random.default_rng(seed)
        effects, costs = rng.normal(size=(5, 2)), rng.random((5, 2))
        gains = np.column_stack([np.zeros(5), effects])
        prices = np.column_stack([np.zeros(5), costs])
        choices = np.array(list(itertools.product(range(3), repeat=5)))
        rows = np.arange(5)
        affordable = prices[rows, choices].sum(axis=1) <= 1.2
        best = gains[rows, choices].sum(axis=1)[affordable].max()
        found = spend(effects, costs, 1.2, arms=[0, 1, 2])
        assert found.gain <= best + 1e-9 <= found.bound + 1e-8

    def test_money_without_end_buys_the_best_arm_for_everyone(self):
        rng = np.random.default_rng(0)
        effects = pd.DataFrame(rng.normal(size=(50, 2)), columns=["a", "b"], index=range(50, 100))
        found = spend(effects, {"a": 1.0, "b": 2.0}, 1e9, control="none")
        pd.testing.assert_series_equal(found.policy, best_arm(effects, control="none"))
        assert found.shadow_price == 0
        assert found.rows.sum() == 50
        assert "predicted gain" in str(found)

    def test_what_costs_nothing_is_taken_without_money(self):
        effects = np.array([[1.0, 2.0], [-1.0, 0.5]])
        found = spend(effects, [0.0, 1.0], 0, arms=["none", "free", "dear"])
        assert found.policy.tolist() == ["free", "none"]
        assert found.shadow_price == 1

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"budget": -1}, "budget=-1"),
            ({"budget": np.nan}, "budget=nan"),
            ({"costs": -1.0}, "costs must be at least 0.* row 0"),
            ({"costs": [1.0, 2.0]}, "costs has 2 values"),
            ({"effects": pd.DataFrame({"a": [1.0], "b": [1.0]}), "control": "a"}, "not 0"),
        ],
    )
    def test_bad_input_is_named(self, options, message):
        with pytest.raises(ValueError, match=message):
            spend(**{"effects": np.ones(1), "costs": 1.0, "budget": 1, **options})


class TestProfit:
    def test_it_is_the_sum_of_the_first_rows_less_their_costs(self):
        rng = np.random.default_rng(0)
        effect, gain = rng.normal(size=200), rng.normal(size=200)
        table = profit_curve(effect, gain, value=3.0, cost=0.5).table.set_index("share")
        order = np.argsort(-effect)
        for share in (0.1, 0.5, 1.0):
            first = order[: int(200 * share)]
            expected = (3 * gain[first] - 0.5).sum() / 200
            assert table["value"][share] == pytest.approx(expected)
        last = table.loc[1.0]
        assert last["random"] == pytest.approx(last["value"])
        assert last["stderr"] == pytest.approx(3 * gain.std(ddof=1) / np.sqrt(200))
        assert table["value"][0.0] == table["stderr"][0.0] == 0

    def test_arms_have_their_own_costs(self):
        rng = np.random.default_rng(0)
        scores = pd.DataFrame(rng.normal(size=(50, 3)), columns=["n", "a", "b"])
        effects = scores[["b", "a"]].sub(scores["n"], axis=0)
        curve = profit_curve(effects, scores, control="n", cost={"a": 1.0, "b": 0.0})
        for arm, cost in (("a", 1.0), ("b", 0.0)):
            end = curve.of(arm)["value"].iloc[-1]
            assert end == pytest.approx(effects[arm].mean() - cost)

    def test_bad_input_is_named(self):
        with pytest.raises(ValueError, match="value=nan"):
            profit_curve(np.ones(5), np.ones(5), value=np.nan)
        with pytest.raises(ValueError, match="costs are given for"):
            profit_curve(np.ones(5), np.ones((5, 2)), cost={"x": 1.0})
        with pytest.raises(ValueError, match="not one for each row"):
            profit_curve(np.ones(5), np.ones((5, 2)), cost=np.ones((5, 1)))


class TestTree:
    @given(st.integers(0, 10_000), st.integers(0, 2), st.integers(1, 8))
    def test_it_is_the_best_tree_that_there_is(self, seed, depth, least):
        X, scores = drawn(seed, n=25, levels=4)
        tree = PolicyTree(max_depth=depth, min_samples_leaf=least, max_thresholds=None)
        advice = tree.fit(X, scores).predict(X)
        worth = scores[np.arange(len(X)), advice].sum()
        assert worth == pytest.approx(by_trying_all(X, scores, least, depth))

    @given(st.integers(0, 10_000))
    @example(3600)  # two trees of the same worth
    def test_the_search_in_parts_finds_what_the_search_at_once_finds(self, seed):
        from hypercate.policy import search

        X, scores = drawn(seed, levels=15)
        rows = np.arange(len(X))
        whole = PolicyTree(min_samples_leaf=3).fit(X, scores)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(search, "MOST_CELLS", 150)
            parts = PolicyTree(min_samples_leaf=3).fit(X, scores)
        worth = [scores[rows, tree.predict(X)].sum() for tree in (parts, whole)]
        assert worth[0] == pytest.approx(worth[1], rel=1e-12)

    @given(st.integers(0, 1000))
    def test_weights_are_repetitions_and_names_change_nothing(self, seed):
        X, scores = drawn(seed)
        times = np.random.default_rng(0).integers(1, 4, len(X))
        options = {"min_samples_leaf": 1, "max_thresholds": None}
        once = PolicyTree(**options).fit(X, scores, sample_weight=times)
        often = PolicyTree(**options).fit(
            np.repeat(X, times, axis=0), np.repeat(scores, times, axis=0)
        )
        advice = often.predict(X)
        rows = np.arange(len(X))
        worth = [np.sum(times * scores[rows, tree.predict(X)]) for tree in (once, often)]
        assert worth[0] == pytest.approx(worth[1])
        names = np.array(["z", "a", "m"])
        named = PolicyTree(**options).fit(X, pd.DataFrame(scores, columns=names))
        plain = PolicyTree(**options).fit(X, scores)
        np.testing.assert_array_equal(named.predict(X), names[plain.predict(X)])
        by_array = PolicyTree(**options, arms=names).fit(X, scores)
        np.testing.assert_array_equal(by_array.predict(X), named.predict(X))
        assert set(advice) <= {0, 1, 2}

    def test_deeper_trees_are_worth_more_on_their_rows_and_keep_to_their_depth(self):
        X, _ = drawn(3, n=400, n_columns=4, levels=20)
        scores = np.random.default_rng(3).normal(size=(400, 3))
        worth = []
        for depth in range(5):
            tree = PolicyTree(max_depth=depth).fit(X, scores)
            worth.append(scores[np.arange(400), tree.predict(X)].sum())
            lines = tree.export_text().splitlines()
            assert max(len(line) - len(line.lstrip()) for line in lines) <= 2 * max(depth - 1, 0)
        assert worth == sorted(worth)
        assert worth[0] < worth[1] < worth[2] < worth[3]

    def test_frames_of_every_kind_go_in_and_thresholds_are_in_their_units(self):
        X, _, _, _ = mixed_frame(600)
        gain = np.where(X["site"] == "north", 1.0, np.where(X["age"] > 55.2, 0.5, -1.0))
        scores = pd.DataFrame({"none": 0.0, "drug": gain}, X.index)
        tree = PolicyTree().fit(X, scores)
        known = X["age"].notna().to_numpy()
        expected = np.where(gain > 0, "drug", "none")
        np.testing.assert_array_equal(tree.predict(X)[known], expected[known])
        text = str(tree)
        assert "site=north: drug" in text
        assert "age > 55" in text
        other = X[X.columns[::-1]].sample(frac=1, random_state=0)
        np.testing.assert_array_equal(tree.predict(other), tree.predict(X.loc[other.index]))
        assert tree.feature_names_in_.tolist() == list(X.columns)

    @given(st.integers(0, 1000), st.floats(-6, 6), st.floats(-3, 6))
    def test_what_is_printed_is_what_is_done(self, seed, centre, power):
        rng = np.random.default_rng(seed)
        x = centre * 10**power + 10**power * rng.standard_t(2, size=80)
        gain = np.where(x > np.quantile(x, 0.7), 1.0, -1.0)
        tree = PolicyTree(max_depth=1).fit(x[:, None], np.column_stack([np.zeros(80), gain]))
        first = tree.export_text().splitlines()[0]
        threshold = float(first.split("<= ")[1].split(":")[0])
        new = np.append(x, threshold + 10**power * np.array([-0.01, 0.01, 1e3, -1e3]))
        np.testing.assert_array_equal(tree.predict(new[:, None]), (new > threshold).astype(int))

    def test_columns_of_many_levels_split_by_level(self):
        rng = np.random.default_rng(0)
        town = rng.choice([f"t{k:02d}" for k in range(40)], 2000)
        gain = np.where(np.isin(town, ["t07", "t31"]), 1.0, -1.0)
        X = pd.DataFrame({"town": town, "x": rng.normal(size=2000)})
        tree = PolicyTree().fit(X, np.column_stack([np.zeros(2000), gain]))
        np.testing.assert_array_equal(tree.predict(X), gain > 0)
        assert "town=t07" in str(tree)
        new = pd.DataFrame({"town": ["nowhere"], "x": [0.0]})
        assert tree.predict(new).tolist() == [0]

    def test_costs_and_rows_of_weight_0(self):
        X, scores = drawn(0, n=100)
        weight = (np.arange(100) >= 20).astype(float)
        missing = np.where(weight[:, None] == 0, np.nan, scores)
        costs = [0.0, 0.5, 1.0]
        tree = PolicyTree(costs=costs).fit(X, missing, sample_weight=weight)
        alone = PolicyTree().fit(X[20:], scores[20:] - costs)
        assert tree.export_text() == alone.export_text()
        dear = PolicyTree(costs=[0.0, 100.0, 100.0]).fit(X, scores)
        assert dear.export_text() == "0 (100 rows)"

    def test_its_value_is_that_of_its_advice_on_other_rows(self):
        X, scores = drawn(1, n=400)
        new, others = drawn(2, n=300)
        tree = PolicyTree(costs=[0, 0.1, 0.2]).fit(X, scores)
        advice = tree.predict(new)
        expected = policy_value(advice, others, costs=[0, 0.1, 0.2])
        found = tree.value_inference(new, others)
        assert found.point_estimate == expected.point_estimate
        assert found.stderr == expected.stderr
        assert tree.value(new, others) == tree.score(new, others) == found.point_estimate[0]
        gain = tree.value_inference(new, others, baseline=0).point_estimate
        assert gain == pytest.approx(found.point_estimate - others[:, 0].mean())

    def test_its_own_rows_are_known_again(self):
        X, scores = drawn(1, n=100)
        tree = PolicyTree().fit(X, scores)
        with pytest.warns(UserWarning, match="100 of the 100 rows are among those"):
            tree.value(X, scores)

    def test_no_value_is_claimed_where_there_is_none(self):
        """Advice on pure noise, of trees that did not see the row, is worth nothing."""
        z = []
        for seed in range(501, 520):
            rng = np.random.default_rng(seed)
            X, scores = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
            advice = cross_val_predict(PolicyTree(), X, scores)
            found = policy_value(advice, scores, baseline=0)
            z.append(found.point_estimate[0] / found.stderr[0])
        assert abs(np.mean(z)) < 3 / np.sqrt(len(z))

    def test_a_search_over_depths_works(self):
        X, scores = drawn(0, n=300)
        search = GridSearchCV(PolicyTree(), {"max_depth": [0, 1, 2]}, error_score="raise")
        search.fit(X, scores)
        assert search.best_params_["max_depth"] >= 1

    def test_it_is_cloned_and_pickled(self):
        X, scores = drawn(0)
        tree = PolicyTree(max_depth=1, costs={0: 0, 1: 1, 2: 1}).fit(X, scores)
        again = pickle.loads(pickle.dumps(tree))
        np.testing.assert_array_equal(again.predict(X), tree.predict(X))
        assert clone(tree).get_params() == tree.get_params()
        assert str(clone(tree)).startswith("PolicyTree(")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"max_depth": -1}, "max_depth=-1"),
            ({"max_depth": True}, "max_depth=True"),
            ({"min_samples_leaf": 0}, "min_samples_leaf=0"),
            ({"max_thresholds": 0.5}, "max_thresholds=0.5.*or None"),
            ({"arms": ["a", "b"]}, "arms=.* must be 3 distinct labels"),
            ({"costs": {0: 1.0}}, "costs are given for"),
            ({"costs": np.zeros((60, 3))}, "costs must be one number for each arm"),
        ],
    )
    def test_bad_parameters_are_named_and_leave_it_as_it_was(self, options, message):
        X, scores = drawn(0)
        tree = PolicyTree(max_depth=1).fit(X, scores)
        before = tree.predict(X)
        tree.set_params(**options)
        with pytest.raises(ValueError, match=message):
            tree.fit(X, scores)
        np.testing.assert_array_equal(tree.predict(X), before)

    def test_bad_data_is_named(self):
        X, scores = drawn(0)
        with pytest.raises(ValueError, match="scores has 59 rows, but X has 60"):
            PolicyTree().fit(X, scores[1:])
        with pytest.raises(ValueError, match="one for each arm"):
            PolicyTree().fit(X, scores[:, 0])
        with pytest.raises(ValueError, match="scores is missing or infinite in row 0"):
            PolicyTree().fit(X, np.where(np.arange(60)[:, None] == 0, np.nan, scores))
        with pytest.raises(NotFittedError):
            PolicyTree().predict(X)
        tree = PolicyTree().fit(X, scores)
        with pytest.raises(ValueError, match="PolicyTree is expecting 3 features"):
            tree.predict(X[:, :2])
        frame = pd.DataFrame(X, [f"p{i}" for i in range(60)])
        with pytest.raises(ValueError, match="scores has an index"):
            PolicyTree().fit(frame, pd.DataFrame(scores, frame.index[::-1]))


@pytest.fixture(scope="module")
def policies():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield importlib.import_module("policies")


class TestAgainstOthers:
    @staticmethod
    def trees(policies, study, n, seed, **options):
        """Advice of our tree and EconML's greedy one, for the rows fitted and for fresh people."""
        econml = pytest.importorskip("econml.policy")
        rng = np.random.default_rng(seed)
        train, test = (policies.STUDIES[study](rows, rng) for rows in (n, 20_000))
        scores = aipw_scores(
            train.y, train.arm, propensity=train.propensity, outcomes=train.worth + 0.5,
            control="none",
        )[list(train.costs)].sub(pd.Series(train.costs))  # fmt: skip
        tree = PolicyTree(**options).fit(train.X, scores)
        x, new = policies.as_numbers(train.X, test.X)
        greedy = econml.PolicyTree(max_depth=2, min_samples_leaf=10, honest=False)
        greedy.fit(x, scores.to_numpy())
        arms = scores.columns.to_numpy()
        of_rows = [tree.predict(train.X), arms[greedy.predict(x).ravel()]]
        of_fresh = [tree.predict(test.X), arms[greedy.predict(new).ravel()]]
        return scores, of_rows, test, of_fresh

    @pytest.mark.parametrize("study", ["corner", "sites", "slope"])
    def test_no_greedy_tree_is_worth_more_on_the_rows_it_was_fitted_to(self, study, policies):
        scores, advice, _, _ = self.trees(policies, study, 300, 501, max_thresholds=None)
        worth = [policy_value(labels, scores).point_estimate[0] for labels in advice]
        assert worth[0] >= worth[1] - 1e-9

    @pytest.mark.parametrize("study", ["corner", "sites", "slope"])
    def test_fresh_people_gain_as_much_as_by_econmls_trees(self, study, policies):
        apart = []
        for seed in range(501, 505):
            _, _, test, (ours, theirs) = self.trees(policies, study, 1500, seed)
            apart.append(test.value(ours) - test.value(theirs))
            assert test.value(ours) > test.worth.mean().max() + 0.1
        assert np.mean(apart) > -0.01

    def test_the_best_tree_on_known_outcomes_is_the_best_policy(self, policies):
        rng = np.random.default_rng(501)
        train, test = (policies.corner(n, rng) for n in (3000, 20_000))
        regret = test.worth.max(axis=1).mean() - test.value(policies.best_tree(train, test, 0))
        assert regret < 0.02
        assert "a <= " in PolicyTree().fit(train.X, train.worth).export_text()


class TestEstimatorsScores:
    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls):
        X, y, arm, _ = mixed_frame()
        weight = np.where(np.arange(len(y)) < 20, 0.0, 1 + np.arange(len(y)) % 3)
        return tiny(control="drug").fit(X, y, arm, sample_weight=weight), X, y, arm, weight

    def test_their_means_are_the_average_effects(self, fitted):
        est, X, _, _, weight = fitted
        scores = est.scores_frame(X)
        assert scores.columns.tolist() == est.arms_.tolist()
        assert scores.index.equals(X.index)
        assert scores.isna().all(axis=1).tolist() == (weight == 0).tolist()
        effects = scores.drop(columns="drug").sub(scores["drug"], axis=0)
        mean = effects.mul(weight, axis=0).sum() / weight.sum()
        np.testing.assert_allclose(mean, est.ate())
        np.testing.assert_array_equal(est.scores_frame(), scores)
        assert est.scores_frame().index.equals(pd.RangeIndex(len(X)))

    def test_other_rows_are_refused(self, fitted):
        est, X, _, _, _ = fitted
        for other in (X[::-1], X[:-1], X.assign(age=1.0)):
            with pytest.raises(ValueError, match="not the frame that was fitted"):
                est.scores_frame(other)

    def test_they_go_straight_into_metrics_and_policies(self, fitted):
        est, X, y, arm, weight = fitted
        scores = est.scores_frame(X)
        effects = pd.DataFrame(est.predict(X), X.index, est.arms_[1:])
        assert rate_score(effects, scores, sample_weight=weight).index.tolist() == [
            "control",
            "surgery",
        ]
        tree = PolicyTree().fit(X, scores, sample_weight=weight)
        assert set(tree.predict(X)) <= set(est.arms_)
        chosen = best_arm(est.predict_outcomes(X), arms=est.arms_)
        assert chosen.tolist() == est.arms_[est.predict_outcomes(X).argmax(axis=1)].tolist()
        again = aipw_scores(
            y, arm, propensity=est.propensity(X), outcomes=est.predict_outcomes(X), control="drug"
        )
        assert again.columns.tolist() == scores.columns.tolist()

    def test_propensities_are_of_the_arms_and_sum_to_1(self, fitted):
        est, X, *_ = fitted
        propensity = est.propensity(X)
        assert propensity.columns.tolist() == est.arms_.tolist()
        assert propensity.index.equals(X.index)
        np.testing.assert_allclose(propensity.sum(axis=1), 1)
        np.testing.assert_array_equal(propensity, est.fitted_.propensities(est._encode(X)))
        assert ((propensity > 0) & (propensity < 1)).all(axis=None)

    def test_a_model_without_evidence_says_so(self, fitted, tmp_path):
        est, X, _, _, _ = fitted
        est.save(tmp_path / "m", evidence=False)
        slim = type(est).load(tmp_path / "m")
        with pytest.raises(ValueError, match="saved without evidence"):
            slim.scores_frame()
        pd.testing.assert_frame_equal(slim.propensity(X), est.propensity(X))

    def test_each_of_several_outcomes_has_its_own_scores(self):
        X, y, arm, _ = mixed_frame(200)
        est = tiny().fit(X, pd.DataFrame({"a": y, "b": -y}, X.index), arm)
        scores = est.scores_frame(X)
        assert scores.index.names[0] == "outcome"
        pd.testing.assert_frame_equal(scores.loc["b"], est.of("b").scores_frame(X))
