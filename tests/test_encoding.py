"""What the encoders promise: properties of sound data, and a refusal of every kind of bad data."""

import copy
import pickle
import warnings
from dataclasses import FrozenInstanceError
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hypercate.encoding import Conditions, FeatureEncoder, check_rows, check_sample_weight

pytestmark = pytest.mark.filterwarnings("error")
quick = settings(max_examples=40, deadline=None, derandomize=True)
columns_of_floats = hnp.arrays(
    np.float64, st.integers(5, 60), elements=st.floats(-1000, 1000, width=32)
)


def encode(X, new=None):
    encoder = FeatureEncoder.fit(X)
    encoded = encoder.transform(X if new is None else new)
    assert encoded.shape == (len(X if new is None else new), encoder.n_outputs)
    assert encoded.dtype == np.float32
    assert encoded.flags.c_contiguous
    assert np.isfinite(encoded).all()
    return encoded


def named(X, new=None):
    encoder = FeatureEncoder.fit(X)
    return pd.DataFrame(encode(X, new), columns=encoder.output_names)


def mixed_frame(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": np.where(rng.random(n) < 0.2, np.nan, rng.normal(50, 10, n)),
            "children": pd.array([*rng.integers(0, 4, n - 1), None], dtype="Int64"),
            "dose": pd.array([None, *rng.random(n - 1)], dtype="Float64"),
            "smoker": rng.random(n) < 0.3,
            "insured": pd.array([None, *(rng.random(n - 1) < 0.5)], dtype="boolean"),
            "site": rng.choice(["north", "south", "west"], n),
            "ward": pd.array([*rng.choice(["a", "b"], n - 1), None], dtype="string"),
            "grade": pd.Categorical(rng.integers(1, 4, n)),
            "note": pd.Series([*rng.choice(["yes", "no"], n - 2), None, np.nan], dtype=object),
            "count": pd.Series([*rng.integers(0, 9, n - 2).tolist(), None, pd.NA], dtype=object),
        }
    )


