"""Bad input to HyperCATE is refused by name, and leaves the estimator as it was."""

import re
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import Ridge

from hypercate import HyperCATE

N = 40
METHODS = {
    "predict": lambda est, X: est.predict(X),
    "predict_outcomes": lambda est, X: est.predict_outcomes(X),
    "effect": lambda est, X: est.effect(X),
    "sample_effects": lambda est, X: est.sample_effects(X),
    "effect_interval": lambda est, X: est.effect_interval(X),
    "effect_inference": lambda est, X: est.effect_inference(X),
    "predict_outcome_interval": lambda est, X: est.predict_outcome_interval(X),
    "individual_effect_interval": lambda est, X: est.individual_effect_interval(X),
    "reject": lambda est, X: est.reject(X, 0.1),
    "ate": lambda est, X: est.ate(X),
    "ate_interval": lambda est, X: est.ate_interval(X),
    "ate_inference": lambda est, X: est.ate_inference(X),
    "att": lambda est, X: est.att(X, data()["treatment"]),
    "att_interval": lambda est, X: est.att_interval(X, data()["treatment"]),
    "att_inference": lambda est, X: est.att_inference(X, data()["treatment"]),
    "score": lambda est, X: est.score(X, data()["y"], data()["treatment"]),
}


def tiny(**parameters):
    defaults = {"n_members": 2, "max_epochs": 2, "outcome_hidden": (4,), "sharing": "moderate"}
    return HyperCATE(**{**defaults, "inputs": "raw", "random_state": 0, **parameters})


def data(**changes):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(50, 9, N), "dose": rng.random(N), "site": ["a", "b"] * 20})
    treatment = rng.choice(["control", "drug", "surgery"], N)
    return {"X": X, "y": rng.normal(size=N), "treatment": treatment, **changes}


def with_value(vector, row, value):
    vector = np.array(vector, dtype=object)
    vector[row] = value
    return vector


def refused(est, call, error, message):
    """`call` raises, names what is wrong, and no attribute of est is another object than before."""
    before = dict(vars(est))
    with pytest.raises(error, match=message) as caught:
        call(est)
    assert vars(est).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(est).items())
    return caught.value


@pytest.fixture(scope="module")
def fitted():
    return tiny().fit(**data())


@pytest.fixture(autouse=True)
def answers_stay(fitted):
    """Whatever a test tries on the shared estimator, its answers are the same afterwards."""
    X = data()["X"]
    before = fitted.predict(X)
    yield
    np.testing.assert_array_equal(fitted.predict(X), before)


