"""Unusual input is taken for what it is, to the bit, or refused in words that say what to do.

Each case changes some arguments of a small study. Those that are taken are compared with the same
values in their plainest form.
"""

import enum
from datetime import date, time
from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.exceptions import DataConversionWarning

from hypercate import HyperCATE, overlap_report
from hypercate.encoding import Conditions

N = 40
ROWS = np.arange(N)
RNG = np.random.default_rng(0)
A = RNG.normal(size=(N, 2))
Y = RNG.normal(size=N)
T = RNG.integers(2, size=N)
NAMES = np.array(["a", "b"])[T]
BINARY = (Y > 0).astype(int)
SITE = np.array(["u", "v"])[ROWS % 2]
FRAME = pd.DataFrame(A, columns=["age", "dose"])


class Text(str, enum.Enum):  # noqa: UP042  its str() is not its value
    A = "a"
    B = "b"


class Newer(enum.StrEnum):
    A = "a"
    B = "b"


class Number(enum.IntEnum):
    A = 0
    B = 1


class Opaque(enum.Enum):
    A = "a"
    B = "b"


def tiny(**parameters):
    defaults = {"n_members": 2, "max_epochs": 2, "outcome_hidden": (4,), "sharing": "moderate"}
    return HyperCATE(**{**defaults, "inputs": "raw", "random_state": 0, **parameters})


def study(**changes):
    return {"X": A, "y": Y, "treatment": T, **changes}


def with_value(values, row, value):
    values = np.array(values, dtype=object)
    values[row] = value
    return values


def holed(values):
    return [None if row % 7 == 3 else value for row, value in enumerate(values.tolist())]


def wide():
    rows = np.zeros((2 * N, 4))
    rows[::2, ::2] = A
    return rows[::2, ::2]


def read_only():
    rows = A.copy()
    rows.setflags(write=False)
    return rows


def in_enum(kind, codes=T):
    members = list(kind)
    return [members[code] for code in codes]