class TestNumericColumns:
    def test_ordinary_values_get_mean_0_and_sd_1(self):
        X = np.random.default_rng(0).uniform([0, 100], [1, 900], size=(1000, 2))
        encoded = encode(X)
        np.testing.assert_allclose(encoded.mean(0), 0, atol=0.01)
        np.testing.assert_allclose(encoded.std(0), 1, atol=0.02)

    @quick
    @given(columns_of_floats, st.floats(1e-6, 1e6), st.floats(-1e5, 1e5))
    def test_the_unit_of_a_column_does_not_matter(self, column, factor, shift):
        low, high = column.min(), column.max()
        column = np.concatenate([column, np.linspace(low, max(high, low + 1), 20)])
        moved = factor * (column + shift)
        np.testing.assert_allclose(
            encode(moved[:, None]), encode(column[:, None]), rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(
            encode(-column[:, None]), -encode(column[:, None]), rtol=1e-5, atol=1e-5
        )

    @quick
    @given(columns_of_floats)
    def test_order_of_values_is_kept(self, column):
        ordered = np.sort(column)
        assert (np.diff(encode(ordered[:, None])[:, 0]) >= 0).all()

    @pytest.mark.parametrize("n", [5, 50, 1000])
    def test_an_outlier_is_bounded_and_leaves_the_others_apart(self, n):
        X = np.random.default_rng(0).normal(size=(n, 1))
        X[0] = 1e300
        encoded = encode(X)
        assert 4 < encoded[0, 0] < 20
        assert np.ptp(encoded[1:]) > 1.5

    def test_compression_starts_at_4_and_is_symmetric(self):
        encoder = FeatureEncoder.fit(np.random.default_rng(0).normal(size=(100, 1)))
        points = np.linspace(-50, 50, 4001)[:, None]
        encoded = encoder.transform(points)[:, 0].astype(float)
        inside = np.abs(encoded) < 4
        line = np.polynomial.Polynomial.fit(points[inside, 0], encoded[inside], 1)
        z = line(points[:, 0])
        np.testing.assert_allclose(encoded[inside], z[inside], atol=1e-5)
        expected = np.sign(z) * (4 + np.log1p(np.abs(z) - 4, where=~inside, out=np.zeros(len(z))))
        np.testing.assert_allclose(encoded[~inside], expected[~inside], atol=1e-4)
        assert np.abs(np.diff(encoded)).max() < 1.1 * np.diff(encoded)[inside[1:]].max()

    def test_extremes_first_met_in_transform_are_bounded(self):
        huge = np.finfo(float).max
        encoded = encode(np.array([[0.0], [1.0], [2.0], [3.0]]), [[huge], [-huge], [1e-320]])
        assert np.abs(encoded).max() < 20

    @pytest.mark.parametrize(
        "column",
        [
            1e12 + np.arange(10.0),
            1e300 * np.arange(-5, 5),
            np.linspace(-1, 1, 10) * np.finfo(float).max,
            1e-310 * np.arange(10),
            np.array([5e-324, 0.0, 0.0, 0.0]),
            np.arange(10, dtype=np.float32),
            np.arange(10, dtype=np.uint8),
            np.arange(10, dtype=np.int64) + 2**62,
        ],
    )
    def test_extreme_units_and_other_dtypes_are_sane(self, column):
        encoded = encode(column[:, None])
        assert np.abs(encoded).max() < 4

    def test_large_offset_does_not_blur_the_values(self):
        small = np.random.default_rng(0).integers(0, 100, size=(200, 1)).astype(float)
        np.testing.assert_allclose(encode(1e12 + small), encode(small), atol=1e-6)

    def test_a_rare_event_keeps_a_spread(self):
        X = np.zeros((1000, 1))
        X[:2] = 1
        encoded = encode(X)
        assert 4 < encoded[0, 0] < 10
        assert -0.1 < encoded[-1, 0] < 0

    @pytest.mark.parametrize("value", [0.1, 0, 1e12, -1e300, True])
    def test_a_constant_column_is_0_whatever_comes_later(self, value):
        X = np.column_stack([np.full(50, value, dtype=object), np.arange(50)])
        later = X.copy()
        later[:, 0] = False if value is True else 5.0
        for new in (X, later):
            assert (encode(X, new)[:, 0] == 0).all()

    def test_differences_of_rounding_only_count_as_constant(self):
        X = np.where(np.arange(20) % 2, 0.1 + 0.2, 0.3)[:, None]
        assert (encode(X) == 0).all()

    def test_one_row_encodes_to_0(self):
        assert (encode(np.array([[3.0, -1.0]])) == 0).all()

    def test_missing_is_0_with_an_indicator_if_missing_in_fit(self):
        encoded = named(pd.DataFrame({"age": [1.0, np.nan, 3.0, 4.0], "dose": [1.0, 2, 3, 4]}))
        assert list(encoded) == ["age", "age (missing)", "dose"]
        assert encoded["age"][1] == 0
        assert encoded["age (missing)"].idxmax() == 1
        np.testing.assert_allclose(encoded["age (missing)"].mean(), 0, atol=1e-6)
        np.testing.assert_allclose(encoded["age (missing)"].std(ddof=0), 1, atol=1e-6)

    def test_missing_only_in_transform_is_0(self):
        X = np.array([[1.0, 5], [2, 6], [4, 9]])
        encoded = encode(X, [[np.nan, 6.0], [2.0, 6.0]])
        assert encoded.shape == (2, 2)
        assert encoded[0, 0] == 0
        assert encoded[1, 0] != 0

    def test_rare_missing_is_bounded(self):
        X = np.arange(10_000.0)[:, None]
        X[7] = np.nan
        assert encode(X)[7, 1] == pytest.approx(4 + np.log1p((1 - 1e-4) / 0.1 - 4), abs=1e-4)

    @pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", object])
    def test_nullable_and_object_numbers_equal_floats(self, dtype):
        values = [1, 0, None, 1, 1, 0]
        plain = encode(pd.DataFrame({"a": [np.nan if v is None else float(v) for v in values]}))
        np.testing.assert_array_equal(
            encode(pd.DataFrame({"a": pd.Series(values, dtype=dtype)})), plain
        )

    def test_objects_that_are_numbers_of_any_type(self):
        X = np.array([[Decimal("1.5")], [2], [np.float32(3)], [True], [None]], dtype=object)
        np.testing.assert_array_equal(encode(X), encode(np.array([[1.5], [2], [3], [1], [np.nan]])))

    def test_memory_layout_does_not_matter(self):
        X = np.random.default_rng(0).normal(size=(40, 6))
        frozen = X.copy()
        frozen.setflags(write=False)
        for same in (np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], X.tolist(), frozen):
            np.testing.assert_array_equal(encode(same), encode(X))

    def test_rows_are_encoded_one_by_one_as_together(self):
        X = np.random.default_rng(0).normal(size=(9000, 3))
        encoder = FeatureEncoder.fit(X)
        together = encoder.transform(X)
        for row in (0, 4095, 4096, 8999):
            np.testing.assert_array_equal(encoder.transform(X[[row]])[0], together[row])

    def test_input_is_left_alone(self):
        frame = mixed_frame()
        before = frame.copy(deep=True)
        encode(frame)
        pd.testing.assert_frame_equal(frame, before)


