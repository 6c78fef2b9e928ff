"""Frames of any library are read by name, and labels of rows never contradict their positions."""

import subprocess
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate import HyperCATE, overlap_report, plots
from hypercate.encoding import FeatureEncoder
from hypercate.encoding.frames import as_pandas, check_same_order, hash_labels, index_of

N = 120
quick = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def tiny(**parameters):
    defaults = {"n_members": 2, "max_epochs": 2, "outcome_hidden": (4,), "sharing": "moderate"}
    return HyperCATE(**{**defaults, "inputs": "raw", "random_state": 0, **parameters})


def columns():
    """Columns of every kind, as lists with None for missing."""
    rng = np.random.default_rng(0)
    hole = rng.random(N) < 0.2

    def holed(values):
        return [None if h else v for h, v in zip(hole, values, strict=True)]

    return {
        "age": rng.normal(50, 9, N).tolist(),
        "dose": holed(rng.random(N).tolist()),
        "visits": rng.integers(0, 9, N).tolist(),
        "children": holed(rng.integers(0, 4, N).tolist()),
        "large": holed((2**60 + rng.integers(0, 9, N)).tolist()),
        "smoker": (rng.random(N) < 0.3).tolist(),
        "insured": holed((rng.random(N) < 0.3).tolist()),
        "site": rng.choice(["north", "south", "west"], N).tolist(),
        "ward": holed(rng.choice(["a", "b"], N).tolist()),
        "grade": holed(rng.choice(["low", "mid", "high"], N).tolist()),
        "price": holed([Decimal(f"{v:.2f}") for v in rng.random(N)]),
    }


def in_pandas():
    frame = pd.DataFrame({name: pd.Series(values) for name, values in columns().items()})
    return frame.astype(
        {"dose": float, "children": "Int64", "large": "Int64", "insured": "boolean"}
        | {"grade": "category"}
    )


def in_polars():
    return pl.DataFrame(columns()).with_columns(
        pl.col("grade").cast(pl.Enum(["low", "mid", "high", "none"])),
        pl.col("ward").cast(pl.Categorical),
        pl.col("children").cast(pl.Int128),
    )


def in_pyarrow():
    table = pa.table(columns())
    place = table.column_names.index("grade")
    return table.set_column(place, "grade", table["grade"].dictionary_encode())


def in_pyarrow_chunks():
    table = in_pyarrow()
    return pa.concat_tables([table[:50], table[50:]])


def in_pandas_of_pyarrow():
    return in_pyarrow().to_pandas(types_mapper=pd.ArrowDtype)


OTHERS = {
    "polars": in_polars,
    "pyarrow": in_pyarrow,
    "chunks": in_pyarrow_chunks,
    "pandas on pyarrow": in_pandas_of_pyarrow,
    "narwhals": lambda: nw.from_native(in_polars()),
    "narwhals on pandas": lambda: nw.from_native(in_pandas()),
}


def outcomes():
    rng = np.random.default_rng(1)
    return rng.normal(size=N), rng.choice(["control", "drug"], N)


@pytest.fixture(scope="module")
def fitted():
    return tiny().fit(in_pandas(), *outcomes())