X, Y, T = data().values()
ARRAY = X[["age", "dose"]].to_numpy()
LONE = with_value(np.where(T == "surgery", "drug", T), 3, "rare")
BAD_FITS = {
    "no treatment": ({"treatment": None}, TypeError, r"treatment is missing.*fit\(X, y, treat"),
    "one arm": ({"treatment": ["drug"] * N}, ValueError, r"the arms \['drug'\].*at least two"),
    "an arm of one row": ({"treatment": LONE}, ValueError, r"arm 'rare' has 1 row.*at least 2"),
    "an arm of one weighted row": (
        {"treatment": [0, 1] * 20, "sample_weight": [1, *[1, 0] * 19, 1]},
        ValueError,
        r"arm 0 has 1 row\(s\) of positive weight",
    ),
    "missing treatment": (
        {"treatment": with_value(T, 7, None)},
        ValueError,
        "treatment is missing .* row 7 ",
    ),
    "NaN as treatment": (
        {"treatment": np.where(np.arange(N) == 5, np.nan, np.arange(N) % 2)},
        ValueError,
        "treatment is missing .* row 5 ",
    ),
    "2-d treatment": ({"treatment": T[:, None]}, ValueError, r"treatment has shape \(40, 1\)"),
    "treatment of one label": ({"treatment": "drug"}, ValueError, "treatment should be a 1d array"),
    "continuous treatment": (
        {"treatment": np.linspace(0.5, 1, N)},
        ValueError,
        "treatment looks continuous",
    ),
    "mixed treatment": ({"treatment": with_value(T, 2, 1)}, TypeError, r"int \(first in row 2\)"),
    "short treatment": ({"treatment": T[:-1]}, ValueError, "treatment has 39 rows, but X has 40"),
    "short y": ({"y": Y[:-1]}, ValueError, "y has 39 rows, but X has 40"),
    "short X": ({"X": X[:-3]}, ValueError, "y has 40 rows, but X has 37"),
    "short weights": ({"sample_weight": [1, 2]}, ValueError, "sample_weight has 2 rows, but X has"),
    "no y": ({"y": None}, ValueError, "y should be a 1d array"),
    "NaN in y": (
        {"y": np.where(np.arange(N) == 9, np.nan, Y)},
        ValueError,
        "y is missing.* row 9 ",
    ),
    "infinity in y": (
        {"y": np.where(np.arange(N) == 9, -np.inf, Y)},
        ValueError,
        "y is infinite.* row 9 ",
    ),
    "3-d y": ({"y": np.ones((N, 2, 2))}, ValueError, r"y should be a 1d array.*\(40, 2, 2\)"),
    "text in y": ({"y": with_value(Y, 4, "high")}, TypeError, r"y holds .*str \(first in row 4\)"),
    "dates as y": ({"y": pd.date_range("2020", periods=N)}, TypeError, "y holds Timestamp"),
    "complex y": ({"y": Y + 1j}, TypeError, "y holds complex"),
    "y of three strings": ({"y": T}, ValueError, "binary outcome needs two distinct.* y has 3"),
    "infinity in X": ({"X": X.assign(dose=np.inf)}, ValueError, "column 'dose' is infinite.* 0, 1"),
    "infinity in an array": (
        {"X": np.where(np.arange(2) == 1, np.inf, ARRAY)},
        ValueError,
        "column 'x1' is infinite",
    ),
    "3-d X": ({"X": np.ones((N, 2, 2))}, ValueError, "dim 3"),
    "1-d X": ({"X": np.ones(N)}, ValueError, "Expected 2D array, got 1D"),
    "no X": ({"X": None}, ValueError, "Expected 2D array"),
    "text as X": ({"X": "frame.csv"}, ValueError, "Expected 2D array"),
    "ragged X": ({"X": [[1.0, 2.0], [3.0]]}, ValueError, "X cannot be converted to an array"),
    "sparse X": ({"X": scipy.sparse.csr_matrix(ARRAY)}, TypeError, "[Ss]parse"),
    "masked X": ({"X": np.ma.masked_array(ARRAY)}, TypeError, r"X is a masked array.*filled"),
    "empty frame": ({"X": X[:0]}, ValueError, "X is empty: 0 rows and 3 columns"),
    "no columns": ({"X": X[[]]}, ValueError, "X is empty: 40 rows and 0 columns"),
    "no rows": ({"X": ARRAY[:0], "y": [], "treatment": []}, ValueError, r"0 sample\(s\)"),
    "no features": ({"X": ARRAY[:, :0]}, ValueError, r"0 feature\(s\)"),
    "duplicate columns": (
        {"X": X.set_axis(["age", "dose", "age"], axis=1)},
        ValueError,
        "more than one column named 'age'",
    ),
    "names of mixed type": ({"X": X.set_axis(["age", 1, "b"], axis=1)}, TypeError, "column names"),
    "an all-missing column": (
        {"X": X.assign(dose=np.nan)},
        ValueError,
        "column 'dose' is missing in every row",
    ),
    "dates": ({"X": X.assign(age=pd.date_range("2020", periods=N))}, TypeError, "'age' holds date"),
    "durations": ({"X": X.assign(age=timedelta(1))}, TypeError, "column 'age' holds timedelta"),
    "lists": (
        {"X": X.assign(site=[[1]] * N)},
        TypeError,
        r"column 'site' holds list \(first in row 0\)",
    ),
    "complex": ({"X": X.assign(dose=1j)}, ValueError, "Complex data.* column 'dose'"),
    "text among numbers": (
        {"X": X.assign(dose=with_value(X["dose"], 6, "low"))},
        TypeError,
        r"column 'dose' holds .*str \(first in row 6\)",
    ),
    "negative weight": (
        {"sample_weight": np.where(np.arange(N) == 2, -1, 1)},
        ValueError,
        "sample_weight is negative in row 2 ",
    ),
    "zero weights": ({"sample_weight": np.zeros(N)}, ValueError, "sample_weight is zero in every"),
    "NaN weight": (
        {"sample_weight": np.where(np.arange(N) == 2, np.nan, 1)},
        ValueError,
        "sample_weight is missing.* row 2 ",
    ),
    "infinite weight": (
        {"sample_weight": np.where(np.arange(N) == 2, np.inf, 1)},
        ValueError,
        "sample_weight is infinite.* row 2 ",
    ),
    "text as weight": ({"sample_weight": ["1"] * N}, TypeError, "sample_weight must hold numbers"),
    "one weight for all": ({"sample_weight": 1.0}, TypeError, "sample_weight must have one value"),
    "short groups": ({"groups": range(9)}, ValueError, "groups has 9 rows, but X has 40"),
    "one group for all": ({"groups": "school"}, TypeError, "groups must have one value for each"),
    "a missing group": (
        {"groups": with_value(range(N), 6, None)},
        ValueError,
        "groups is missing .* row 6 ",
    ),
    "2-d groups": ({"groups": np.ones((N, 2))}, ValueError, r"groups should be a 1d array.*2\)"),
    "groups of mixed type": (
        {"groups": with_value(range(N), 6, "a")},
        TypeError,
        r"groups holds .*str \(first in row 6\)",
    ),
    "an arm of one group": (
        {"groups": np.where(T == "surgery", 99, np.arange(N))},
        ValueError,
        "arm 'surgery' occurs in one group only",
    ),
}