class TestLevels:
    def test_a_level_an_indicator(self):
        encoded = named(pd.DataFrame({"site": ["north", "south", None, "north"]}))
        assert list(encoded) == ["site=north", "site=south", "site (missing)"]
        np.testing.assert_array_equal(encoded > 0, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
        np.testing.assert_allclose(encoded.mean(), 0, atol=1e-6)
        np.testing.assert_allclose(encoded.std(ddof=0), 1, atol=1e-6)

    @quick
    @given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1).filter(any))
    def test_equal_levels_encode_equally_and_others_apart(self, labels):
        encoded = encode(pd.DataFrame({"g": pd.Series(labels, dtype=object)}))
        for label in set(labels):
            rows = encoded[[other == label for other in labels]]
            assert (rows == rows[0]).all()
        assert len(np.unique(encoded, axis=0)) == len(set(labels))

    @pytest.mark.parametrize("dtype", [object, "string", "category"])
    def test_strings_of_any_dtype_encode_alike(self, dtype):
        labels = ["a", "b", None, "a"]
        expected = encode(np.array([["a"], ["b"], [None], ["a"]], dtype=object))
        frame = pd.DataFrame({"g": pd.Series(labels, dtype=dtype)})
        np.testing.assert_array_equal(encode(frame), expected)
        encoder = FeatureEncoder.fit(frame)
        again = pd.DataFrame({"g": pd.Series(labels, dtype=object)})
        np.testing.assert_array_equal(encoder.transform(again), expected)

    def test_level_unseen_in_fit_is_the_average_row(self):
        X = pd.DataFrame({"g": ["a", "b", "a"]})
        assert (encode(X, pd.DataFrame({"g": ["z", None]})) == 0).all()

    def test_rare_levels_are_pooled_with_unseen_ones_and_named(self):
        labels = [f"common{i}" for i in range(29) for _ in range(5)] + ["rare1", *["rare2"] * 4]
        X = pd.DataFrame({"g": labels})
        with pytest.warns(UserWarning, match=r"'g' has 31 levels, of which 2 .*'rare1', 'rare2'\."):
            encoded = named(X, pd.DataFrame({"g": ["rare1", "rare2", "unseen", "common3"]}))
        assert encoded.shape[1] == 30
        assert "g (other)" in encoded
        assert (encoded.iloc[0] == encoded.iloc[1]).all()
        assert (encoded.iloc[0] == encoded.iloc[2]).all()
        assert encoded.iloc[0].idxmax() == "g (other)"
        assert encoded.iloc[3].idxmax() == "g=common3"

    def test_thirty_levels_are_not_pooled(self):
        assert "g (other)" not in named(pd.DataFrame({"g": [f"l{i}" for i in range(30)]}))

    def test_more_than_thirty_levels_of_rows_enough_are_one_code_each(self):
        """Codes are left as they are, whatever is standardised beside them."""
        labels = [f"l{i:02}" for i in range(40) for _ in range(5)]
        X = pd.DataFrame({"g": labels, "x": np.arange(200.0)})
        given = pd.DataFrame({"g": ["l00", "l39", "l07", "unseen", None], "x": [1e9, 0, 0, 0, 0]})
        encoder = FeatureEncoder.fit(X)
        assert encoder.output_names == ["g", "x"]
        assert encoder.n_codes.tolist() == [40, 0]
        assert encoder.transform(given)[:, 0].tolist() == [0, 39, 7, 40, 40]

    def test_pooled_and_missing_have_codes_of_their_own(self):
        labels = [f"l{i:02}" for i in range(40) for _ in range(5)] + ["rare", None]
        with pytest.warns(UserWarning, match="'rare'"):
            encoder = FeatureEncoder.fit(pd.DataFrame({"g": labels}))
        given = pd.DataFrame({"g": ["rare", "unseen", None, "l39"]})
        assert encoder.n_codes.tolist() == [42]
        assert encoder.transform(given)[:, 0].tolist() == [40, 40, 41, 39]

    def test_an_identifier_leaves_no_label_behind(self):
        frame = pd.DataFrame({"id": [f"patient{i:05}" for i in range(5000)]})
        with pytest.warns(UserWarning, match="5000 levels, of which 5000"):
            encoder = FeatureEncoder.fit(frame)
        assert encoder.transform(frame).tolist() == [[0.0]] * 5000
        assert b"patient" not in pickle.dumps(encoder)
        assert len(pickle.dumps(encoder)) < 5000

    def test_rare_level_is_bounded(self):
        frame = pd.DataFrame({"g": ["rare"] + ["common"] * 9999})
        assert np.abs(encode(frame)).max() < 6

    def test_order_of_rows_and_unused_categories_do_not_matter(self):
        labels = [f"l{i % 40}" for i in range(200)]
        frame = pd.DataFrame({"g": pd.Categorical(labels, categories=[*sorted(set(labels)), "x"])})
        assert FeatureEncoder.fit(frame).output_names == (
            FeatureEncoder.fit(frame[::-1].astype(str)).output_names
        )

    def test_integer_categories_match_their_floats_and_strings(self):
        encoder = FeatureEncoder.fit(pd.DataFrame({"g": pd.Categorical([1, 2, 1])}))
        assert encoder.output_names == ["g=1", "g=2"]
        expected = encoder.transform(pd.DataFrame({"g": pd.Categorical([2, 1])}))
        for same in (pd.Categorical([2.0, 1.0]), ["2", "1"]):
            np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"g": same})), expected)

    def test_intervals_and_booleans_may_be_categories(self):
        binned = pd.DataFrame({"g": pd.cut(np.arange(10), 3)})
        assert encode(binned).shape == (10, 3)
        assert named(pd.DataFrame({"g": pd.Categorical([True, False])})).columns.tolist() == [
            "g=False",
            "g=True",
        ]

    def test_a_list_of_strings_and_numbers_is_read_column_by_column(self):
        encoder = FeatureEncoder.fit([[1, "a"], [2, "b"], [3, "a"]])
        assert encoder.output_names == ["x0", "x1=a", "x1=b"]

    def test_a_string_array_holds_levels(self):
        assert encode(np.array([["a"], ["b"]])).shape == (2, 2)


