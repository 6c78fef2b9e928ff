"""What models say of the rows they are judged on: by row, by model, and what a fit leaves of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hypercate import HyperCATE
from hypercate.evidence import Evidence, overlap_weight
from hypercate.folds import Folds
from hypercate.inference.conformal import HeldOutErrors

quick = settings(max_examples=40, deadline=None, derandomize=True)
N, N_ARMS, N_MODELS = 23, 3, 4


def evidence(seed=0, n=N):
    """Rows of which some are judged by one model, others by several, in any order."""
    rng = np.random.default_rng(seed)
    judges = rng.random((N_MODELS, n)) < 0.4
    judges[rng.integers(0, N_MODELS, n), np.arange(n)] = True
    model, row = np.nonzero(judges)
    order = rng.permutation(len(row))
    return Evidence(
        arm=rng.integers(0, N_ARMS, n),
        y=rng.normal(size=n),
        weight=rng.gamma(2, 0.5, n),
        cluster=np.arange(n),
        propensity=rng.dirichlet([1, 1, 1], n),
        row=row[order],
        model=model[order],
        outcomes=rng.normal(size=(len(row), N_ARMS)),
        used=np.ones(n, dtype=bool),
        fingerprint=np.column_stack([np.arange(n), n + np.arange(n)]).astype(np.uint64),
    )


class TestMeanByRow:
    @quick
    @given(st.integers(0, 10**6))
    def test_is_over_the_models_that_judge_the_row(self, seed):
        found = evidence(seed)
        assert found.n_arms == N_ARMS
        assert found.mean_outcomes.shape == (N, N_ARMS)
        for row in range(N):
            expected = found.outcomes[found.row == row].mean(axis=0)
            np.testing.assert_allclose(found.mean_outcomes[row], expected)
        squares = found.mean_by_row(found.outcomes[:, :1] ** 2)
        assert squares.shape == (N, 1)
        np.testing.assert_allclose(squares[7, 0], np.mean(found.outcomes[found.row == 7, 0] ** 2))

    def test_the_order_of_judgements_does_not_matter(self):
        found = evidence()
        order = np.argsort(found.row, kind="stable")
        parts = {name: getattr(found, name)[order] for name in ("row", "model", "outcomes")}
        sorted_ = Evidence(**{**vars(found), **parts})
        np.testing.assert_allclose(sorted_.mean_outcomes, found.mean_outcomes, rtol=1e-12)


class TestLessModelMeans:
    def test_leaves_each_model_a_weighted_mean_of_0_over_the_rows_it_judges(self):
        found = evidence()
        values = np.random.default_rng(1).normal(size=(len(found.row), 2)) + found.model[:, None]
        centred = found.less_model_means(values)
        assert centred.shape == values.shape
        for model in range(N_MODELS):
            mine = found.model == model
            weight = found.weight[found.row[mine]]
            mean = np.average(values[mine], axis=0, weights=weight)
            np.testing.assert_allclose(centred[mine], values[mine] - mean, atol=1e-12)
            np.testing.assert_allclose(weight @ centred[mine], 0, atol=1e-12)

    def test_what_a_model_adds_to_all_its_rows_is_gone(self):
        found = evidence()
        values = found.outcomes
        shifted = values + np.array([[1.0, -2, 3]]) * (1 + found.model[:, None])
        np.testing.assert_allclose(
            found.less_model_means(shifted), found.less_model_means(values), atol=1e-12
        )

    def test_a_model_that_judges_no_row_is_no_trouble(self):
        found = evidence()
        last = Evidence(**{**vars(found), "model": np.where(found.model == 1, 3, found.model)})
        assert np.isfinite(last.less_model_means(found.outcomes)).all()


propensities = arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(2, 5)), elements=st.floats(1e-3, 1)
).map(lambda raw: raw / raw.sum(axis=1, keepdims=True))


class TestOverlapWeight:
    @quick
    @given(propensities)
    def test_is_the_harmonic_mean_of_propensities_over_the_number_of_arms(self, propensity):
        weight = overlap_weight(propensity)
        assert weight.shape == (len(propensity),)
        for row, value in zip(propensity, weight, strict=True):
            assert value == pytest.approx(1 / sum(1 / e for e in row), rel=1e-12)
            assert 0 < value <= row.min()
            assert value <= 1 / len(row) ** 2 * (1 + 1e-12)

    @quick
    @given(st.floats(1e-6, 1 - 1e-6))
    def test_is_e_times_1_minus_e_for_two_arms(self, e):
        weight = overlap_weight(np.array([[e, 1 - e]]))
        np.testing.assert_allclose(weight, e * (1 - e), rtol=1e-9)

    @quick
    @given(propensities, st.data())
    def test_does_not_know_the_order_of_arms(self, propensity, data):
        order = data.draw(st.permutations(range(propensity.shape[1])))
        np.testing.assert_allclose(
            overlap_weight(propensity[:, order]), overlap_weight(propensity), rtol=1e-12
        )

    def test_is_greatest_where_arms_are_alike_and_falls_to_0(self):
        e = np.linspace(0.5, 0.999, 50)
        weight = overlap_weight(np.column_stack([e, 1 - e]))
        assert weight[0] == 0.25
        assert (np.diff(weight) < 0).all()
        assert weight[-1] < 1e-3


def arm_codes(arm):
    """Arms by their first appearance, as a fit sees them."""
    first = np.unique(arm, return_index=True)[1]
    return np.argsort(np.argsort(first))[arm]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X, arm = rng.normal(size=(160, 3)), rng.integers(0, 3, 160)
    arm[:40] = 2  # arms appear in another order than that of their labels
    return X, 100 + 5 * X[:, 0] + 20 * arm + rng.normal(size=160), arm


def fit(X, y, arm, weight=None, groups=None, **parameters):
    settings = {"n_members": 3, "max_epochs": 40, "outcome_hidden": (8, 8), "inputs": "raw"}
    settings |= {"sharing": "moderate", "learning_rate": 0.02, "random_state": 0}
    est = HyperCATE(**settings | parameters)
    return est.fit(X, y, arm, sample_weight=weight, groups=groups)


class TestOfAFit:
    def test_it_holds_the_rows_in_the_order_and_units_in_which_they_came(self, data):
        X, y, arm = data
        labels = np.array(["b", "c", "a"])[arm]
        weight = np.where(np.arange(160) % 5 == 1, 0, 1 + np.arange(160) % 3)
        groups = np.array(["x", "w", "y"])[np.arange(160) % 3].astype(object) + (
            np.arange(160) // 9
        ).astype(str)
        est = fit(X, y, labels, control="b", weight=weight, groups=groups)
        used = weight > 0
        found = est.fitted_.evidence
        assert (est.arms_[found.arm] == labels[used]).all()
        np.testing.assert_array_equal(found.used, used)
        np.testing.assert_array_equal(found.y, y[used])
        np.testing.assert_allclose(found.weight, weight[used] / weight[used].mean(), rtol=1e-12)
        codes = np.unique(groups[used], return_inverse=True)[1]
        np.testing.assert_array_equal(found.cluster, codes)
        assert found.propensity.shape == found.mean_outcomes.shape == (used.sum(), 3)
        assert found.outcomes.dtype == found.propensity.dtype == np.float64
        np.testing.assert_allclose(found.propensity.sum(axis=1), 1)
        error = found.mean_outcomes - est.predict_outcomes(X[used])
        assert np.abs(error).mean() < 5  # arms lie 20 apart
        share = [(labels[used] == label).mean() for label in est.arms_]
        np.testing.assert_allclose(found.propensity.mean(axis=0), share, atol=0.05)

    def test_without_groups_every_row_is_a_cluster(self, data):
        found = fit(*data).fitted_.evidence
        assert len(np.unique(found.cluster)) == 160
        assert found.used.all()

    @pytest.mark.parametrize(("n_members", "share"), [(3, 0.2), (3, 0.5), (7, 0.2), (1, 0.35)])
    def test_each_model_is_judged_on_its_part_of_the_rows_and_of_every_arm(
        self, n_members, share, data
    ):
        X, y, arm = data
        found = fit(X, y, arm, n_members=n_members, validation_fraction=share).fitted_.evidence
        n_parts = max(3, round(1 / share))
        n_models = max(n_members, n_parts)
        assert np.bincount(found.model).tolist() == [pytest.approx(160 / n_parts, abs=3)] * n_models
        for model in range(n_models):
            counts = np.bincount(arm[found.row[found.model == model]])
            np.testing.assert_allclose(counts, np.bincount(arm) / n_parts, atol=1)
        for first in range(0, n_models, n_parts):
            rows = found.row[(found.model >= first) & (found.model < first + n_parts)]
            assert len(np.unique(rows)) == len(rows)
            assert len(rows) == 160 or first + n_parts > n_models

    @pytest.mark.parametrize("inputs", ["raw", "boosted"])
    @pytest.mark.parametrize("share", [0.2, 0.35])
    def test_errors_are_those_of_the_models_whose_outcomes_new_rows_get(self, data, share, inputs):
        X, y, arm = data
        est = fit(X, y, arm, 1 + np.arange(160) % 3, validation_fraction=share, inputs=inputs)
        found = est.fitted_.evidence
        x = est.fitted_.features.transform(X)
        outcomes = est.fitted_.networks.by_model(x, "cpu")[found.model, found.row]
        np.testing.assert_allclose(found.outcomes, outcomes, rtol=1e-5, atol=1e-4)
        errors = HeldOutErrors.of(found)
        own = np.abs(y[found.row] - outcomes[np.arange(len(found.row)), arm[found.row]])
        np.testing.assert_allclose(errors.error, own, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(errors.member, found.model)
        times = np.bincount(found.row)
        expected = found.weight / found.propensity[np.arange(160), arm] / times
        np.testing.assert_allclose(errors.weight, expected[found.row], rtol=1e-12)

    def test_a_models_loss_where_it_stops_is_near_that_where_it_is_judged(self, data):
        """It is trained again on the rows that stopped it, and judged on others like them."""
        X, y, arm = data
        est = fit(X, y, arm, n_members=5, max_epochs=200, learning_rate=0.005)
        found, networks = est.fitted_.evidence, est.fitted_.networks
        error = np.square(y[found.row] - found.outcomes[np.arange(len(found.row)), arm[found.row]])
        mean = np.bincount(found.model, error) / np.bincount(found.model)
        ratio = mean / networks.scale**2 / est.sharing_["moderate"]
        assert 0.5 < np.median(ratio) < 2
        assert ratio.max() < 10

    def test_the_loss_where_a_model_stops_is_in_the_unit_of_the_rows_it_knows(self, data):
        """Only the mean of its rows is known to a network that is not trained at all."""
        X, y, arm = data
        est = fit(X, y, arm, max_epochs=1, learning_rate=1e-12, sharing="intercept")
        folds = Folds.of(arm_codes(arm), 5, 3, est.fitted_.seed)
        networks = est.fitted_.networks
        for model in range(5):
            known = y[~folds.judges[model]]
            assert networks.location[model] == pytest.approx(known.mean(), rel=1e-12)
            assert networks.scale[model] == pytest.approx(known.std(), rel=1e-12)
            assert networks.location[model] != pytest.approx(y.mean(), rel=1e-6)

    def test_propensities_are_not_those_of_a_model_that_saw_the_row(self, data):
        X, y, _ = data
        arm = (np.random.default_rng(5).random(160) < 1 / (1 + np.exp(-1.5 * X[:, 0]))).astype(int)
        est = fit(X, y, arm)
        found = est.fitted_.evidence
        own = found.propensity[np.arange(160), arm]
        seen = est.fitted_.propensities(est.fitted_.features.transform(X))[np.arange(160), arm]
        assert np.ptp(found.propensity[:, 0]) > 0.3
        assert np.log(own).mean() < np.log(seen).mean() - 0.005

    def test_relabelled_arms_have_the_same_to_the_bit(self, data):
        X, y, arm = data
        first = fit(X, y, arm).fitted_.evidence
        labels = np.array(["z", "y", "x"])[arm]
        second = fit(X, y, labels, control="z").fitted_.evidence
        order = [0, 2, 1]  # control, then sorted: z, x, y
        for name in ("outcomes", "propensity"):
            np.testing.assert_array_equal(getattr(second, name), getattr(first, name)[:, order])
        np.testing.assert_array_equal(np.array(order)[second.arm], first.arm)
        for name in ("y", "row", "model", "weight", "cluster"):
            np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