class TestFit:
    @pytest.mark.parametrize("name", BAD_FITS)
    def test_bad_data_is_refused(self, name, fitted):
        changes, error, message = BAD_FITS[name]
        for est in (tiny(), fitted):
            refused(est, lambda est: est.fit(**data(**changes)), error, message)

    @pytest.mark.parametrize(
        ("parameters", "y", "message"),
        [
            ({"outcome": "binary"}, np.ones(N), "two distinct values, but y has 1"),
            ({"outcome": "binary"}, np.arange(N) % 3, "two distinct values, but y has 3"),
            ({"outcome": "continuous"}, ["no", "yes"] * 20, "y holds strings such as 'no'"),
            (
                {"outcome": "count"},
                np.arange(N) - 1.0,
                "y is not a whole number of at least 0 in row 0 ",
            ),
            ({"outcome": "count"}, ["no", "yes"] * 20, "a count outcome must be numbers"),
            ({"outcome": "positive"}, np.arange(N), "y is not above 0 in row 0 "),
            ({"control": "placebo"}, Y, r"'placebo' is not an arm: the arms are \['control'"),
            ({"control": 0}, Y, "0 is not an arm"),
            ({"control": ["drug"]}, Y, r"\['drug'\] is not an arm"),
            ({"control": float("nan")}, Y, "nan is not an arm"),
        ],
    )
    def test_data_that_do_not_fit_the_parameters_are_refused(self, parameters, y, message):
        refused(tiny(**parameters), lambda est: est.fit(**data(y=y)), ValueError, message)
        est = tiny().fit(**data()).set_params(**parameters)
        before = est.predict(X)
        refused(est, lambda est: est.fit(**data(y=y)), ValueError, message)
        np.testing.assert_array_equal(est.predict(X), before)

    def test_a_column_vector_y_is_flattened_with_a_warning(self, fitted):
        with pytest.warns(DataConversionWarning, match="column-vector y"):
            est = tiny().fit(**data(y=Y[:, None]))
        np.testing.assert_array_equal(est.predict(X), fitted.predict(X))

    def test_groups_that_cannot_be_split_are_refused_by_an_arm(self):
        # of four groups in three parts, two are together, and every two share an arm of their own
        groups = np.arange(N) % 4
        arms_of = np.array([["a", "b", "c"], ["a", "d", "e"], ["b", "d", "f"], ["c", "e", "f"]])
        treatment = arms_of[groups, np.arange(N) // 4 % 3]
        changes = {"treatment": treatment, "groups": groups}
        est = tiny(validation_fraction=0.5)
        message = "arm '[a-f]' occurs in too few groups"
        refused(est, lambda est: est.fit(**data(**changes)), ValueError, message)
        assert np.isfinite(tiny().fit(**data(**changes)).predict(X)).all()

    @pytest.mark.parametrize("inputs", ["raw", "auto"])
    def test_three_parts_are_enough(self, inputs):
        by_fraction = tiny(inputs=inputs, validation_fraction=0.9).fit(**data())
        by_groups = tiny(inputs=inputs).fit(**data(groups=np.arange(N) % 3))
        for est in (by_fraction, by_groups):
            assert np.isfinite(est.predict(X)).all()
            assert np.isfinite(est.ate()).all()

    def test_two_groups_are_too_few(self):
        with pytest.raises(ValueError, match=r"groups has 2 group\(s\).* at least 3"):
            tiny().fit(**data(groups=np.arange(N) % 2))

    def test_positional_weights_and_unknown_keywords_are_refused(self):
        with pytest.raises(TypeError, match="positional"):
            tiny().fit(X, Y, T, np.ones(N))
        with pytest.raises(TypeError, match="W"):
            tiny().fit(X, Y, T, W=X)


INTEGERS = ("n_chunks", "rank", "n_heads", "embedding_dim", "n_members", "max_epochs", "patience")
NAMES = (
    *("learner", "hypernet", "effort", "generation", "sharing", "inputs", "activation", "outcome"),
    "uncertainty",
    "pretrained",
    "second_stage",
    "treatment_kind",
    "noise_kind",
)
OPTIONAL = ("context",)
WIDTHS = ("hypernet_hidden", "outcome_hidden")
SHARES = ("widths", "depths")
MODELS = ("model_propensity", "model_outcome")
FLAGS = ("spectral_norm", "calibrate", "verbose")
BAD_PARAMETERS = [
    *((name, value) for name in INTEGERS for value in (0, -1, 2.5, "3", None, [2], True)),
    *((name, value) for name in NAMES for value in ("unknown", "", None, 1, True, ["t"])),
    *((name, value) for name in OPTIONAL for value in ("unknown", "", 1, True, ["data"])),
    *((name, value) for name in WIDTHS for value in ((), (0,), (8, -1), (2.5,), ("8",), (None,))),
    *((name, value) for name in WIDTHS for value in (8, "88", None, (True,), {8}, ((8,),))),
    *(("horizon", value) for value in (0, -1.0, np.inf, "12")),
    *((name, value) for name in SHARES for value in ((), (0.5,), (0, 1), (1, 0.5), ("1",), {1.0})),
    *((name, value) for name in SHARES for value in (1.0, None, "1", (True,), (np.nan, 1))),
    *((name, value) for name in SHARES for value in ((0.5, 2), (0.5, 0.5, 1))),
    *((name, value) for name in MODELS for value in ("ridge", 1, True, {}, Ridge)),
    *(("hypernet_dropout", value) for value in (-0.1, 1.0, 1.5, np.nan, "0.1", None)),
    *(("hypernet_noise", value) for value in (-0.1, np.nan, np.inf, "0.1", None)),
    *(("learning_rate", value) for value in (0, -1e-3, np.nan, np.inf, "0.1", None)),
    *(("weight_decay", value) for value in (-1e-3, np.nan, np.inf, "0.1", None)),
    *(("validation_fraction", value) for value in (0, 1, -0.1, 1.5, np.nan, "0.2", None)),
    *(("batch_size", value) for value in (0, -5, 2.5, "large", None, True)),
    *((name, value) for name in FLAGS for value in ("yes", 1, None, 0.0)),
    *(("device", value) for value in ("nowhere", "cuda:99", "meta", 0, None, "")),
    *(("devices", value) for value in (0, -1, 1.5, "all", [])),
    *(("strategy", value) for value in ("fsdp", None, 2)),
    *(("n_jobs", value) for value in (0, 1.5, "all", [2])),
    *(("random_state", value) for value in (-1, 2**32, 0.5, "seed", np.random.default_rng(0))),
]


class TestParameters:
    @pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS, ids=str)
    def test_out_of_range_or_of_the_wrong_type(self, name, value):
        est = tiny(**{name: value})
        refused(est, lambda est: est.fit(**data()), (ValueError, TypeError), name)

    @pytest.mark.parametrize(
        "parameters",
        [{"n_members": 0}, {"outcome_hidden": ()}, {"hypernet_hidden": (9,), "n_heads": 2}],
        ids=str,
    )
    def test_a_fitted_model_outlives_a_bad_parameter(self, parameters):
        est = tiny().fit(**data())
        before = est.predict(X)
        est.set_params(**parameters)
        refused(est, lambda est: est.fit(**data()), ValueError, next(iter(parameters)))
        np.testing.assert_array_equal(est.predict(X), before)

    def test_every_parameter_has_bad_values_here(self):
        assert {name for name, _ in BAD_PARAMETERS} == set(tiny().get_params()) - {"control"}

    def test_heads_must_divide_the_last_width_of_the_generator(self):
        message = "n_heads=3 must divide the last width of hypernet_hidden, 16"
        refused(tiny(n_heads=3), lambda est: est.fit(**data()), ValueError, message)
        refused(
            tiny(n_heads=4, hypernet_hidden=(8, 6)),
            lambda est: est.fit(**data()),
            ValueError,
            "n_heads=4 must divide the last width of hypernet_hidden, 6",
        )

    @pytest.mark.parametrize(
        ("source", "kinds", "rates"),
        [
            ("dropout", "dropout", "hypernet_dropout"),
            ("noise", "noise", "hypernet_noise"),
            ("both", "dropout or noise", "hypernet_dropout or hypernet_noise"),
        ],
    )
    @pytest.mark.parametrize("lacking", ["perturbation", "generator", "sharing"])
    def test_draws_of_the_hypernetwork_need_a_perturbation_and_a_generator_that_is_used(
        self, source, kinds, rates, lacking
    ):
        on = {"hypernet_dropout": 0.2, "hypernet_noise": 0.2}
        others = {
            "perturbation": {rate: 0 for rate in on if rate in rates},
            "generator": {"generation": "none"},
            "sharing": {"sharing": "independent"},
        }
        message = (
            f"uncertainty='{source}' makes draws by {kinds} of the hypernetwork: set {rates} "
            "above 0, with a generation other than 'none' and a sharing other than 'independent'"
        )
        est = tiny(uncertainty=source, **on | others[lacking])
        refused(est, lambda est: est.fit(**data()), ValueError, message)

    @pytest.mark.parametrize(
        "parameters",
        [
            {"hypernet_hidden": [6], "outcome_hidden": [4, 4]},
            {"hypernet_hidden": (np.int64(6),), "n_members": np.int32(2)},
            {"learning_rate": np.float32(0.01), "verbose": np.False_},
            {"weight_decay": 0, "hypernet_dropout": 0, "hypernet_noise": 0},
            {"calibrate": np.False_, "uncertainty": "both", "hypernet_dropout": np.float32(0.5)},
            {"uncertainty": "both", "hypernet_noise": np.float32(2)},
            {"n_chunks": 10**6},
            {"device": torch.device("cpu")},
        ],
        ids=str,
    )
    def test_equivalents_are_welcome(self, parameters):
        assert np.isfinite(tiny(**parameters).fit(**data()).predict(X)).all()

    def test_a_device_that_is_gone_is_named_at_predict(self):
        est = tiny().fit(**data()).set_params(device="cuda:99")
        refused(est, lambda est: est.predict(X), ValueError, r"device='cuda:99'.*device='cpu'")