class TestColumns:
    def test_every_kind_at_once(self):
        encoder = FeatureEncoder.fit(mixed_frame())
        assert encoder.n_features_in_ == 10
        assert encoder.output_names[:2] == ["age", "age (missing)"]
        assert {"smoker", "insured (missing)", "site=north", "ward (missing)", "grade=2"} <= set(
            encoder.output_names
        )
        assert np.abs(encode(mixed_frame())).max() < 10

    @quick
    @given(st.permutations(list(mixed_frame())))
    def test_columns_are_matched_by_name(self, order):
        frame = mixed_frame()
        encoder = FeatureEncoder.fit(frame)
        np.testing.assert_array_equal(encoder.transform(frame[order]), encoder.transform(frame))

    def test_integer_names_are_matched_between_frames(self):
        frame = pd.DataFrame(np.random.default_rng(0).normal(size=(10, 3)))
        encoder = FeatureEncoder.fit(frame)
        assert encoder.feature_names_in_ is None
        np.testing.assert_array_equal(encoder.transform(frame[[2, 0, 1]]), encoder.transform(frame))
        np.testing.assert_array_equal(encoder.transform(frame.to_numpy()), encoder.transform(frame))

    def test_feature_names_are_set_for_string_names_only(self):
        frame = mixed_frame()
        names = FeatureEncoder.fit(frame).feature_names_in_
        assert isinstance(names, np.ndarray)
        assert names.dtype == object
        assert names.tolist() == list(frame)
        assert FeatureEncoder.fit(np.eye(3)).feature_names_in_ is None

    def test_fitting_again_gives_another_encoder_and_leaves_the_first(self):
        frame = mixed_frame()
        encoder = FeatureEncoder.fit(frame)
        before = encoder.transform(frame)
        other = encoder.fit(np.eye(3))
        assert other.feature_names_in_ is None
        assert other.transform(np.eye(3)).shape == (3, 3)
        np.testing.assert_array_equal(encoder.transform(frame), before)
        with pytest.raises(FrozenInstanceError):
            encoder.columns = ()

    def test_one_row_of_all_missing_values_needs_no_dtype(self):
        frame = mixed_frame()
        row = pd.DataFrame([[None] * frame.shape[1]], columns=frame.columns, dtype=object)
        for new in (row, row.astype(float)):
            encoded = named(frame, new).iloc[0]
            assert encoded[["age", "site=north", "site=south", "smoker"]].eq(0).all()
            assert encoded[["age (missing)", "ward (missing)"]].gt(0).all()

    def test_array_for_a_frame_and_frame_for_an_array_warn(self):
        X = np.random.default_rng(0).normal(size=(10, 2))
        frame = pd.DataFrame(X, columns=["a", "b"])
        by_name, by_position = FeatureEncoder.fit(frame), FeatureEncoder.fit(X)
        with pytest.warns(UserWarning, match="X does not have valid feature names") as caught:
            encoded = by_name.transform(X)
        assert caught[0].filename == __file__
        np.testing.assert_array_equal(encoded, by_position.transform(X))
        with pytest.warns(UserWarning, match="X has feature names, but HyperCATE was fitted with"):
            np.testing.assert_array_equal(by_position.transform(frame), encoded)

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
    def test_copies_encode_alike(self, copied):
        frame = mixed_frame()
        encoder = FeatureEncoder.fit(frame)
        np.testing.assert_array_equal(copied(encoder).transform(frame), encoder.transform(frame))

    def test_no_rows_are_kept(self):
        sizes = [len(pickle.dumps(FeatureEncoder.fit(mixed_frame(n)))) for n in (100, 10_000)]
        assert sizes[1] < sizes[0] + 100


