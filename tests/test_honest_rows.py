"""Who sees which rows in a fit: every row is judged, and by models to whom its outcome is unknown.

Each property is a function of fitted models that says whether it holds, and is also asked of models
for which it cannot hold.
"""

import copy
import dataclasses
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from hypercate import HyperCATE
from hypercate.folds import Folds
from hypercate.study import read_study

SMALL = {"n_members": 2, "max_epochs": 8, "patience": 3, "outcome_hidden": (16, 16)}
SMALL |= {"learning_rate": 0.02, "device": "cpu", "random_state": 0}
N = 60
_OF_OWN_WEIGHTS = ("params own", "buffers apart")  # held for all models if one uses them


EVENT = np.arange(N) % 3 > 0  # seen


def rows(outcome="continuous", seed=0):
    """Covariates, an outcome, arms in mixed order and clusters of three rows."""
    rng = np.random.default_rng(seed)
    X, arm = rng.normal(size=(N, 3)), rng.permutation(np.arange(N) % 2)
    y = X[:, 0] + 2 * (X[:, 1] > 0) * arm + 0.5 * rng.normal(size=N)
    if outcome == "binary":
        y = (y > np.median(y)).astype(int)
    if outcome == "time":
        y = np.exp(y / 2)
    return X, y, arm, rng.permutation(N) // 3


def fit(X, y, arm, groups=None, **changed):
    return HyperCATE(**SMALL | changed).fit(X, y, arm, groups=groups)


def folds_of(est, X, y, arm, groups=None):
    """The folds of a fit, drawn anew from its seed."""
    study = read_study(X, y, arm, None, groups, None, None, est.control, "auto").study
    n_parts = max(3, round(1 / est.validation_fraction))
    return Folds.of(study.condition, n_parts, est.n_members, est.fitted_.seed, study.cluster)


def wild(y, judged, more=100):
    """Other outcomes of some rows: more of it and shuffled, or the other class."""
    y = y.copy()
    if y.dtype.kind == "i":
        y[judged] = 1 - y[judged]
        assert set(y) == {0, 1}
    else:
        y[judged] = np.random.default_rng(1).permutation(y[judged]) + more
    return y


def alike(value, other):
    """Whether parts of two models are the same: arrays to the bit, texts, and what holds them.

    Torch's sigmoid and cross-entropy round by a value's place in a tensor, hence by which networks
    train alongside, in the last bits: weights may differ by those.
    """
    if type(value) is not type(other):
        return False
    if isinstance(value, np.ndarray):
        within = 1e-6 if value.dtype == np.float32 else 0
        return (
            value.dtype == other.dtype
            and value.shape == other.shape
            and np.allclose(value, other, rtol=within, atol=within, equal_nan=True)
        )
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return all(alike(getattr(value, name), getattr(other, name)) for name in names)
    if isinstance(value, tuple):
        return len(value) == len(other) and all(map(alike, value, other))
    return value == other


def of_model(est, m):
    """All of a fit that belongs to one model, part by part."""
    fitted = est.fitted_
    networks, effects = fitted.networks, fitted.networks.effects
    parts = {
        "theta": networks.theta[m],
        "location": networks.location[m],
        "scale": networks.scale[m],
        "view": networks.views[m],
        "stage": networks.stages[m] if networks.stages else None,
        "correction": networks.correction and networks.correction.coef[m],
        "unit of effects": (effects.location[m], effects.scale[m]) if effects else None,
    }
    for i, generator in enumerate(fitted.generators):
        own = generator.buffers.get("apart", np.zeros(m + 1))[m].any()
        for kind, tensors in (("params", generator.params), ("buffers", generator.buffers)):
            for name, values in tensors.items():
                if own or f"{kind} {name}" not in _OF_OWN_WEIGHTS:
                    parts[f"{kind} {name} {i}"] = values[m]
    return parts


def told_apart(before, after, m):
    """Parts of a model by which two fits differ."""
    first, second = of_model(before, m), of_model(after, m)
    return {name for name in first | second if not alike(first.get(name), second.get(name))}