OF_A_FIT = {"one arm", "an all-missing column", "infinity in an array"}
"""What is not bad in further rows, or asks for an array where the fit had a frame."""
OTHERWISE = {
    "an arm of one row": "'rare', which the model does not know",
    "an arm of one weighted row": "0, 1, which the model does not know",
    "treatment of one label": "treatment must have one value for each row",
    "y of three strings": "y holds strings such as 'surgery'",
    "an arm of one group": "arm 'surgery' occurs in too few groups of the new rows",
}
"""What is bad in both, and said otherwise of further rows."""


class TestPartialFit:
    @pytest.mark.parametrize("name", sorted(BAD_FITS.keys() - OF_A_FIT))
    def test_bad_data_is_refused(self, name, fitted):
        changes, error, message = BAD_FITS[name]
        rows = data(**changes)
        message = OTHERWISE.get(name, message)
        refused(
            fitted, lambda est: est.partial_fit(**rows), (error, ValueError, TypeError), message
        )


BAD_FRAMES = {
    "a missing column": (X[["age", "site"]], ValueError, "yet now missing:\n- dose"),
    "an extra column": (X.assign(extra=1), ValueError, "unseen at fit time:\n- extra"),
    "a renamed column": (X.rename(columns={"age": "Age"}), ValueError, "- Age\n(.*\n)?.*\n- age"),
    "a duplicate column": (X[["age", "dose", "site", "age"]], ValueError, "column named 'age'"),
    "infinity": (X.assign(age=np.inf), ValueError, "column 'age' is infinite"),
    "text for numbers": (X.assign(age="old"), TypeError, "column 'age' was numeric in fit"),
    "numbers for text": (X.assign(site=1.5), TypeError, "column 'site' held strings"),
    "dates": (X.assign(age=pd.Timestamp("2020")), TypeError, "column 'age' holds datetime"),
    "no rows": (X[:0], ValueError, "X is empty: 0 rows"),
    "3-d": (np.ones((2, 3, 1)), ValueError, "dim 3"),
    "one row as a vector": (np.ones(3), ValueError, "Reshape your data"),
}