class TestOtherLibraries:
    @pytest.mark.parametrize("library", OTHERS)
    def test_encodes_as_pandas_does_to_the_bit_in_any_order_of_columns(self, library):
        frame, other = in_pandas(), OTHERS[library]()
        reversed_ = list(frame)[::-1]
        expected = FeatureEncoder.fit(frame)
        encoder = FeatureEncoder.fit(other)
        assert encoder.output_names == expected.output_names
        assert encoder.feature_names_in_.tolist() == list(frame)
        for reader in (encoder, expected):
            for given_ in (frame, other, frame[reversed_]):
                np.testing.assert_array_equal(reader.transform(given_), expected.transform(frame))
        selected = other.select(reversed_) if hasattr(other, "select") else other[reversed_]
        np.testing.assert_array_equal(encoder.transform(selected), expected.transform(frame))

    @pytest.mark.parametrize("library", ["polars", "pyarrow"])
    def test_a_fit_predicts_the_same_to_the_bit(self, library, fitted):
        X = OTHERS[library]()
        y, treatment = outcomes()
        series = pl.Series if library == "polars" else pa.array
        weight, groups = np.ones(N), np.arange(N) // 2
        est = tiny().fit(X, series(y), series(treatment), sample_weight=series(weight))
        np.testing.assert_array_equal(est.predict(X), fitted.predict(in_pandas()))
        np.testing.assert_array_equal(est.predict(in_pandas()), fitted.predict(in_pandas()))
        clustered, expected = (
            tiny().fit(frame, y, treatment, groups=each)
            for frame, each in ((X, series(groups)), (in_pandas(), groups))
        )
        assert clustered.ate_interval() == expected.ate_interval()

    @pytest.mark.parametrize("library", ["polars", "pyarrow"])
    def test_every_question_answers_alike(self, library, fitted):
        X, frame = OTHERS[library](), in_pandas()
        y, treatment = outcomes()
        series = pl.Series if library == "polars" else lambda v: pa.chunked_array([v])
        assert fitted.score(X, series(y), series(treatment), sample_weight=series(np.ones(N))) == (
            fitted.score(frame, y, treatment)
        )
        assert fitted.att(X, series(treatment)) == fitted.att(frame, treatment)
        assert fitted.ate(X) == fitted.ate(frame)
        labels = pd.Series(["u", "v", "w"] * (N // 3), name="ward")
        pd.testing.assert_series_equal(
            fitted.gate(series(labels.tolist())), fitted.gate(labels.tolist()), check_names=False
        )
        arm = {"T0": treatment[::-1].copy(), "T1": treatment}
        wrapped = {name: series(values) for name, values in arm.items()}
        for name in ("effect", "sample_effects", "effect_interval", "individual_effect_interval"):
            ask = getattr(fitted, name)
            np.testing.assert_array_equal(ask(X, **wrapped), ask(frame, **arm))
        np.testing.assert_array_equal(
            fitted.predict_outcome_interval(X, arm=series(treatment)),
            fitted.predict_outcome_interval(frame, arm=treatment),
        )
        np.testing.assert_array_equal(fitted.reject(X, 0.3), fitted.reject(frame, 0.3))
        table = fitted.effect_inference(X).summary_frame()
        pd.testing.assert_frame_equal(table, fitted.effect_inference(frame).summary_frame())
        found, expected = (
            overlap_report(each, arms, sample_weight=weight)
            for each, arms, weight in (
                (X, series(treatment), series(np.ones(N))),
                (frame, treatment, np.ones(N)),
            )
        )
        pd.testing.assert_frame_equal(found.propensity, expected.propensity)
        pd.testing.assert_frame_equal(found.balance, expected.balance)
        ages = X["age"]
        for inference in (fitted.effect_inference(X), fitted.effect_inference(frame)):
            drawn = plots.plot_effect_by(inference, ages).lines[1].get_data()
            by_pandas = plots.plot_effect_by(inference, frame["age"]).lines[1].get_data()
            np.testing.assert_array_equal(drawn, by_pandas)

    def test_the_index_of_a_wrapped_frame_is_kept(self, fitted):
        frame = in_pandas().set_axis(pd.Index([f"row {i}" for i in range(N)]))
        inference = fitted.effect_inference(nw.from_native(frame))
        assert inference.index.equals(frame.index)
        assert index_of(in_polars()) is None
        assert index_of(in_pyarrow()["age"]) is None

    def test_polars_needs_no_pyarrow(self):
        code = (
            "import sys; sys.modules['pyarrow'] = None\n"
            "import numpy as np, pandas as pd, polars as pl\n"
            "from hypercate.encoding import FeatureEncoder\n"
            "given = {'a': [1.5, None], 'b': [True, None], 's': ['u', None], 'i': [1, None]}\n"
            "frame = pl.DataFrame(given).with_columns(c=pl.col('s').cast(pl.Categorical))\n"
            "found = FeatureEncoder.fit(frame).transform(frame)\n"
            "other = pd.DataFrame(given).assign(c=pd.Categorical(given['s']))\n"
            "assert (found == FeatureEncoder.fit(other).transform(other)).all()\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("library", [pl.DataFrame, pa.table])
    @pytest.mark.parametrize(
        ("value", "error", "message"),
        [
            (date(2020, 1, 1), TypeError, "column 'a' holds datetime64.*turn dates and durations"),
            (
                datetime(2020, 1, 1),
                TypeError,
                "column 'a' holds datetime64.*days since a reference",
            ),
            (timedelta(1), TypeError, "column 'a' holds timedelta64.*turn dates and durations"),
            (time(1), TypeError, r"column 'a' holds time \(first in row 0\)"),
            ([1], TypeError, r"column 'a' holds list \(first in row 0\)"),
            ({"u": 1}, TypeError, r"column 'a' holds dict \(first in row 0\)"),
            (b"x", TypeError, r"column 'a' holds bytes \(first in row 0\)"),
            (None, ValueError, "column 'a' is missing in every row"),
            (float("inf"), ValueError, r"column 'a' is infinite \(inf\) in rows 0, 1"),
        ],
    )
    def test_columns_are_refused_in_the_words_for_pandas(self, library, value, error, message):
        for frame in (library({"a": [value] * 3}), pd.DataFrame({"a": [value] * 3})):
            if isinstance(value, date) and not isinstance(value, datetime):
                message = "column 'a' holds date"
            with pytest.raises(error, match=message):
                FeatureEncoder.fit(frame)

    @pytest.mark.parametrize(
        ("X", "error", "message"),
        [
            (pl.LazyFrame({"a": [1.0]}), TypeError, r"X is a polars LazyFrame.* X\.collect\(\)"),
            (
                pa.record_batch({"a": [1.0]}),
                TypeError,
                r"X is a pyarrow RecordBatch, whose columns cannot be read by name.*pyarrow\.Table",
            ),
            (
                pa.table([pa.array([1.0])] * 2, names=["a", "a"]),
                ValueError,
                "(?s)X has more than one column of the same name, rename or drop one.*'a'",
            ),
            (pl.DataFrame({"a": []}), ValueError, "X is empty: 0 rows and 1 columns"),
            (pl.DataFrame(), ValueError, "X is empty: 0 rows and 0 columns"),
            (pl.Series([1.0, 2.0]), ValueError, "got a Series of shape .*2.* as X"),
        ],
    )
    def test_what_cannot_be_read_by_name_is_refused(self, X, error, message, fitted):
        with pytest.raises(error, match=message):
            FeatureEncoder.fit(X)
        with pytest.raises(error, match=message):
            fitted.predict(X)

    @pytest.mark.parametrize("attribute", ["__dataframe__", "__arrow_c_stream__", "columns"])
    def test_an_unknown_frame_is_never_taken_by_position(self, attribute, fitted):
        class Frame:
            def __array__(self, dtype=None, copy=None):
                return np.ones((N, 11))

        setattr(Frame, attribute, ["a", "b"])
        with pytest.raises(TypeError, match=r"X is a test\w+ Frame, whose columns"):
            fitted.predict(Frame())

    @pytest.mark.parametrize("series", [pl.Series, pa.array, lambda v: pa.chunked_array([v])])
    @pytest.mark.parametrize("name", ["y", "treatment", "sample_weight", "groups"])
    def test_nulls_of_a_series_are_named_by_their_row(self, series, name):
        y, treatment = outcomes()
        given_ = {"y": y, "treatment": treatment, "sample_weight": y**2, "groups": range(N)}
        values = list(given_[name])
        values[7] = None
        given_[name] = series(values)
        with pytest.raises(ValueError, match=f"{name} is missing .* in row 7 "):
            tiny().fit(in_pandas(), **given_)

    def test_strings_and_categories_of_other_libraries_are_labels(self):
        y, treatment = outcomes()
        expected = tiny().fit(in_pandas(), y, treatment).predict(in_pandas())
        for labels in (
            pl.Series(treatment, dtype=pl.Categorical),
            pl.Series(treatment, dtype=pl.Enum(["none", "drug", "control"])),
            pa.array(treatment).dictionary_encode(),
            pl.DataFrame({"arm": treatment}),
        ):
            est = tiny().fit(in_pandas(), y, labels)
            assert est.arms_.tolist() == ["control", "drug"]
            np.testing.assert_array_equal(est.predict(in_pandas()), expected)

    def test_pandas_is_left_alone(self):
        frame = in_pandas()
        assert as_pandas(frame, "X") is frame
        arrow = in_pandas_of_pyarrow()
        before = arrow.copy()
        assert isinstance(as_pandas(arrow, "X")["grade"].dtype, pd.CategoricalDtype)
        pd.testing.assert_frame_equal(arrow, before)


LABELS = {
    "integers": lambda n: pd.Index(np.arange(n) * 7 + 3),
    "floats": lambda n: pd.Index(np.arange(n) / 4),
    "strings": lambda n: pd.Index([f"row {i}" for i in range(n)]),
    "objects": lambda n: pd.Index([i if i % 2 else str(i) for i in range(n)], dtype=object),
    "dates": lambda n: pd.date_range("2020", periods=n),
    "zones": lambda n: pd.date_range("2020", periods=n, tz="Europe/Paris"),
    "far dates": lambda n: pd.Index(np.datetime64("9000-01-01", "s") + np.arange(n)),
    "periods": lambda n: pd.period_range("2020", periods=n),
    "intervals": lambda n: pd.interval_range(0, n),
    "categories": lambda n: pd.CategoricalIndex([f"{i}" for i in range(n)]),
    "nullable": lambda n: pd.Index(np.arange(n) + 5, dtype="Int64"),
    "pairs": lambda n: pd.MultiIndex.from_arrays([np.arange(n) % 3, [f"{i}" for i in range(n)]]),
    "default": pd.RangeIndex,
}


class TestLabelsOfRows:
    @pytest.mark.parametrize("kind", LABELS)
    def test_the_same_order_passes_and_another_is_refused(self, kind):
        index = LABELS[kind](9)
        for known in (index, hash_labels(index)):
            check_same_order("y", index, known)
            check_same_order("y", index.copy(), known)
            message = (
                r"^y has an index .* of X in another order: pass y\.loc\[X\.index\] .*to_numpy"
            )
            with pytest.raises(ValueError, match=message):
                check_same_order("y", index[::-1], known)

    @quick
    @given(st.lists(st.integers(0, 4), min_size=2, max_size=8), st.randoms())
    def test_repeated_labels_are_compared_as_often_as_they_occur(self, labels, random):
        moved = random.sample(labels, len(labels))
        index = pd.Index(labels) + 10  # no default
        check_same_order("y", index, index)
        if moved == labels:
            check_same_order("y", pd.Index(moved) + 10, index)
            return
        with pytest.raises(ValueError, match="y has an index that holds the labels of X in anoth"):
            check_same_order("y", pd.Index(moved) + 10, index)

    def test_repeated_labels_cannot_be_put_in_order_by_label(self):
        with pytest.raises(ValueError, match=r"more than once: bring its rows .*, or pass y\.to_n"):
            check_same_order("y", pd.Index([5, 5, 6]), pd.Index([6, 5, 5]))

    def test_other_labels_go_by_position(self):
        check_same_order("y", pd.RangeIndex(9), pd.Index(list("abcdefghi")))
        check_same_order("y", pd.Index(list("abcdefghi")), pd.RangeIndex(9))
        check_same_order("y", pd.Index([1, 2, 3, 4, 5, 6]), pd.Index([6, 5, 4, 11, 12, 13]))

    def test_most_labels_but_not_all_are_refused_unless_one_index_is_the_default(self):
        index = pd.Index([3, 4, 5, 6, 7])
        with pytest.raises(ValueError, match=r"holds 4 of the 5 labels of X, but not .*y\.loc\[X"):
            check_same_order("y", pd.Index([4, 5, 6, 7, 8]), index)
        check_same_order("y", pd.RangeIndex(5), pd.Index([4, 3, 2, 1, 9]))
        check_same_order("y", pd.Index([4, 3, 2, 1, 9]), pd.RangeIndex(5))

    def test_labels_are_equal_by_value(self):
        whole = pd.Index([10, 12, 11])
        same = (
            whole.astype(float),
            whole.astype("Int64"),
            whole.astype(object),
            whole.astype("i1"),
        )
        for index in same:
            np.testing.assert_array_equal(hash_labels(index), hash_labels(whole))
        days = pd.date_range("2020", periods=3, unit="s")
        np.testing.assert_array_equal(hash_labels(days), hash_labels(days.as_unit("us")))
        text = pd.Index(["a", "b"], dtype=object)
        for dtype in ("str", "string[pyarrow]", "category", pd.ArrowDtype(pa.string())):
            np.testing.assert_array_equal(hash_labels(text.astype(dtype)), hash_labels(text))


def shuffled_study():
    """Rows of a shuffled frame, with vectors on its index."""
    rng = np.random.default_rng(0)
    index = pd.Index(rng.permutation(N) + 1000)
    X = pd.DataFrame({"a": rng.normal(size=N), "b": rng.normal(size=N)}, index=index)
    treatment = pd.Series(rng.integers(2, size=N), index=index)
    y = pd.Series(X["a"] + (2 + X["b"]) * treatment + 0.1 * rng.normal(size=N), index=index)
    groups = pd.Series(np.arange(N) % 4, index=index)
    return X, y, treatment, groups


@pytest.fixture(scope="module")
def on_index():
    X, y, treatment, _ = shuffled_study()
    return tiny().fit(X, y, treatment)


X, Y, T, G = shuffled_study()
W = pd.Series(1.0, index=X.index)
ENTRIES = {
    "fit y": ("y", Y, lambda est, v: tiny().fit(X, v, T)),
    "fit treatment": ("treatment", T, lambda est, v: tiny().fit(X, Y, v)),
    "fit sample_weight": (
        "sample_weight",
        W,
        lambda est, v: tiny().fit(X, Y, T, sample_weight=v),
    ),
    "fit groups": ("groups", G, lambda est, v: tiny().fit(X, Y, T, groups=v)),
    "score y": ("y", Y, lambda est, v: est.score(X, v, T)),
    "score treatment": ("treatment", T, lambda est, v: est.score(X, Y, v)),
    "score sample_weight": ("sample_weight", W, lambda est, v: est.score(X, Y, T, sample_weight=v)),
    "att": ("treatment", T, lambda est, v: est.att(X, v)),
    "att_interval": ("treatment", T, lambda est, v: est.att_interval(X, v)),
    "gate": ("groups", G, lambda est, v: est.gate(v)),
    "gate_interval": ("groups", G, lambda est, v: est.gate_interval(v)),
    "effect T0": ("T0", T, lambda est, v: est.effect(X, T0=v, T1=1)),
    "effect T1": ("T1", T, lambda est, v: est.effect(X, T0=0, T1=v)),
    "sample_effects": ("T1", T, lambda est, v: est.sample_effects(X, T0=0, T1=v)),
    "effect_interval": ("T1", T, lambda est, v: est.effect_interval(X, T0=0, T1=v)),
    "effect_inference": ("T0", T, lambda est, v: est.effect_inference(X, T0=v, T1=1)),
    "reject": ("T1", T, lambda est, v: est.reject(X, 0.1, T0=0, T1=v)),
    "individual T0": ("T0", T, lambda est, v: est.individual_effect_interval(X, T0=v, T1=1)),
    "individual T1": ("T1", T, lambda est, v: est.individual_effect_interval(X, T0=0, T1=v)),
    "outcome": ("arm", T, lambda est, v: est.predict_outcome_interval(X, arm=v)),
    "overlap treatment": ("treatment", T, lambda est, v: overlap_report(X, v)),
    "overlap weight": ("sample_weight", W, lambda est, v: overlap_report(X, T, sample_weight=v)),
    "plot_effect_by": (
        "covariate",
        X["a"],
        lambda est, v: plots.plot_effect_by(est.effect_inference(X), v),
    ),
    "plot_calibration": (
        "effect_true",
        Y,
        lambda est, v: plots.plot_calibration(v, est.effect_inference(X)),
    ),
}


class TestEntryPoints:
    @pytest.mark.parametrize("entry", ENTRIES)
    def test_a_series_in_another_order_is_refused(self, entry, on_index):
        name, values, call = ENTRIES[entry]
        message = (
            f"^{name} has an index that holds the labels of X in another order: pass "
            rf"{name}\.loc\[X\.index\] to go by label, or pass {name}\.to_numpy\(\) to go by"
        )
        moved = values.sample(frac=1, random_state=0)
        for given_ in (moved, moved.to_frame("v"))[: 1 if entry == "plot_calibration" else 2]:
            with pytest.raises(ValueError, match=message):
                call(on_index, given_)

    @pytest.mark.parametrize("entry", ENTRIES)
    def test_the_same_order_and_other_labels_pass(self, entry, on_index):
        _, values, call = ENTRIES[entry]
        for given_ in (values, values.to_numpy(), values.reset_index(drop=True)):
            call(on_index, given_)
        call(on_index, values.sample(frac=1, random_state=0).loc[X.index])

    def test_an_att_that_a_permutation_would_have_changed(self, on_index):
        moved = T.sample(frac=1, random_state=3)
        by_label = on_index.att(X, moved.loc[X.index])
        assert by_label == on_index.att(X, T)
        assert on_index.att(X, moved.to_numpy()) != by_label
        with pytest.raises(ValueError, match="treatment has an index"):
            on_index.att(X, moved)

    def test_a_permuted_outcome_would_have_hidden_the_effect(self):
        moved = Y.sample(frac=1, random_state=0)
        right, wrong = (tiny(max_epochs=60).fit(X, y, T).att() for y in (Y, moved.to_numpy()))
        assert right == pytest.approx(2, abs=0.3)
        assert abs(wrong) < 0.7
        with pytest.raises(ValueError, match="y has an index"):
            tiny().fit(X, moved, T)

    def test_groups_belong_to_all_rows_that_were_given(self):
        weight = np.where(np.arange(N) % 5, 1.0, 0.0)
        est = tiny().fit(X, Y, T, sample_weight=weight)
        pd.testing.assert_series_equal(est.gate(G), est.gate(G.to_numpy()), check_names=False)
        with pytest.raises(ValueError, match="groups has an index"):
            est.gate(G[::-1])

    def test_a_saved_model_knows_the_labels_of_its_rows(self, on_index, tmp_path):
        on_index.save(tmp_path / "model")
        loaded = HyperCATE.load(tmp_path / "model")
        expected = on_index.fitted_.evidence.index_hash
        assert expected.dtype == np.uint64
        np.testing.assert_array_equal(loaded.fitted_.evidence.index_hash, expected)
        with pytest.raises(ValueError, match="groups has an index"):
            loaded.gate(G[::-1])
        pd.testing.assert_series_equal(loaded.gate(G), on_index.gate(G))

    def test_without_a_frame_of_pandas_there_are_no_labels(self, tmp_path):
        for given_ in (X.to_numpy(), pl.DataFrame({"a": X["a"].to_numpy()})):
            est = tiny().fit(given_, Y, T)
            assert est.fitted_.evidence.index_hash is None
            est.save(tmp_path / "model")
            assert HyperCATE.load(tmp_path / "model").fitted_.evidence.index_hash is None
            assert np.isfinite(est.gate(G[::-1])).all()