def fare_alike(before, after, m):
    """A member chose the same, after the same losses but for rounding."""
    choices = [est.fitted_.choice for est in (before, after)]
    losses, histories = (
        [part(choice) for choice in choices]
        for part in (
            lambda choice: choice.loss[m],
            lambda choice: choice.history[choice.history[:, 0] == m],
        )
    )
    return bool(
        choices[0].chosen[m] == choices[1].chosen[m]
        and histories[0].shape == histories[1].shape
        and np.allclose(*losses, rtol=1e-4)
        and np.allclose(*histories, rtol=1e-4)
    )


def judgements(est):
    """Judgements of each row that was fitted."""
    evidence = est.fitted_.evidence
    return np.bincount(evidence.row, minlength=len(evidence.y))


def every_row_is_judged(est, n):
    """Each row as often as there are partitions of the models, and averages count each once."""
    evidence = est.fitted_.evidence
    return bool(
        len(evidence.y) == n
        and (judgements(est) >= 1).all()
        and np.isfinite(evidence.outcomes).all()
        and est.ate_inference().n_rows == n
        and len(np.unique(np.stack([evidence.row, evidence.model]), axis=1).T) == len(evidence.row)
    )


def judged_by_their_own_models(est, X):
    """Outcomes in the evidence are those of the model named there, in float32's precision."""
    evidence, fitted = est.fitted_.evidence, est.fitted_
    x = fitted.features.transform(X)
    outcomes = fitted.networks.by_model(x, "cpu")[evidence.model, evidence.row]
    return bool(np.allclose(outcomes, evidence.outcomes, rtol=1e-4, atol=1e-4))


def same_to_the_bit(est, other, X, columns):
    """Predictions of one are those of another, whose arms are in another order."""
    pairs = [
        (est.predict_outcomes(X), other.predict_outcomes(X)[:, columns]),
        (est.fitted_.evidence.outcomes, other.fitted_.evidence.outcomes[:, columns]),
        (est.fitted_.evidence.propensity, other.fitted_.evidence.propensity[:, columns]),
        (est.fitted_.networks.theta, other.fitted_.networks.theta[:, columns]),
    ]
    return all(np.array_equal(first, second) for first, second in pairs)


def averages_alike(est, other, labels, relabelled):
    """Every average effect against every arm, estimate and standard error, but for rounding."""

    def table(model, against, arms):
        parts = []
        for inference in (model.ate_inference(T0=against), model.att_inference(T0=against)):
            frame = inference.summary_frame()
            parts.append(frame.loc[arms, ["point_estimate", "stderr"]].to_numpy())
        return np.stack(parts)

    for control in range(len(labels)):
        others = [k for k in range(len(labels)) if k != control]
        tables = [
            table(model, names[control], [names[k] for k in others])
            for model, names in ((est, labels), (other, relabelled))
        ]
        if not np.allclose(*tables, rtol=1e-9, atol=1e-9):
            return False
    return True


WAYS = [
    *({"inputs": "raw"}, {"inputs": "boosted"}, {"inputs": "auto"}),
    {"inputs": "raw", "n_members": 7},
    {"inputs": "raw", "generation": "none"},
    {"inputs": "raw", "spectral_norm": True},
    {"inputs": "auto", "context": "data"},
    {"inputs": "raw", "widths": (0.5, 1.0), "depths": (0.2, 0.6, 1.0)},
    {"inputs": "raw", "hypernet_dropout": 0.3},
    {"inputs": "raw", "hypernet_noise": 0.5},
    {"inputs": "raw", "hypernet_noise": 0.5, "noise_kind": "weights"},
    *({"learner": name, "inputs": "raw"} for name in ("s", "tarnet", "x", "ra", "dr", "r")),
    {"learner": "dr", "inputs": "auto"},
    {"effort": "fast"},
    {"learner": "r", "model_outcome": LinearRegression()},
]