class TestPredict:
    @pytest.mark.parametrize("method", METHODS)
    def test_before_fit(self, method):
        message = "HyperCATE instance is not fitted yet"
        refused(tiny(), lambda est: METHODS[method](est, X), NotFittedError, message)

    @pytest.mark.parametrize("name", ["ate", "att", "gate"])
    @pytest.mark.parametrize("kind", ["", "_interval", "_inference"])
    def test_averages_over_the_training_rows_before_fit(self, name, kind):
        arguments = (["a"] * N,) if name == "gate" else ()
        message = "HyperCATE instance is not fitted yet"
        call = lambda est: getattr(est, name + kind)(*arguments)  # noqa: E731
        refused(tiny(), call, NotFittedError, message)
        call = lambda est: getattr(est, name + kind)(*arguments, T0="drug")  # noqa: E731
        refused(tiny(), call, NotFittedError, message)

    def test_heterogeneity_test_before_fit(self):
        message = "HyperCATE instance is not fitted yet"
        refused(tiny(), lambda est: est.heterogeneity_test(), NotFittedError, message)

    @pytest.mark.parametrize("name", BAD_FRAMES)
    def test_bad_frames_are_refused(self, name, fitted):
        frame, error, message = BAD_FRAMES[name]
        refused(fitted, lambda est: est.predict(frame), error, message)

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_refuses_other_columns(self, method, fitted):
        call = METHODS[method]
        refused(fitted, lambda est: call(est, X.drop(columns="dose")), ValueError, "- dose")
        refused(fitted, lambda est: call(est, X.assign(extra=0)), ValueError, "- extra")

    def test_an_array_of_other_width(self):
        est = tiny().fit(**data(X=ARRAY))
        message = "X has 3 features, but HyperCATE is expecting 2 features as input"
        refused(est, lambda est: est.predict(np.ones((N, 3))), ValueError, message)