class TestBadCovariates:
    @pytest.mark.parametrize(
        ("X", "error", "message"),
        [
            (np.zeros((0, 3)), ValueError, r"0 sample\(s\)"),
            (np.zeros((12, 0)), ValueError, r"0 feature\(s\) \(shape=\(12, 0\)\) while a minimum"),
            (pd.DataFrame({"a": []}), ValueError, "X is empty: 0 rows and 1 columns"),
            (pd.DataFrame(index=range(3)), ValueError, "X is empty: 3 rows and 0 columns"),
            (np.zeros(4), ValueError, "Reshape your data"),
            (pd.Series([1.0, 2.0], name="a"), ValueError, "2-dimensional container"),
            (np.zeros((2, 2, 2)), ValueError, "dim 3"),
            (None, ValueError, "Expected 2D array"),
            (
                [[1, 2], [3]],
                ValueError,
                "X cannot be converted to an array, do its rows differ in length",
            ),
            (scipy.sparse.csr_array(np.eye(3)), TypeError, r"[Ss]parse.*toarray\(\)"),
            (np.ma.masked_array(np.eye(2), mask=np.eye(2, dtype=bool)), TypeError, "masked array"),
            (np.eye(2) + 1j, ValueError, "Complex data not supported"),
            (pd.DataFrame({"a": [1j]}), ValueError, "Complex data not supported: column 'a'"),
            ([[1.0, 2.0], [1.0, np.inf]], ValueError, r"'x1' is infinite \(inf\) in row 1 "),
            ([[-np.inf], [0]], ValueError, "'x0' is infinite"),
            (pd.DataFrame({"a": [1.0, None, -np.inf]}, dtype="Float64"), ValueError, "'a'.*row 2"),
            (np.array([[1], [np.inf]], dtype=object), ValueError, "'x0' is infinite"),
            (np.array([[10**400], [1]], dtype=object), ValueError, "'x0'.*too large"),
            (pd.DataFrame({"when": pd.to_datetime(["2020-01-01"])}), TypeError, "'when'.*dates"),
            (
                pd.DataFrame({"when": pd.to_datetime(["2020-01-01"]).tz_localize("UTC")}),
                TypeError,
                "'when'.*dates",
            ),
            (pd.DataFrame({"wait": pd.to_timedelta([1], "s")}), TypeError, "'wait'.*durations"),
            (pd.DataFrame({"when": [date(2020, 1, 1)]}), TypeError, "'when' holds date"),
            (pd.DataFrame({"p": pd.period_range("2020", periods=2)}), TypeError, "holds Period"),
            (pd.DataFrame({"a": [b"x", b"y"]}), TypeError, "'a' holds bytes"),
            (pd.DataFrame({"a": [[1], [2]]}), TypeError, "'a' holds list"),
            (
                np.array([[1.0], [{"foo": "bar"}]], dtype=object),
                TypeError,
                r"float \(first in row 0\) and dict \(first in row 1\).* argument must be a string "
                "or a real number",
            ),
            (
                pd.DataFrame({"a": [None, 1, "b"]}, dtype=object),
                TypeError,
                r"'a' holds int \(first in row 1\) and str \(first in row 2\)",
            ),
            ([[1, "a"], ["b", "c"]], TypeError, "'x0' holds int"),
            (
                pd.DataFrame({"a": [None, None]}, dtype=object),
                ValueError,
                "'a' is missing in every",
            ),
            (
                pd.DataFrame({"a": [np.nan]}),
                ValueError,
                "'a' is missing in every row: leave it out",
            ),
            (pd.DataFrame({"a": pd.Categorical([None])}), ValueError, "'a' is missing in every"),
            (pd.DataFrame({"a": pd.array([None], dtype="string")}), ValueError, "'a' is missing"),
            (pd.DataFrame(np.eye(2), columns=["a", "a"]), ValueError, "more than one.*'a'"),
            (pd.DataFrame(np.eye(2), columns=["a", 1]), TypeError, r"columns\.astype\(str\)"),
        ],
    )
    def test_refused_in_fit(self, X, error, message):
        with pytest.raises(error, match=message):
            FeatureEncoder.fit(X)

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            (lambda f: f.drop(columns="age"), ValueError, "yet now missing:\n- age\n$"),
            (lambda f: f.assign(new=1), ValueError, "unseen at fit time:\n- new\n$"),
            (lambda f: f.rename(columns=str.upper), ValueError, "- AGE\n(.*\n){4}- ...\nFeature"),
            (lambda f: f[[*f, "age"]], ValueError, "more than one column named 'age'"),
            (lambda f: f[:0], ValueError, "X is empty"),
            (lambda f: f.assign(age="old"), TypeError, "'age' was numeric in fit"),
            (lambda f: f.assign(age=f["site"]), TypeError, "'age' was numeric in fit"),
            (lambda f: f.assign(site=1.0), TypeError, "'site' held strings or categories in fit"),
            (lambda f: f.assign(grade=1), TypeError, "'grade' held strings or categories"),
            (lambda f: f.assign(age=np.inf), ValueError, "'age' is infinite.*and 55 more"),
        ],
    )
    def test_refused_in_transform(self, change, error, message):
        frame = mixed_frame()
        with pytest.raises(error, match=message):
            FeatureEncoder.fit(frame).transform(change(frame))

    def test_wrong_number_of_features(self):
        encoder = FeatureEncoder.fit(np.eye(4))
        message = "X has 3 features, but HyperCATE is expecting 4 features as input"
        with pytest.raises(ValueError, match=message):
            encoder.transform(np.eye(3))
        with pytest.raises(ValueError, match="Reshape your data"):
            encoder.transform(np.zeros(4))