def in_pyarrow(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


WHOLE = FRAME.assign(age=np.where(ROWS % 7 == 3, np.nan, ROWS % 5))
PLAIN = {
    "study": {},
    "frame": {"X": FRAME},
    "half": {"X": A.astype(np.float16).astype(float)},
    "half y": {"y": Y.astype(np.float16).astype(float)},
    "whole": {"X": WHOLE},
    "site": {"X": FRAME.assign(site=SITE)},
    "site with holes": {"X": FRAME.assign(site=pd.Series(holed(SITE), dtype=object))},
    "codes": {"X": FRAME.assign(code=pd.Categorical(ROWS % 3))},
    "flag": {"X": FRAME.assign(flag=(ROWS % 2).astype(float))},
    "halves": {"X": FRAME.assign(part=(ROWS % 2) + 0.5)},
    "names": {"treatment": NAMES},
    "names and text": {"treatment": NAMES, "y": np.array(["no", "yes"])[BINARY]},
    "binary": {"y": BINARY},
    "weights": {"sample_weight": (ROWS % 3 + 1.0)},
    "some weights": {"sample_weight": (ROWS % 4 > 0).astype(float)},
    "groups": {"groups": ROWS % 8},
}
"""The plainest form of each study."""

TAKEN = {
    # arrays
    "float16 X": ("half", {"X": A.astype(np.float16)}),
    "long double X": ("study", {"X": A.astype(np.longdouble)}),
    "big-endian X": ("study", {"X": A.astype(">f8")}),
    "read-only X": ("study", {"X": read_only()}),
    "Fortran X": ("study", {"X": np.asfortranarray(A)}),
    "strided X": ("study", {"X": wide()}),
    "numpy matrix": ("study", {"X": np.asmatrix(A)}),
    "object X of numpy scalars": ("study", {"X": np.array([[*row] for row in A], dtype=object)}),
    "X as lists": ("study", {"X": A.tolist()}),
    "torch X": (
        "study",
        {"X": torch.tensor(A), "y": torch.tensor(Y), "treatment": torch.tensor(T)},
    ),
    # frames
    "integer names": ("study", {"X": pd.DataFrame(A)}),
    "pairs as names": (
        "study",
        {"X": pd.DataFrame(A, columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))},
    ),
    "names with blanks": ("study", {"X": FRAME.set_axis([" age", "age "], axis=1)}),
    "an empty name": ("study", {"X": FRAME.set_axis(["", "age"], axis=1)}),
    "a repeated index": ("frame", {"X": FRAME.set_axis([7] * N)}),
    "dates as index": ("frame", {"X": FRAME.set_axis(pd.date_range("2020", periods=N, tz="UTC"))}),
    "a sparse frame": (
        "whole",
        {"X": WHOLE.assign(age=pd.arrays.SparseArray(WHOLE["age"], fill_value=0.0))},
    ),
    "nullable integers": ("whole", {"X": WHOLE.astype({"age": "Int8"})}),
    "nullable floats": ("whole", {"X": WHOLE.astype({"age": "Float32", "dose": "Float64"})}),
    "integers of pyarrow": ("whole", {"X": WHOLE.astype({"age": "int64[pyarrow]"})}),
    "decimals": (
        "whole",
        {"X": WHOLE.assign(age=[Decimal(int(v)) if v == v else None for v in WHOLE["age"]])},
    ),
    "decimals of pyarrow": (
        "whole",
        {
            "X": WHOLE.assign(
                age=in_pyarrow(
                    [Decimal(int(v)) if v == v else None for v in WHOLE["age"]],
                    pa.decimal128(5, 2),
                )
            )
        },
    ),
    "numbers as objects": ("whole", {"X": WHOLE.astype({"age": object})}),
    "integers with nulls of polars": (
        "whole",
        {"X": pl.from_pandas(WHOLE).with_columns(pl.col("age").fill_nan(None).cast(pl.Int16))},
    ),
    "half floats of pyarrow": (
        "whole",
        {
            "X": pa.table(
                {
                    "age": pa.array(WHOLE["age"].to_numpy(np.float16), from_pandas=True),
                    "dose": WHOLE["dose"].to_numpy(),
                }
            )
        },
    ),
    "booleans": ("flag", {"X": FRAME.assign(flag=ROWS % 2 == 1)}),
    "nullable booleans": (
        "flag",
        {"X": FRAME.assign(flag=pd.array(ROWS % 2 == 1, dtype="boolean"))},
    ),
    "booleans of pyarrow": (
        "flag",
        {"X": FRAME.assign(flag=in_pyarrow((ROWS % 2 == 1).tolist(), pa.bool_()))},
    ),
    "integers of an enumeration": (
        "flag",
        {"X": FRAME.assign(flag=in_enum(Number, ROWS % 2))},
    ),
    "fractions": (
        "halves",
        {"X": FRAME.assign(part=[Fraction(1, 2) + int(row % 2) for row in ROWS])},
    ),
    "python strings": ("site", {"X": FRAME.assign(site=SITE.astype(object))}),
    "nullable strings": ("site", {"X": FRAME.assign(site=pd.array(SITE, dtype="string"))}),
    "strings of pyarrow": (
        "site with holes",
        {"X": FRAME.assign(site=in_pyarrow(holed(SITE), pa.string()))},
    ),
    "a dictionary of pyarrow": (
        "site with holes",
        {"X": FRAME.assign(site=in_pyarrow(holed(SITE), pa.dictionary(pa.int32(), pa.string())))},
    ),
    "a dictionary of numbers": (
        "codes",
        {
            "X": FRAME.assign(
                code=in_pyarrow((ROWS % 3).tolist(), pa.dictionary(pa.int32(), pa.int64()))
            )
        },
    ),
    "levels that never occur": (
        "site",
        {"X": FRAME.assign(site=pd.Categorical(SITE, ["w", "v", "u"], ordered=True))},
    ),
    "strings of an array": (
        "site",
        {"X": FRAME.assign(site=SITE.astype(object)).astype(object)},
    ),
    # y
    "float16 y": ("half y", {"y": Y.astype(np.float16)}),
    "y as a column of a frame": ("study", {"y": pd.DataFrame({"y": Y})}),
    "y as a frame of polars": ("study", {"y": pl.DataFrame({"y": Y})}),
    "y of decimals": ("study", {"y": [Decimal(value) for value in Y.tolist()]}),
    "nullable y": ("study", {"y": pd.Series(Y, dtype="Float64")}),
    "y of pyarrow": ("study", {"y": in_pyarrow(Y, pa.float64())}),
    "strided y": ("study", {"y": np.repeat(Y, 3)[::3]}),
    "nullable boolean y": ("binary", {"y": pd.array(BINARY == 1, dtype="boolean")}),
    "float binary y": ("binary", {"y": BINARY.astype(np.float32)}),
    "text for y and arms": (
        "names and text",
        {"y": pd.Categorical(np.array(["no", "yes"])[BINARY], ["yes", "no"]), "treatment": NAMES},
    ),
    # treatment
    "float arms": ("study", {"treatment": T.astype(float)}),
    "float arms with -0": ("study", {"treatment": np.where(T, 1.0, -0.0)}),
    "unsigned arms": ("study", {"treatment": T.astype(np.uint64)}),
    "nullable arms": ("study", {"treatment": pd.array(T, dtype="Int64")}),
    "arms of an enumeration of integers": ("study", {"treatment": in_enum(Number)}),
    "arms as a column of a frame": ("study", {"treatment": pd.DataFrame({"arm": T})}),
    "arms as a table": ("study", {"treatment": pa.table({"arm": T})}),
    "categories of integers": ("study", {"treatment": pd.Categorical(T, [5, 1, 0])}),
    "arms that never occur": ("names", {"treatment": pd.Categorical(NAMES, ["z", "b", "a"])}),
    "arms of an enumeration of text": ("names", {"treatment": in_enum(Text)}),
    "arms of a string enumeration": ("names", {"treatment": in_enum(Newer)}),
    "arms as objects": ("names", {"treatment": np.array([*NAMES], dtype=object)}),
    "arms of pyarrow": ("names", {"treatment": in_pyarrow(NAMES.tolist(), pa.large_string())}),
    # weights and groups
    "weights beyond squares": ("weights", {"sample_weight": (ROWS % 3 + 1.0) * 2.0**1020}),
    "weights below squares": ("weights", {"sample_weight": (ROWS % 3 + 1.0) * 2.0**-1000}),
    "integer weights": ("weights", {"sample_weight": ROWS % 3 + 1}),
    "weights as a column": ("weights", {"sample_weight": pd.DataFrame({"w": ROWS % 3 + 1})}),
    "boolean weights": ("some weights", {"sample_weight": ROWS % 4 > 0}),
    "weights with -0": ("some weights", {"sample_weight": np.where(ROWS % 4, 1.0, -0.0)}),
    "groups that never occur": ("groups", {"groups": pd.Categorical(ROWS % 8, range(99))}),
    "groups as a column": ("groups", {"groups": pd.DataFrame({"school": ROWS % 8})}),
    "groups of polars": ("groups", {"groups": pl.Series(ROWS % 8)}),
    "groups as text, one empty": ("groups", {"groups": ["", *"abcdefg"] * 5}),
}
ONE_ARM_FEW = np.where(ROWS == 5, 2, T)
ORDER = r"the order of arguments is fit\(X, y, treatment\), unlike that of EconML"
REFUSED = {
    # containers
    "a generator as X": ({"X": (row for row in A)}, TypeError, "X is a generator.*pass an array"),
    "a dict as X": ({"X": {"age": A[:, 0]}}, TypeError, "X is a dict, .* pass an array, .*frame"),
    "a scalar as X": (
        {"X": np.array(3.0)},
        ValueError,
        r"got scalar array instead: X has shape \(",
    ),
    "a vector as X": ({"X": A[:, 0]}, ValueError, r"X has shape \(40,\)\. Reshape your data"),
    "a Series as X": ({"X": FRAME["age"]}, ValueError, r"a Series of shape .* X\.to_frame\(\)"),
    "a structured array": (
        {"X": FRAME.to_records(index=False)},
        TypeError,
        r"X is a structured array: pass pandas\.DataFrame\(X\)",
    ),
    "a tensor with gradients": (
        {"X": torch.tensor(A, requires_grad=True)},
        TypeError,
        r"X cannot be converted to an array.*detach\(\)",
    ),
    "a lazy frame": ({"X": pl.LazyFrame({"a": Y})}, TypeError, r"collect it first.*X\.collect\(\)"),
    "a lazy y": ({"y": pl.LazyFrame({"y": Y})}, TypeError, r"y is a polars LazyFrame.*y\.collect"),
    "a generator as y": ({"y": (value for value in Y)}, TypeError, "y is a generator.* no rows"),
    "a dict as y": ({"y": dict(enumerate(Y))}, TypeError, "y is a dict.*pass an array"),
    "a set as treatment": ({"treatment": {0, 1}}, TypeError, "treatment is a set.*pass an array"),
    "a dict as weights": (
        {"sample_weight": dict.fromkeys(range(N), 1)},
        TypeError,
        "sample_weight is a dict.*pass an array",
    ),
    "a generator as groups": (
        {"groups": (row for row in ROWS)},
        TypeError,
        "groups is a generator",
    ),
    # names of columns
    "a column named None": (
        {"X": FRAME.set_axis(["age", None], axis=1)},
        ValueError,
        r"a column without a name, .*, in position 1 \(counted from 0\): give it a name",
    ),
    "a column named NaN": (
        {"X": FRAME.set_axis([np.nan, 1.0], axis=1)},
        ValueError,
        r"without a name, nan, in position 0 \(counted from 0\): give it a name in X\.columns",
    ),
    "names alike as text": (
        {"X": FRAME.set_axis([1, "1"], axis=1)},
        TypeError,
        r"are strings and some are not.*X\.columns\.astype\(str\)",
    ),
    "repeated pairs": (
        {"X": pd.DataFrame(A, columns=pd.MultiIndex.from_tuples([("a", "x")] * 2))},
        ValueError,
        r"more than one column named \('a', 'x'\): rename or drop one",
    ),
    # columns
    "bytes in X": ({"X": FRAME.assign(a=b"x")}, TypeError, "column 'a' holds bytes.*convert it"),
    "an array of bytes": (
        {"X": np.full((N, 1), b"x")},
        TypeError,
        "column 'x0' holds bytes.*convert it",
    ),
    "an array of dates": (
        {"X": np.full((N, 1), np.datetime64("2020-01-01"))},
        TypeError,
        "column 'x0' holds datetime64.*turn dates and durations into numbers",
    ),
    "dates with a zone": (
        {"X": FRAME.assign(when=pd.date_range("2020", periods=N, tz="UTC"))},
        TypeError,
        "column 'when' holds .*UTC.*: turn dates and durations into numbers",
    ),
    "dates of pyarrow": (
        {"X": FRAME.assign(when=in_pyarrow([date(2020, 1, 1)] * N, pa.date32()))},
        TypeError,
        "column 'when' holds date32.*: turn dates and durations into numbers",
    ),
    "times of day": (
        {"X": FRAME.assign(when=in_pyarrow([time(1)] * N, pa.time32("s")))},
        TypeError,
        r"column 'when' holds time \(first in row 0\).*convert it",
    ),
    "periods": (
        {"X": FRAME.assign(when=pd.period_range("2020", periods=N))},
        TypeError,
        r"column 'when' holds Period \(first in row 0\).*convert it",
    ),
    "an opaque enumeration in X": (
        {"X": FRAME.assign(kind=in_enum(Opaque))},
        TypeError,
        r"column 'kind' holds Opaque \(first in row 0\).*convert it, or leave it out",
    ),
    "nulls only": (
        {"X": FRAME.assign(a=in_pyarrow([None] * N, pa.null()))},
        ValueError,
        "column 'a' is missing in every row: leave it out",
    ),
    "infinity in polars": (
        {"X": pl.DataFrame({"a": [1.0, np.inf] * 20})},
        ValueError,
        "column 'a' is infinite .*rows 1, 3, 5.*correct the value",
    ),
    # y
    "bytes as y": ({"y": [b"a", b"b"] * 20}, TypeError, r"y holds bytes.*y\.astype\(str\)"),
    "durations as y": (
        {"y": pd.timedelta_range("1D", periods=N)},
        TypeError,
        "y holds Timedelta .*all real numbers",
    ),
    "y beyond floats": (
        {"y": with_value(Y, 0, 10**400)},
        ValueError,
        "y holds a number too large for float64",
    ),
    "y of one string": ({"y": ["a"] * N}, ValueError, "two distinct values, but y has 1: 'a'"),
    "a single y": ({"y": np.array(1.0)}, TypeError, "y must have one value for each row of X"),
    "y of two columns of one name": (
        {"y": pd.DataFrame(np.column_stack([Y, Y]), columns=["y", "y"])},
        ValueError,
        "y has more than one column named 'y'",
    ),
    # treatment
    "one arm": ({"treatment": np.zeros(N)}, ValueError, r"arms \[0\].* at least two arms"),
    "arms 1 and '1'": (
        {"treatment": with_value(T, 3, "1")},
        TypeError,
        r"str \(first in row 3\): make its values all strings .*treatment\.astype\(str\)",
    ),
    "bytes as arms": (
        {"treatment": NAMES.astype("S")},
        TypeError,
        r"treatment holds bytes.*treatment\.astype\(str\)",
    ),
    "an opaque enumeration as arms": (
        {"treatment": in_enum(Opaque)},
        TypeError,
        "treatment holds Opaque .*make its values all strings",
    ),
    "intervals as arms": (
        {"treatment": pd.cut(A[:, 0], 2)},
        TypeError,
        r"treatment holds Interval .*treatment\.astype\(str\)",
    ),
    "complex arms": ({"treatment": T + 0j}, TypeError, "treatment holds complex128 .*real numbers"),
    "arms that end in NUL": (
        {"treatment": ["a", "a\0"] * 20},
        ValueError,
        "treatment ends in a NUL character in rows 1, 3, .*: remove it",
    ),
    "arms of broken text": (
        {"treatment": ["a", "\ud800"] * 20},
        ValueError,
        "treatment is not valid Unicode in rows 1, 3, .*: decode it again, or drop them",
    ),
    "an arm of one row": (
        {"treatment": ONE_ARM_FEW},
        ValueError,
        "arm 2 has 1 row.* at least 2.*: drop the arm or merge it with another$",
    ),
    "a column vector of arms": ({"treatment": T[:, None]}, ValueError, r"pass treatment\[:, 0\]"),
    # weights
    "a small negative weight": (
        {"sample_weight": np.where(ROWS == 3, -1e-300, 1.0)},
        ValueError,
        "sample_weight is negative in row 3 .*0 or more",
    ),
    "weights of -0": ({"sample_weight": np.full(N, -0.0)}, ValueError, "zero in every row"),
    "weights apart beyond floats": (
        {"sample_weight": np.where(ROWS == 3, 1e-200, 1e200)},
        ValueError,
        r"too small compared with the largest, 1e\+200, in row 3 .*set these to 0",
    ),
    "a missing weight of polars": (
        {"sample_weight": pl.Series(holed(np.ones(N)))},
        ValueError,
        "sample_weight is missing .* rows 3, 10, 17, 24, 31 .*complete these rows",
    ),
    "a column vector of weights": (
        {"sample_weight": np.ones((N, 1))},
        ValueError,
        r"sample_weight should be a 1d array, got an array of shape \(40, 1\)",
    ),
    # groups
    "no groups": ({"groups": []}, ValueError, "groups has 0 rows, but X has 40: pass one value"),
    "two groups": ({"groups": T == 1}, ValueError, r"groups has 2 group\(s\).* pass finer groups"),
    "dates as groups": (
        {"groups": [date(2020, 1, 1)] * N},
        TypeError,
        r"groups holds date .*groups\.astype\(str\)",
    ),
    "pairs as groups": ({"groups": [(1, 2)] * N}, ValueError, r"groups should be a 1d .*\(40, 2\)"),
    # arguments in the order of other libraries
    "EconML": ({"X": Y, "y": T, "treatment": A}, ValueError, rf"X has one dim.*treatment.*{ORDER}"),
    "EconML with a frame": ({"X": Y, "y": T, "treatment": FRAME}, ValueError, ORDER),
    "EconML with polars": (
        {"X": pl.Series(Y), "y": T, "treatment": pl.from_pandas(FRAME)},
        ValueError,
        ORDER,
    ),
    "EconML with a column": ({"X": Y, "y": A, "treatment": T}, ValueError, rf"y has two: {ORDER}"),
    "CausalML": ({"y": T, "treatment": Y}, ValueError, rf"looks continuous.*{ORDER}"),
    "CausalML with names": (
        {"y": NAMES, "treatment": Y},
        ValueError,
        rf"looks continuous.*{ORDER}",
    ),
    "CausalML with counts": (
        {"y": NAMES, "treatment": ROWS % 30},
        ValueError,
        rf"y holds strings, 'a', 'b', and treatment holds 30 distinct numbers.*{ORDER}.*as strings",
    ),
    "CausalML with rare counts": (
        {"y": T, "treatment": ROWS % 30},
        ValueError,
        rf"arm 10 has 1 row.*merge it with another\. If these are outcomes: {ORDER}",
    ),
    "arms as y": (
        {"y": np.array(["a", "b", "c"])[ROWS % 3]},
        ValueError,
        "y has 3: 'a', 'b', 'c'; labels of arms belong in treatment",
    ),
}