class TestContrasts:
    calls = (
        lambda est, **arms: est.effect(X, **arms),
        lambda est, **arms: est.sample_effects(X, **arms),
        lambda est, **arms: est.effect_interval(X, **arms),
        lambda est, **arms: est.effect_inference(X, **arms),
        lambda est, **arms: est.individual_effect_interval(X, **arms),
        lambda est, **arms: est.reject(X, 0.1, **arms),
    )

    @pytest.mark.parametrize("call", calls)
    @pytest.mark.parametrize(
        ("arms", "error", "message"),
        [
            ({"T1": "placebo"}, ValueError, r"'placebo' is not an arm: the arms are \['control'"),
            ({"T0": "placebo"}, ValueError, "'placebo' is not an arm"),
            ({"T0": "placebo", "T1": "drug"}, ValueError, "'placebo' is not an arm"),
            ({"T0": 0, "T1": 1}, ValueError, "0 is not an arm"),
            ({"T0": T}, ValueError, "T0 differs by row, so T1 is needed"),
            ({"T1": T[:3]}, ValueError, "T1 has 3 rows, but X has 40"),
            ({"T0": T[:3], "T1": "drug"}, ValueError, "T0 has 3 rows, but X has 40"),
        ],
    )
    def test_unknown_arms_and_other_lengths(self, call, arms, error, message, fitted):
        refused(fitted, lambda est: call(est, **arms), error, message)

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            (with_value(T, 4, "placebo"), ValueError, "T1.*'placebo' in row 4 "),
            (with_value(T, 4, None), ValueError, "T1.*missing.* row 4 "),
            (with_value(T, 4, 7), TypeError, r"T1.*int \(first in row 4\)"),
            (T[:, None], ValueError, r"T1.*shape \(40, 1\)"),
        ],
    )
    def test_labels_by_row_are_named_by_their_argument(self, labels, error, message, fitted):
        refused(fitted, lambda est: est.effect(X, T1=labels), error, message)
        call = lambda est: est.individual_effect_interval(X, T1=labels)  # noqa: E731
        refused(fitted, call, error, message)
        call = lambda est: est.predict_outcome_interval(X, arm=labels)  # noqa: E731
        refused(fitted, call, error, message.replace("T1", "arm"))

    @pytest.mark.parametrize(
        ("arm", "message"),
        [
            ("placebo", r"'placebo' is not an arm: the arms are \['control'"),
            (0, "0 is not an arm"),
            (T[:3], "arm has 3 rows, but X has 40"),
        ],
    )
    def test_the_arm_of_an_outcome(self, arm, message, fitted):
        call = lambda est: est.predict_outcome_interval(X, arm=arm)  # noqa: E731
        refused(fitted, call, ValueError, message)

    @pytest.mark.parametrize(
        ("treatment", "error", "message"),
        [
            (T[:5], ValueError, "treatment has 5 rows, but X has 40"),
            (with_value(T, 3, "placebo"), ValueError, "treatment has unknown labels 'placebo'"),
            (with_value(T, 3, None), ValueError, "treatment is missing.* row 3 "),
            (["control"] * N, ValueError, "an arm other than 'control', but there are none"),
            (None, TypeError, r"pass the arm that each row received, att\(X, treatment\)"),
            ("drug", TypeError, "treatment must have one value for each row"),
        ],
    )
    def test_att(self, treatment, error, message, fitted):
        for method in (fitted.att, fitted.att_interval, fitted.att_inference):
            refused(fitted, lambda est, method=method: method(X, treatment), error, message)

    def test_att_of_a_single_treated_row_has_no_standard_error(self, fitted):
        treatment = with_value(["control", "drug"] * 20, 3, "surgery")
        inference = fitted.att_inference(X, treatment)
        assert np.isfinite(inference.point_estimate).all()
        assert np.isnan(inference.stderr).tolist() == [False, True]
        assert "not available" in str(inference)

    def test_a_treatment_without_its_rows(self, fitted):
        refused(fitted, lambda est: est.att(treatment=T), TypeError, "X is needed too")

    @pytest.mark.parametrize("name", ["ate", "att", "gate", "heterogeneity_test"])
    def test_an_average_against_no_arm(self, name, fitted):
        arguments = (["a"] * N,) if name == "gate" else ()
        call = lambda est: getattr(est, name)(*arguments, T0="placebo")  # noqa: E731
        refused(fitted, call, ValueError, r"'placebo' is not an arm: the arms are \['control'")

    @pytest.mark.parametrize(
        ("groups", "error", "message"),
        [
            (["a"] * 5, ValueError, "groups has 5 rows, but X has 40"),
            ("a", TypeError, "groups must have one value for each row of X"),
            (np.full((N, 2, 2), "a"), ValueError, r"\(40, 2, 2\)"),
            (with_value(["a"] * N, 7, None), ValueError, "1 missing labels, the first at row 7:"),
            (np.arange(N), ValueError, r"2 rows of every arm, but \d+ has .* of arm 'control'"),
        ],
    )
    def test_groups(self, groups, error, message, fitted):
        for method in (fitted.gate, fitted.gate_interval, fitted.gate_inference):
            refused(fitted, lambda est, method=method: method(groups), error, message)

    def test_a_group_missing_after_rows_of_weight_0_is_named_by_its_row(self):
        weight = np.where(np.arange(N) < 5, 0.0, 1.0)
        est = tiny().fit(**data(sample_weight=weight))
        groups = with_value(["a"] * N, 9, None)
        refused(est, lambda est: est.gate(groups), ValueError, "1 missing labels, .* row 9:")
        assert np.isfinite(est.gate(with_value(["a"] * N, 2, None))).all()