class TestConditions:
    @pytest.mark.parametrize(
        ("treatment", "arms"),
        [
            ([1, 0, 2, 1], [0, 1, 2]),
            ([1.0, 0.0, 1.0], [0, 1]),
            ([True, False, True], [False, True]),
            (["b", "a"], ["a", "b"]),
            (np.array(["b", "a"], dtype=object), ["a", "b"]),
            (pd.Series([3, 1], index=[5, 9]), [1, 3]),
            (pd.Series([3, 1], dtype="Int64"), [1, 3]),
            (pd.Series([True, False], dtype="boolean"), [False, True]),
            (pd.Series(["b", "a"], dtype="string"), ["a", "b"]),
            (pd.Categorical(["b", "a"], categories=["b", "a", "unused"]), ["a", "b"]),
            (pd.Series([2, 1], dtype="category"), [1, 2]),
            (pd.Index(["b", "a"]), ["a", "b"]),
        ],
    )
    def test_labels_are_in_sorted_order(self, treatment, arms):
        conditions = Conditions.fit(treatment)
        assert conditions.labels.tolist() == arms
        assert [type(arm) for arm in conditions.labels.tolist()] == [type(arm) for arm in arms]
        positions = conditions.positions(treatment)
        assert positions.dtype == np.int64
        assert conditions.labels[positions].tolist() == list(treatment)

    @quick
    @given(st.lists(st.sampled_from("abcd"), min_size=2).filter(lambda x: len(set(x)) > 1))
    def test_control_comes_first_and_the_others_sorted(self, treatment):
        for control in set(treatment):
            conditions = Conditions.fit(treatment, control)
            assert conditions.labels.tolist() == [control, *sorted(set(treatment) - {control})]
            assert conditions.labels[conditions.positions(treatment)].tolist() == treatment
            known = list(map(conditions.position, conditions.labels))
            assert known == list(range(len(known)))

    def test_rows_of_one_arm_have_positions(self):
        conditions = Conditions.fit(["drug", "none"], control="none")
        assert conditions.positions(["drug", "drug"]).tolist() == [1, 1]
        assert conditions.positions(pd.Series(["none"])).tolist() == [0]

    def test_numbers_match_by_value(self):
        conditions = Conditions.fit([0, 1])
        assert conditions.position(True) == conditions.position(np.float64(1)) == 1
        assert conditions.positions([False, True]).tolist() == [0, 1]

    def test_many_arms_need_many_rows(self):
        labels = np.repeat(np.arange(150), 100)
        assert len(Conditions.fit(labels).labels) == 150
        with pytest.raises(ValueError, match="150 arms in 14900 rows, so it looks continuous"):
            Conditions.fit(np.delete(labels, slice(0, -1, 150))[:14900])

    @pytest.mark.parametrize(
        ("treatment", "error", "message"),
        [
            (np.zeros((5, 1)), ValueError, r"shape \(5, 1\).*treatment\[:, 0\]"),
            (pd.DataFrame({"t": [0, 1], "u": [0, 1]}), ValueError, r"the column of a DataFrame"),
            (3, ValueError, "treatment should be a 1d array"),
            (None, ValueError, "treatment should be a 1d array"),
            ([], ValueError, "at least two arms"),
            ([1, 1, 1], ValueError, r"the arms \[1\].*at least two arms"),
            ([0, None, 1, np.nan], ValueError, "treatment is missing .* in rows 1, 3 "),
            (["a", None, "b"], ValueError, "in row 1 "),
            (pd.Series([0, pd.NA], dtype="Int64"), ValueError, "in row 1 "),
            (pd.Categorical(["a", None, "b"]), ValueError, "in row 1 "),
            ([0.5, 1.0, 0.0], ValueError, "looks continuous: .* row 0 "),
            ([0.0, np.inf], ValueError, "looks continuous: .* row 1 "),
            ([0.0, 1e300], ValueError, "looks continuous"),
            (list(range(101)), ValueError, "101 arms in 101 rows, so it looks continuous"),
            ([f"{i}" for i in range(101)], ValueError, "101 arms in 101 rows"),
            ([1, "a", 1], TypeError, r"int \(first in row 0\) and str \(first in row 1\)"),
            ([1j, 0], TypeError, "treatment holds complex"),
            (pd.to_datetime(["2020", "2021"]), TypeError, "treatment holds Timestamp"),
            (np.array([b"a", b"b"]), TypeError, "treatment holds bytes"),
        ],
    )
    def test_refused(self, treatment, error, message):
        with pytest.raises(error, match=message):
            Conditions.fit(treatment)

    @pytest.mark.parametrize("label", ["z", 0, None, float("nan"), ["a"]])
    def test_unknown_labels_are_refused(self, label):
        conditions = Conditions.fit(["a", "b"])
        with pytest.raises(ValueError, match=r"is not an arm: the arms are \['a', 'b'\]"):
            conditions.position(label)

    def test_unknown_control_and_unknown_labels_of_rows_are_refused(self):
        with pytest.raises(ValueError, match=r"'placebo' is not an arm: the arms are \['a', 'b'\]"):
            Conditions.fit(["a", "b"], control="placebo")
        conditions = Conditions.fit(["a", "b"])
        with pytest.raises(ValueError, match=r"unknown labels 'c' in row 1 .* 'a', 'b'"):
            conditions.positions(["a", "c"])
        with pytest.raises(ValueError, match="unknown labels 0, 1 in rows 0, 1 "):
            conditions.positions([0, 1])

    @quick
    @given(st.lists(st.sampled_from("abcd"), min_size=2).filter(lambda x: len(set(x)) > 1))
    def test_the_canonical_order_is_that_of_the_rows_whatever_the_names_and_the_control(self, rows):
        in_order = sorted(set(rows), key=rows.index)
        expected = [in_order.index(label) for label in rows]
        renamed = [{"a": "z", "b": "k", "c": "a", "d": "m"}[label] for label in rows]
        for labels in (rows, renamed):
            for control in (None, *set(labels)):
                conditions = Conditions.fit(labels, control)
                positions = conditions.positions(labels)
                in_fit = conditions.in_order_of(positions)
                assert in_fit.place[positions].tolist() == expected
                np.testing.assert_array_equal(in_fit.labels, conditions.labels)
                np.testing.assert_array_equal(in_fit.position_of(np.array(expected)), positions)
                assert [in_fit.position(label) for label in labels] == positions.tolist()

    def test_without_rows_the_canonical_order_is_that_of_the_labels(self):
        assert Conditions.fit(["b", "c", "a"], control="b").place.tolist() == [0, 1, 2]

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
    def test_copies_answer_alike(self, copied):
        conditions = Conditions.fit(["a", "b", "c"] * 1000, control="b")
        assert copied(conditions).positions(["c", "b"]).tolist() == [2, 0]
        assert len(pickle.dumps(conditions)) < 1000