class TestUnseenOutcomes:
    @pytest.mark.parametrize(
        ("outcome", "grouped"), [("continuous", True), ("binary", False)], ids=["groups", "binary"]
    )
    @pytest.mark.parametrize("way", WAYS, ids=repr)
    def test_outcomes_of_the_rows_that_judge_a_model_do_not_reach_it(self, way, outcome, grouped):
        """Nor does anything of its training depend on how others fare, to whom they are known."""
        X, y, arm, groups = rows(outcome)
        groups = groups if grouped else None
        before = fit(X, y, arm, groups, **way)
        folds = folds_of(before, X, y, arm, groups)
        evidence = before.fitted_.evidence
        last = folds.n_models - 1
        for m in (0, last):
            judged = np.flatnonzero(folds.judges[m])
            assert set(evidence.row[evidence.model == m]) == set(judged)
            after = fit(X, wild(y, judged), arm, groups, **way)
            assert told_apart(before, after, m) == set()
            assert m >= before.n_members or fare_alike(before, after, m)
            for other in range(folds.n_models):
                if other == m:
                    continue
                changed = told_apart(before, after, other)  # the check fails of a wrong model
                assert "theta" in changed
                assert other >= before.n_members or not fare_alike(before, after, other)
                if outcome == "continuous":
                    assert {"location", "scale"} <= changed
                if all(est.fitted_.networks.views[other].boosted for est in (before, after)):
                    assert "view" in changed

    @pytest.mark.parametrize("outcome", ["continuous", "binary"])
    @pytest.mark.parametrize(
        "way",
        [{"inputs": "raw", "n_members": 7}, {"inputs": "boosted"}, {"learner": "dr"},
         {"effort": "fast"}, {"inputs": "raw", "hypernet_dropout": 0.3}],
        ids=repr,
    )  # fmt: skip
    def test_nor_do_those_of_further_rows_by_a_partial_fit(self, way, outcome):
        X, y, arm, _ = rows(outcome)
        more_X, more_y, more_arm, _ = rows(outcome, seed=1)
        first = fit(X, y, arm, **way)
        before = copy.deepcopy(first).partial_fit(more_X, more_y, more_arm)
        evidence = before.fitted_.evidence
        for m in (0, before.fitted_.networks.n_models - 1):
            judged = evidence.row[(evidence.model == m) & (evidence.row >= N)] - N
            assert len(judged)
            after = copy.deepcopy(first).partial_fit(more_X, wild(more_y, judged), more_arm)
            assert told_apart(before, after, m) == set()
            for other in set(range(before.fitted_.networks.n_models)) - {m}:
                if set(judged) - set(evidence.row[evidence.model == other] - N):
                    assert told_apart(before, after, other) == {"correction"}

    @pytest.mark.parametrize("changed", ["size", "event"])
    @pytest.mark.parametrize(
        "way",
        [{"inputs": "raw"}, {"inputs": "auto"}, {"learner": "dr"}, {"effort": "fast"}],
        ids=repr,
    )
    def test_nor_do_those_of_other_outcomes_that_are_trained_with_it(self, way, changed):
        X, y, arm, _ = rows()
        Y = {"size": y, "event": rows("binary")[1]}
        before = fit(X, pd.DataFrame(Y), arm, **way)
        judges = folds_of(before.of("size"), X, y, arm).judges
        for m in (0, len(judges) - 1):
            others = Y | {changed: wild(Y[changed], np.flatnonzero(judges[m]))}
            after = fit(X, pd.DataFrame(others), arm, **way)
            for name in Y:
                pair = before.of(name), after.of(name)
                assert told_apart(*pair, m) == set()
                for other in set(range(len(judges))) - {m}:
                    assert "theta" in told_apart(*pair, other)

    @pytest.mark.parametrize(
        "way",
        [
            {"outcome": "time", "inputs": "raw"},
            {"outcome": "survival", "inputs": "auto", "n_members": 7},
            {"outcome": "time", "effort": "instant"},
            {"outcome": "time", "learner": "dr", "inputs": "raw"},
            {"outcome": "survival", "learner": "r", "model_outcome": LinearRegression()},
        ],
        ids=repr,
    )
    def test_nor_do_times_by_the_pseudo_outcomes_of_other_rows(self, way):
        X, y, arm, _ = rows("time")
        small = SMALL | {"horizon": 2.0}
        if way.get("effort") == "instant":
            small = {
                name: small[name] for name in ("n_members", "device", "random_state", "horizon")
            }

        def fitted(y, event):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="censoring leaves little")
                return HyperCATE(**small | way).fit(X, y, arm, event=event)

        before = fitted(y, EVENT)
        folds = folds_of(before, X, y, arm)
        for m in (0, folds.n_models - 1):
            judged = np.flatnonzero(folds.judges[m])
            times, event = wild(y, judged, more=1), EVENT.copy()
            event[judged] = ~event[judged]
            after = fitted(times, event)
            assert told_apart(before, after, m) == set()
            for other in set(range(folds.n_models)) - {m}:
                changed = told_apart(before, after, other)
                assert {"theta", "location", "scale"} <= changed

    @pytest.mark.parametrize("outcome", ["continuous", "binary"])
    def test_nor_in_many_minibatches_but_for_rounding(self, outcome):
        """Processors round the last few numbers of a tensor otherwise; whose they are depends on
        which networks are trained beside a model."""
        X, y, arm, _ = rows(outcome)
        way = {"inputs": "raw", "batch_size": 8, "max_epochs": 20}
        before = fit(X, y, arm, **way)
        judges = folds_of(before, X, y, arm).judges
        for m in range(len(judges)):
            after = fit(X, wild(y, np.flatnonzero(judges[m])), arm, **way)
            pairs = zip(before.fitted_.networks.theta, after.fitted_.networks.theta, strict=True)
            far = [np.abs(first - second).max() for first, second in pairs]
            assert far.pop(m) < 1e-4
            assert min(far) > 1e-2

    @pytest.mark.parametrize("inputs", ["raw", "boosted"])
    def test_a_row_that_is_not_judged_reaches_the_model(self, inputs):
        """One outcome is enough for the check to tell two models apart."""
        X, y, arm, _ = rows()
        before = fit(X, y, arm, inputs=inputs)
        folds = folds_of(before, X, y, arm)
        for mask in (folds.stops[0], ~folds.judges[0] & ~folds.stops[0]):
            after = fit(X, wild(y, np.flatnonzero(mask)[:1], more=5), arm, inputs=inputs)
            changed = told_apart(before, after, 0)
            assert {"theta", "location", "scale"} <= changed

    def test_other_seeds_have_other_folds(self):
        """So that the rows above are those of the fit's own seed, and of no other."""
        X, y, arm, _ = rows()
        before = fit(X, y, arm, inputs="raw")
        folds = folds_of(fit(X, y, arm, inputs="raw", random_state=1), X, y, arm)
        after = fit(X, wild(y, np.flatnonzero(folds.judges[0])), arm, inputs="raw")
        assert "theta" in told_apart(before, after, 0)

    @pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
    def test_rows_of_a_group_are_judged_by_the_same_models(self, grouped):
        X, y, arm, groups = rows()
        evidence = fit(X, y, arm, groups if grouped else None, inputs="raw").fitted_.evidence
        of_row = evidence.model[np.argsort(evidence.row)]
        together = all(len(set(of_row[groups == group])) == 1 for group in set(groups))
        assert together == grouped