class TestIntervalsAndDraws:
    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, np.nan, np.inf, "0.05", None, True, [0.1]])
    def test_alpha(self, alpha, fitted):
        for call in (
            lambda est: est.effect_interval(X, alpha=alpha),
            lambda est: est.ate_interval(X, alpha=alpha),
            lambda est: est.ate_interval(alpha=alpha),
            lambda est: est.att_interval(X, T, alpha=alpha),
            lambda est: est.gate_interval(["a"] * N, alpha=alpha),
            lambda est: est.effect_inference(X).summary_frame(alpha=alpha),
            lambda est: est.effect_inference(X).interval(alpha),
            lambda est: est.predict_outcome_interval(X, alpha=alpha),
            lambda est: est.individual_effect_interval(X, alpha=alpha),
            lambda est: est.individual_effect_interval(X, alpha=alpha, dependence="independent"),
        ):
            refused(fitted, call, (ValueError, TypeError), "alpha=")

    @pytest.mark.parametrize("value", ["dependent", "", "Any", None, 1, True, ["any"], np.ones(N)])
    def test_dependence(self, value, fitted):
        refused(
            fitted,
            lambda est: est.individual_effect_interval(X, dependence=value),
            ValueError,
            f"dependence={re.escape(repr(value))} must be one of 'any', 'independent'",
        )

    @pytest.mark.parametrize("share", [1, -0.1, 1.5, np.nan, np.inf, "0.1", None, [0.1]])
    def test_share(self, share, fitted):
        refused(fitted, lambda est: est.reject(X, share), ValueError, "share=.*at least 0")

    @pytest.mark.parametrize("share", [True, False])
    def test_a_boolean_is_no_share(self, share, fitted):
        refused(fitted, lambda est: est.reject(X, share), (ValueError, TypeError), "share=")

    @pytest.mark.parametrize(
        ("n_samples", "error"),
        [(0, ValueError), (-3, ValueError)]
        + [(value, TypeError) for value in (2.5, "3", None, True, [2], np.nan)],
    )
    def test_n_samples(self, n_samples, error, fitted):
        refused(fitted, lambda est: est.sample_effects(X, n_samples=n_samples), error, "n_samples=")

    @pytest.mark.parametrize("random_state", [-1, 2**32, "seed", 0.5])
    def test_random_state_of_draws(self, random_state, fitted):
        refused(
            fitted,
            lambda est: est.sample_effects(X, random_state=random_state),
            (ValueError, TypeError),
            "[Ss]eed",
        )

    @pytest.mark.parametrize("source", ["members", "both"])
    def test_one_member_has_draws_by_the_models_that_judge_the_rows(self, source):
        est = tiny(n_members=1, hypernet_dropout=0.2, uncertainty=source).fit(**data())
        draws = est.sample_effects(X, n_samples=20)
        assert np.isfinite(draws).all()
        assert (draws.std(axis=0) > 0).all()
        lower, upper = est.effect_interval(X)
        assert (lower < est.predict(X)).all()
        assert (est.predict(X) < upper).all()
        assert est.reject(X, 0.5).sum() == N // 2
        assert np.isfinite(est.predict_outcome_interval(X, alpha=0.9)).all()


class TestScore:
    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"treatment": None}, TypeError, r"treatment is missing.*score\(X, y, treatment\)"),
            ({"treatment": ["drug"] * N}, ValueError, "at least two arms with two rows each"),
            ({"treatment": LONE}, ValueError, "unknown labels 'rare' in row 3 "),
            ({"treatment": T[1:]}, ValueError, "treatment has 39 rows"),
            ({"y": Y[1:]}, ValueError, "y has 39 rows"),
            ({"y": None}, ValueError, "y should be a 1d array"),
            ({"y": with_value(Y, 8, np.nan).astype(float)}, ValueError, "y is missing.* row 8 "),
            ({"y": ["high"] * N}, ValueError, "y holds strings"),
            ({"sample_weight": -np.ones(N)}, ValueError, "sample_weight is negative"),
            ({"sample_weight": np.zeros(N)}, ValueError, "sample_weight is zero"),
        ],
    )
    def test_bad_data_is_refused(self, changes, error, message, fitted):
        refused(fitted, lambda est: est.score(**data(**changes)), error, message)

    def test_an_outcome_not_met_in_fit(self):
        est = tiny().fit(**data(y=["no", "yes"] * 20))
        refused(
            est,
            lambda est: est.score(**data(y=["no", "maybe"] * 20)),
            ValueError,
            "unknown labels 'maybe'",
        )