class TestRowsAndWeights:
    def test_equal_lengths_pass(self):
        check_rows(2, y=[1, 2], treatment=pd.Series([0, 1]), sample_weight=None, z=np.ones((2, 1)))

    @pytest.mark.parametrize("vector", [[1, 2, 3], np.ones(3), pd.Series([1, 2, 3]), ()])
    def test_the_offending_argument_is_named(self, vector):
        with pytest.raises(ValueError, match=f"treatment has {len(vector)} rows, but X has 2"):
            check_rows(2, y=[1, 2], treatment=vector)

    @pytest.mark.parametrize("vector", [3, "ab", np.array(1.0)])
    def test_a_single_value_is_no_vector(self, vector):
        with pytest.raises(TypeError, match="y must have one value for each row"):
            check_rows(2, y=vector)

    def test_no_weights_are_ones(self):
        assert check_sample_weight(None, 3).tolist() == [1.0, 1.0, 1.0]

    @pytest.mark.parametrize(
        "weights", [[1, 0, 2], np.array([1, 0, 2]), pd.Series([1, 0, 2], dtype="Int64")]
    )
    def test_weights_are_floats(self, weights):
        checked = check_sample_weight(weights, 3)
        assert checked.dtype == np.float64
        assert checked.tolist() == [1, 0, 2]

    @pytest.mark.parametrize(
        ("weights", "error", "message"),
        [
            ([1, -1, 2], ValueError, "sample_weight is negative in row 1 "),
            ([1, np.nan, 2], ValueError, "sample_weight is missing .* in row 1 "),
            ([1, 2, np.inf], ValueError, r"sample_weight is infinite \(inf\) in row 2 "),
            ([0, 0, 0], ValueError, "sample_weight is zero in every row"),
            ([1, 2], ValueError, "sample_weight has 2 rows, but X has 3"),
            (np.ones((3, 1)), ValueError, "sample_weight should be a 1d array"),
            (2.0, TypeError, "sample_weight must have one value for each row"),
            (["a", "b", "c"], TypeError, "must hold numbers, but row 0 holds 'a'"),
            ([1, 2, "c"], TypeError, r"str \(first in row 2\)"),
        ],
    )
    def test_refused(self, weights, error, message):
        with pytest.raises(error, match=message):
            check_sample_weight(weights, 3)


def test_nothing_warns_under_the_strictest_numpy_settings():
    X = np.array([[1e300, 1e-320, 1e12], [-1e300, 0.0, 1e12 + 1], [np.nan, 1.0, 1e12 + 2]])
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        encode(X)
