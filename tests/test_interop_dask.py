"""Frames of Dask are predicted as `predict` does, and fits run on workers as they run here."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from served import fitted, frame
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from small import tiny

from hypercate import HyperCATE
from hypercate.interop.dask import predict
from hypercate.interop.workers import Sent

dask = pytest.importorskip("dask", reason="frames of Dask are predicted, which is not installed")
dd = pytest.importorskip("dask.dataframe", reason="frames of Dask are predicted")

ALL = {"interval": 0.9, "outcomes": True}


def expected(est, X, outcomes=True):
    """Everything that is asked for, of rows at once."""
    parts = [est.predict(X), *est.effect_interval(X, alpha=1 - 0.9)]
    parts += [est.predict_outcomes(X)] if outcomes else []
    return np.hstack([part.reshape(len(X), -1) for part in parts])


def parts(table):
    """The partitions of a frame, computed on this thread."""
    return list(dask.compute(*table.to_delayed(), scheduler="synchronous"))


@cache
def instant():
    """A model, and its rows in the order of their labels, with their names."""
    est, X = fitted("instant")
    return est, X.assign(patient=[f"{row:03}" for row in X.index]).sort_index()


def unread(columns):
    """A frame that raises where a row of it is read."""

    def read(_):
        raise AssertionError("a row was read")

    return dd.from_map(read, [0, 1], meta=pd.DataFrame(columns=columns, dtype=float))


class TestPredict:
    @pytest.mark.parametrize("kind", ["instant", "levels", "doses"])
    def test_every_partition_is_predicted_as_it_is_elsewhere_to_the_bit(self, kind):
        est, X = fitted(kind)
        given = dd.from_pandas(X, npartitions=3, sort=False)
        asked = ALL | {"outcomes": kind != "doses"}
        found = predict(est, given[X.columns[::-1]], **asked)
        for own, rows in zip(parts(found), parts(given), strict=True):
            np.testing.assert_array_equal(own.to_numpy(), expected(est, rows, asked["outcomes"]))
            pd.testing.assert_index_equal(own.index, rows.index)
        whole = found.compute(scheduler="synchronous")
        close = {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(whole, expected(est, X, asked["outcomes"]), **close)

    def test_columns_are_named_as_in_files_and_come_behind_those_kept(self):
        est, X = instant()
        found = predict(est, dd.from_pandas(X, npartitions=2), keep=["patient", "age"], **ALL)
        arms = ("drug", "surgery")
        names = [f"{what}_{arm}" for what in ("effect", "ci_lower", "ci_upper") for arm in arms]
        names += [f"outcome_{arm}" for arm in ("control", *arms)]
        assert list(found.columns) == ["patient", "age", *names]
        assert found.compute(scheduler="threads")["patient"].tolist() == X["patient"].tolist()
        assert list(predict(est, dd.from_pandas(X)).columns) == names[:2]

    def test_partitions_and_divisions_stay(self):
        est, X = instant()
        given = dd.from_pandas(X, npartitions=4)
        found = predict(est, given)
        assert found.divisions == given.divisions
        assert found.known_divisions
        pd.testing.assert_index_equal(found.compute(scheduler="synchronous").index, X.index)

    def test_empty_partitions_have_the_columns_of_the_others(self):
        est, X = instant()
        given = dd.from_pandas(X.assign(place=np.arange(len(X))), npartitions=4)
        given = given[given["place"] >= len(X) // 2]
        found = predict(est, given, keep=["patient", "grade"], **ALL)
        first, *_, last = parts(found)
        assert len(first) == 0 < len(last)
        pd.testing.assert_series_equal(first.dtypes, last.dtypes)
        pd.testing.assert_series_equal(first.dtypes, found.dtypes)
        assert len(found.compute(scheduler="synchronous")) == len(X) - len(X) // 2


class TestRefusals:
    @pytest.mark.parametrize(
        ("columns", "options", "said"),
        [
            (["dose", "smoker"], {}, "no column 'age', 'site', 'grade', which the model needs"),
            ([*frame()[0], "age"], {}, "more than one column 'age'"),
            ([*frame()[0]], {"keep": ["patient"]}, "no column 'patient', as keep says"),
            ([*frame()[0]], {"keep": "age"}, r"pass \['age'\]"),
            ([*frame()[0]], {"keep": ["age", "age"]}, "given twice"),
            ([*frame()[0], "effect_drug"], {"keep": ["effect_drug"]}, "what is predicted"),
            ([*frame()[0]], {"interval": 95}, "such as 0.95"),
        ],
    )
    def test_what_cannot_be_predicted_is_said_before_a_row_is_read(self, columns, options, said):
        with pytest.raises(ValueError, match=said):
            predict(instant()[0], unread(columns), **options)

    def test_only_fitted_models_and_frames_of_dask_are_taken(self):
        est, X = instant()
        with pytest.raises(NotFittedError):
            predict(HyperCATE(), unread(["age"]))
        with pytest.raises(TypeError, match="HyperCATE"):
            predict(KNeighborsClassifier(), unread(["age"]))
        with pytest.raises(TypeError, match=r"dask.dataframe.DataFrame"):
            predict(est, X)

    def test_outcomes_of_doses_are_refused(self):
        est, X = fitted("doses")
        with pytest.raises(ValueError, match="are doses"):
            predict(est, unread(X.columns), outcomes=True)

    def test_a_model_without_names_of_columns_is_refused(self):
        X, arm = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
        est = HyperCATE(effort="instant", random_state=0).fit(X, X[:, 0] + arm, arm)
        with pytest.raises(ValueError, match="fit it to a frame"):
            predict(est, unread(["a", "b"]))


class TestSent:
    def test_neither_training_rows_nor_supplied_models_travel(self):
        X, y, arm = frame()
        est = tiny(model_propensity=KNeighborsClassifier(), inputs="raw").fit(X, y, arm)
        sent = pickle.dumps(Sent.of(est, list(X.columns), None, False, ()))
        for secret in (est.fitted_.evidence.y.tobytes(), b"KNeighborsClassifier"):
            assert secret in pickle.dumps(est)
            assert secret not in sent
        found = pickle.loads(sent).values(X)
        np.testing.assert_array_equal(found, est.predict(X))