numbers = st.one_of(st.floats(-1e6, 1e6, width=32), st.integers(-5, 5))
kinds = {
    "float": (st.floats(-1e6, 1e6, width=32), float),
    "extreme": (st.floats(-1e300, 1e300), float),
    "hole": (st.one_of(st.none(), st.floats(-9, 9)), float),
    "int": (st.integers(-5, 5), int),
    "nullable": (st.one_of(st.none(), st.integers(-5, 5)), "Int64"),
    "bool": (st.booleans(), bool),
    "text": (st.one_of(st.none(), st.text("ab", max_size=2)), object),
    "string": (st.sampled_from(["u", "v"]), "string"),
    "category": (st.one_of(st.none(), st.integers(0, 3)), "category"),
    "mixed": (st.one_of(st.none(), st.text("ab", max_size=1), numbers, st.just(1j)), object),
}


@st.composite
def trials(draw):
    """A small trial, sound or not: any kinds of columns, labels, outcomes, weights and groups."""
    n = draw(st.integers(1, 6) | st.integers(8, 20))

    def column(kind):
        values, dtype = kinds[kind]
        return pd.Series(draw(st.lists(values, min_size=n, max_size=n)), dtype=dtype)

    def some(*values):
        return draw(st.none() | st.lists(st.sampled_from(values), min_size=n, max_size=n))

    often = [kind for kind in sorted(kinds) if kind not in ("hole", "mixed")]
    names = draw(st.lists(st.sampled_from([*often, *sorted(kinds)]), min_size=1, max_size=4))
    frame = pd.concat({f"{kind}{j}": column(kind) for j, kind in enumerate(names)}, axis=1)
    arms = draw(
        st.sampled_from([[0, 1], ["a", "b"], [True, False], [0, 1, 2], [0, None], [1, "a"]])
    )
    treatment = draw(st.lists(st.sampled_from(arms), min_size=n, max_size=n))
    outcome = draw(st.sampled_from(["float", "extreme", "int", "bool", "string", "hole"]))
    groups = some(*draw(st.sampled_from([range(3), range(9), "uvw", [1.5, 2.5, None]])))
    return frame, column(outcome), treatment, some(0, 0.1, 1, 9), groups


class TestAnything:
    @pytest.mark.filterwarnings("ignore:.* of the rows are repeated:UserWarning")
    @pytest.mark.filterwarnings("ignore::hypercate.overlap.OverlapWarning")
    def test_a_random_trial_fits_or_is_refused_with_a_message(self):
        fits, messages = [], []
        words = ("column '", "treatment ", "arm ", "y ", "outcome ", "sample_weight ", "groups ")

        @settings(max_examples=300, deadline=None, derandomize=True, database=None)
        @given(
            trials(),
            st.sampled_from(["chunk", "component", "once", "none"]),
            st.sampled_from(["raw", "raw", "raw", "auto"]),
            st.sampled_from([0.1, 0.2, 0.5]),
        )
        def attempt(trial, generation, inputs, validation_fraction):
            frame, y, treatment, weight, groups = trial
            est = tiny(
                generation=generation,
                inputs=inputs,
                validation_fraction=validation_fraction,
                max_epochs=1,
            )
            try:
                est.fit(frame, y, treatment, sample_weight=weight, groups=groups)
            except (ValueError, TypeError) as error:
                assert not hasattr(est, "arms_")
                messages.append(str(error))
                assert any(word in messages[-1] for word in words)
                return
            shape = (len(frame), len(est.arms_))
            outcomes = est.predict_outcomes(frame)
            assert outcomes.shape == shape
            assert np.isfinite(outcomes).all()
            assert np.isfinite(est.sample_effects(frame, n_samples=2)).all()
            for interval in (est.effect_interval, est.predict_outcome_interval):
                lower, upper = interval(frame, alpha=0.3)
                assert (lower <= upper).all()
            assert np.isfinite(est.history_.to_numpy()).all()
            fits.append(groups)

        attempt()
        # hypothesis draws constants of the modules that are loaded, so that counts vary
        assert len(fits) > 20
        assert any(groups is not None for groups in fits)
        assert len(messages) > 60