class TestJudgements:
    @pytest.mark.parametrize("fraction", [0.2, 0.5, 0.35])
    @pytest.mark.parametrize("n_members", [1, 2, 3, 7])
    def test_every_row_is_judged_however_few_members_and_parts(self, n_members, fraction):
        X, y, arm, clusters = rows()
        sizes = {"n_members": n_members, "validation_fraction": fraction, "max_epochs": 2}
        for groups in (None, clusters):
            est = fit(X, y, arm, groups, inputs="raw", **sizes)
            assert every_row_is_judged(est, N)
            assert judged_by_their_own_models(est, X)
            n_parts = max(3, round(1 / fraction))
            n_models = max(n_members, n_parts)
            assert est.fitted_.networks.n_models == n_models
            assert judgements(est).sum() == folds_of(est, X, y, arm, groups).judges.sum()
            assert judgements(est).max() <= -(-n_models // n_parts)

    @pytest.mark.parametrize("fraction", [0.2, 0.5, 0.35])
    @pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
    def test_also_with_trees(self, fraction, grouped):
        X, y, arm, groups = rows()
        groups = groups if grouped else None
        est = fit(X, y, arm, groups, inputs="boosted", validation_fraction=fraction, max_epochs=2)
        assert every_row_is_judged(est, N)
        assert judged_by_their_own_models(est, X)

    @pytest.mark.parametrize("n_clusters", [3, 4])
    @pytest.mark.parametrize("inputs", ["raw", "boosted"])
    def test_also_in_few_clusters(self, inputs, n_clusters):
        X, y, arm, _ = rows()
        est = fit(X, y, arm, np.arange(N) % n_clusters, inputs=inputs, max_epochs=2)
        assert every_row_is_judged(est, N)
        assert est.fitted_.networks.n_models == n_clusters

    def test_rows_of_no_weight_are_none(self):
        X, y, arm, _ = rows()
        weight = np.where(np.arange(N) % 6 == 0, 0.0, 1.0)
        est = HyperCATE(**SMALL | {"inputs": "raw"}).fit(X, y, arm, sample_weight=weight)
        assert every_row_is_judged(est, 50)
        assert not every_row_is_judged(est, N)
        np.testing.assert_array_equal(est.fitted_.evidence.used, weight > 0)

    def test_the_checks_fail_where_a_model_is_silent_repeats_itself_or_speaks_for_another(self):
        X, y, arm, _ = rows()
        est = fit(X, y, arm, inputs="raw")
        whole = est.fitted_
        evidence = whole.evidence

        def with_judgements(kept, **changed):
            parts = {name: getattr(evidence, name)[kept] for name in ("row", "model", "outcomes")}
            est.fitted_ = replace(whole, evidence=replace(evidence, **parts | changed))

        everything = np.arange(len(evidence.row))
        with_judgements(everything)
        assert every_row_is_judged(est, N)
        assert judged_by_their_own_models(est, X)
        with_judgements(np.append(everything, 3))
        assert not every_row_is_judged(est, N)
        with_judgements(everything, outcomes=np.where(everything[:, None] == 3, np.nan, 1.0))
        assert not every_row_is_judged(est, N)
        with_judgements(everything, model=(evidence.model + 1) % 5)
        assert not judged_by_their_own_models(est, X)
        with_judgements(everything, row=np.roll(evidence.row, 1))
        assert not judged_by_their_own_models(est, X)
        silent = evidence.model != 0
        with_judgements(silent)
        assert (judgements(est)[evidence.row[~silent]] == 0).all()
        assert not every_row_is_judged(est, N)


class TestNamesOfArms:
    LABELS = (0, 1, 2)

    def fitted(self, names, control, **changed):
        rng = np.random.default_rng(0)
        X, arm = rng.normal(size=(90, 3)), rng.permutation(np.arange(90) % 3)
        y = X[:, 0] + arm * X[:, 1] + rng.normal(size=90)
        return fit(X, y, np.array(names)[arm], control=control, **changed), X

    @pytest.mark.parametrize("inputs", ["raw", "boosted"])
    @pytest.mark.parametrize(
        ("names", "control"),
        [
            ((0, 1, 2), 1),
            ((0, 1, 2), 2),
            ((2, 0, 1), 2),
            ((2, 1, 0), None),
            ((-7, 300, 12), 300),
            (("z", "y", "x"), "z"),
            (("b", "c", "a"), None),
        ],
        ids=repr,
    )
    def test_change_only_the_order_of_columns(self, names, control, inputs):
        est, X = self.fitted(self.LABELS, None, inputs=inputs)
        other, _ = self.fitted(names, control, inputs=inputs)
        assert other.arms_[0] == (min(names) if control is None else control)
        columns = [other.arms_.tolist().index(name) for name in names]
        assert same_to_the_bit(est, other, X, columns)
        assert averages_alike(est, other, self.LABELS, names)
        for k in (1, 2):
            found = other.effect_interval(X, T0=names[0], T1=names[k])
            expected = est.effect_interval(X, T0=0, T1=k)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        for wrong in ([1, 2, 0], [2, 0, 1], [0, 2, 1]):
            assert not same_to_the_bit(est, other, X, [columns[k] for k in wrong])
            assert not averages_alike(est, other, self.LABELS, [names[k] for k in wrong])

    def test_another_order_of_rows_is_another_fit(self):
        """So that the check above would see a fit that starts from the order of labels."""
        est, X = self.fitted(self.LABELS, None, inputs="raw")
        other, _ = self.fitted(self.LABELS, None, inputs="raw", random_state=1)
        assert not same_to_the_bit(est, other, X, [0, 1, 2])
        assert not averages_alike(est, other, self.LABELS, self.LABELS)