@cache
def plain(name):
    given = study(**PLAIN[name])
    return tiny().fit(**given), given["X"]


@pytest.mark.parametrize("case", TAKEN)
def test_taken_as_the_same_values_in_plain_form(case):
    name, changes = TAKEN[case]
    expected, plain_x = plain(name)
    given = study(**{**PLAIN[name], **changes})
    est = tiny().fit(**given)
    assert est.arms_.tolist() == expected.arms_.tolist()
    assert est.outcome_ == expected.outcome_
    np.testing.assert_array_equal(est.predict(given["X"]), expected.predict(plain_x))
    np.testing.assert_array_equal(est.ate_interval(), expected.ate_interval())


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_place_and_the_remedy(case):
    changes, error, message = REFUSED[case]
    est = tiny()
    with pytest.raises(error, match=f"(?s){message}") as caught:
        est.fit(**study(**changes))
    assert not hasattr(est, "fitted_")
    assert "array(" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_there_are_many_cases():
    assert len(TAKEN) + len(REFUSED) > 120


class TestMore:
    def test_a_constant_outcome_has_no_effect(self):
        est = tiny(max_epochs=60).fit(A, np.full(N, 3.0), T)
        assert est.outcome_ == "continuous"
        assert abs(est.ate()) < 0.2

    def test_boolean_arms_keep_their_labels(self):
        est = tiny().fit(A, Y, T == 1)
        assert est.arms_.tolist() == [False, True]
        np.testing.assert_array_equal(est.predict(A), plain("study")[0].predict(A))

    @pytest.mark.parametrize("label", [Text.B, Newer.B, np.str_("b"), np.array("b")])
    def test_one_label_of_any_kind_names_an_arm(self, label):
        est, X = plain("names")
        np.testing.assert_array_equal(est.effect(X, T0="a", T1=label), est.predict(X))

    def test_members_of_an_enumeration_are_the_levels_that_they_stand_for(self):
        kinds = FRAME.assign(kind=pd.Series(in_enum(Text, ROWS % 2), dtype=object))
        texts = FRAME.assign(kind=np.array(["a", "b"])[ROWS % 2])
        by_kind, by_text = tiny().fit(kinds, Y, T), tiny().fit(texts, Y, T)
        assert (
            by_kind.encoded_names_ == by_text.encoded_names_ == ["age", "dose", "kind=a", "kind=b"]
        )
        np.testing.assert_array_equal(by_kind.predict(texts), by_text.predict(kinds))

    @pytest.mark.parametrize("ask", ["fit", "score"])
    def test_a_column_vector_warns_at_the_line_of_the_caller(self, ask):
        est = tiny().fit(A, Y, T)
        with pytest.warns(DataConversionWarning, match=r"pass y\.ravel\(\)") as caught:
            getattr(est, ask)(A, Y[:, None], T)
        assert [warning.filename for warning in caught] == [__file__]

    def test_names_that_came_late_warn_at_the_line_of_the_caller(self):
        est = tiny().fit(A, Y, T)
        with pytest.warns(UserWarning, match="X has feature names") as caught:
            est.effect_interval(FRAME)
        assert [warning.filename for warning in caught] == [__file__]

    def test_names_of_integers_are_not_those_of_strings(self):
        est = tiny().fit(pd.DataFrame(A), Y, T)
        with pytest.raises(ValueError, match=r"unseen at fit time:\n- 1\n- 0\n.*\n- 0 \(int\)"):
            est.predict(pd.DataFrame(A, columns=["1", "0"]))

    def test_names_differ_by_their_blanks(self):
        est = tiny().fit(FRAME, Y, T)
        with pytest.raises(ValueError, match="unseen at fit time:\n- age \n"):
            est.predict(FRAME.rename(columns={"age": "age "}))

    @pytest.mark.parametrize(
        ("call", "order"),
        [
            (lambda est: est.score(A, T, Y), r"score\(X, y, treatment\)"),
            (lambda est: est.att(A, Y), r"att\(X, treatment\)"),
            (lambda est: overlap_report(A, Y), r"overlap_report\(X, treatment\)"),
        ],
    )
    def test_other_calls_say_their_own_order(self, call, order):
        message = f"treatment looks continuous.*the order of arguments is {order}$"
        with pytest.raises(ValueError, match=message):
            call(plain("study")[0])

    def test_arms_by_row_that_are_no_labels_are_named(self):
        with pytest.raises(ValueError, match=r"^T1 looks continuous: .* row"):
            plain("study")[0].effect(A, T0=0, T1=Y)

    def test_many_numeric_arms_of_a_text_outcome_may_be_strings(self):
        arms = [f"{row % 25}" for row in range(50)]
        assert len(Conditions.fit(arms).labels) == 25
        y = np.array(["no", "yes"])[RNG.integers(2, size=200)]
        arms = np.arange(200) % 25
        X = RNG.normal(size=(200, 1))
        with pytest.raises(ValueError, match="pass them as strings"):
            tiny().fit(X, y, arms)
        assert len(tiny().fit(X, y, arms.astype(str)).arms_) == 25

    def test_extreme_weights_leave_the_report_on_overlap_as_it_is(self):
        weights = ROWS % 3 + 1.0
        expected = overlap_report(A, T, sample_weight=weights)
        for scale in (2.0**1020, 2.0**-1000):
            report = overlap_report(A, T, sample_weight=weights * scale)
            pd.testing.assert_frame_equal(report.arms, expected.arms)
            pd.testing.assert_frame_equal(report.balance, expected.balance)

    @pytest.mark.parametrize(
        ("groups", "error", "message"),
        [
            ((row for row in ROWS), TypeError, "groups is a generator"),
            (
                pl.DataFrame({"a": ROWS, "b": ROWS}),
                ValueError,
                r"at least 2 rows of every arm, but 0, 0 has 0",
            ),
            (pl.LazyFrame({"a": ROWS}), TypeError, r"groups\.collect\(\)"),
            (pl.Series(holed(ROWS)), ValueError, "6 missing labels, the first at row 3"),
        ],
    )
    def test_groups_of_averages(self, groups, error, message):
        with pytest.raises(error, match=message):
            plain("study")[0].gate(groups)

    def test_groups_of_averages_that_never_occur_are_left_out(self):
        est, _ = plain("study")
        labels = np.where(ROWS % 2, "u", "v")
        expected = est.gate(labels)
        found = est.gate(pd.Categorical(labels, ["w", "v", "u"]))
        assert found.loc["u"] == expected.loc["u"]
        assert "w" not in found.index
        assert est.gate(pd.DataFrame({"site": labels})).index.name == "site"
        np.testing.assert_array_equal(est.gate(pa.array(labels)), expected)
