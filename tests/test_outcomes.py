"""What families of outcomes promise: how y is read, encoded, learned and predicted."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import mean_gamma_deviance, mean_poisson_deviance

from hypercate.outcomes import Bernoulli, Count, Normal, Positive, family_of

pytestmark = pytest.mark.filterwarnings("error")
quick = settings(max_examples=40, deadline=None, derandomize=True)
LOG_LINKED = [Count(), Positive()]
FAMILIES = [Normal(), Bernoulli(np.array([0, 1])), *LOG_LINKED]


def family(y, outcome="auto", weight=None):
    return family_of(y, outcome, np.ones(np.size(y)) if weight is None else weight)


def unit_of(y, outcome="auto", weight=None):
    """The family of y, and the location and scale of its target."""
    found = family(y, outcome, weight)
    encoded = found.encode(y)
    return found, *found.unit(encoded, np.ones(len(encoded)) if weight is None else weight)


def target_of(y, outcome="auto", new=None):
    """Targets of y, or of new outcomes, in the unit of y."""
    found, location, scale = unit_of(y, outcome)
    encoded = found.encode(y if new is None else new)
    return found.target(encoded, np.array(location), np.array(scale))


def mean_of(found, output, location=0.0, scale=1.0):
    unit = (torch.tensor(part, dtype=torch.float64) for part in (location, scale))
    return found.mean(output, *unit)


class TestKind:
    @pytest.mark.parametrize(
        ("y", "kind"),
        [
            ([0, 1, 1], "binary"),
            ([0.0, 1.0], "binary"),
            ([True, False], "binary"),
            (["no", "yes", "no"], "binary"),
            (pd.Series(["no", "yes"], dtype="category"), "binary"),
            (pd.Series([True, False], dtype="boolean"), "binary"),
            ([0, 1, 2], "continuous"),
            ([1, 2, 1], "continuous"),
            ([0.0, 0.5, 1.0], "continuous"),
            ([1, 1, 1], "continuous"),
            ([0, 0], "continuous"),
            ([True, True], "continuous"),
            ([0, 3, 1, 7], "continuous"),
            ([0.5, 3.5, 1000.0], "continuous"),
        ],
    )
    def test_auto(self, y, kind):
        found, location, scale = unit_of(y)
        assert found.kind == kind
        assert (found.classes is None) == (kind == "continuous")
        encoded = found.encode(y)
        assert encoded.dtype == np.float64
        assert target_of(y).dtype == np.float32
        if kind == "binary":
            assert (location, scale) == (0.0, 1.0)
            assert found.classes[encoded.astype(int)].tolist() == list(y)
            np.testing.assert_array_equal(target_of(y), encoded)
        else:
            np.testing.assert_array_equal(encoded, np.asarray(y, dtype=float))

    @pytest.mark.parametrize("kind", ["binary", "continuous"])
    def test_rows_of_weight_0_do_not_count(self, kind):
        extra, weight = (2, [1, 1, 0]) if kind == "binary" else (1, [1, 0, 0])
        assert family([0, 1, extra], weight=np.array(weight)).kind == kind

    def test_any_two_values_can_be_binary(self):
        found = family([5, -2, 5], "binary")
        np.testing.assert_array_equal(found.classes, [-2, 5])
        assert found.encode([-2, 5]).tolist() == [0, 1]

    def test_zeros_and_ones_can_be_continuous(self):
        assert target_of([0, 1, 0, 1], "continuous", [0, 1]).tolist() == [-1, 1]

    def test_support_is_what_outcomes_can_be(self):
        assert family([0.5, 1, 7]).support == (-np.inf, np.inf)
        assert family([0, 1, 7], "count").support == (0, np.inf)
        assert family([0.5, 1, 7], "positive").support == (0, np.inf)
        assert family(["no", "yes"]).support == (0, 1)


class TestUnit:
    @quick
    @given(
        hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(-1e6, 1e6, width=32)),
        st.sampled_from([1e-300, 1.0, 1e290]),
    )
    def test_continuous_has_mean_0_and_sd_1_and_comes_back(self, y, factor):
        y = y * factor
        found, location, scale = unit_of(y, "continuous")
        target = found.target(y, np.array(location), np.array(scale))
        np.testing.assert_allclose(target.astype(float).mean(), 0, atol=1e-5)
        if scale != 1:
            np.testing.assert_allclose(target.astype(float).std(), 1, atol=1e-5)
        unit = np.abs(y).max() or 1
        back = mean_of(found, torch.as_tensor(target), location, scale)
        np.testing.assert_allclose(back.numpy() / unit, y / unit, atol=1e-5)

    def test_integer_weights_are_repetitions(self):
        y, weight = np.array([1.0, 4.0, -3.0, 1e9]), np.array([3.0, 1.0, 2.0, 0.0])
        _, *weighted = unit_of(y, weight=weight)
        _, *repeated = unit_of(np.repeat(y, weight.astype(int)))
        assert weighted == pytest.approx(repeated)

    @pytest.mark.parametrize("value", [0.1, 0, -1e300])
    @pytest.mark.parametrize("outcome", ["auto", "continuous"])
    def test_a_constant_has_scale_1(self, value, outcome):
        y = np.full(30, value)
        _, location, scale = unit_of(y, outcome)
        assert location == value
        assert scale == 1
        assert (target_of(y, outcome, y[:3]) == 0).all()

    def test_limits_of_floats_stay_finite_when_squared(self):
        huge = np.finfo(float).max
        assert np.isfinite(target_of([-huge, huge, 0], new=[huge, -huge])).all()
        far = target_of([1.0, 2.0, 3.0], new=[huge, -huge])
        assert np.isfinite(far**2).all()

    @pytest.mark.parametrize("found", FAMILIES, ids=lambda f: f.kind)
    def test_models_have_units_of_their_own(self, found):
        y = np.array([0.0, 1.0, 1.0, 0.0])
        location, scale = np.array([[1.0], [0.5]]), np.array([[1.0], [2.0]])
        each = [found.target(y, *unit) for unit in zip(location, scale, strict=True)]
        target = found.target(y, location, scale)
        assert target.shape == (2, 4)
        np.testing.assert_array_equal(target, each)


class TestLearning:
    @pytest.mark.parametrize("found", FAMILIES, ids=lambda f: f.kind)
    def test_the_output_of_least_loss_gives_the_mean_outcome(self, found):
        y = np.array([0.0, 1.0, 1.0, 1.0])
        y = np.array([0.25, 0.75, 1.0, 1.0]) if found.kind == "positive" else y
        location, scale = found.unit(y, np.ones(4))
        target = torch.as_tensor(found.target(y, np.array(location), np.array(scale)))
        outputs = torch.linspace(-3, 3, 6001)
        losses = found.loss(outputs[:, None].expand(6001, 4), target.expand(6001, 4))
        assert losses.shape == (6001, 4)
        best = outputs[losses.mean(dim=1).argmin()]
        mean = mean_of(found, best, location, scale)
        assert mean.dtype == torch.float64
        assert mean.item() == pytest.approx(0.75, abs=5e-4)

    def test_a_continuous_outcome_has_the_squared_error(self):
        loss = Normal().loss(torch.tensor([1.0, -2.0]), torch.tensor([3.0, -2.0]))
        assert loss.tolist() == [4, 0]

    def test_a_binary_outcome_has_the_log_loss_of_its_probability(self):
        output, target = torch.tensor([0.3, 0.3, 200.0]), torch.tensor([1.0, 0.0, 0.0])
        found = FAMILIES[1]
        probability = mean_of(found, output[:2])
        expected = -torch.log(torch.stack([probability[0], 1 - probability[1]]))
        loss = found.loss(output, target)
        torch.testing.assert_close(loss[:2].double(), expected, atol=1e-6, rtol=0)
        assert loss[2] == 200

    @quick
    @given(st.floats(-500, 500, width=32))
    def test_predictions_are_within_the_support(self, output):
        for found in FAMILIES:
            least, greatest = found.support
            assert least <= mean_of(found, torch.tensor(output)).item() <= greatest


class TestLogLinks:
    """Counts and positive outcomes, whose means are exponentials."""

    @pytest.mark.parametrize("found", LOG_LINKED, ids=lambda f: f.kind)
    def test_a_network_that_says_nothing_predicts_the_weighted_mean(self, found):
        y, weight = np.array([1.0, 4.0, 3.0]), np.array([3.0, 1.0, 0.0])
        assert mean_of(found, torch.tensor(0.0), *found.unit(y, weight)).item() == 1.75

    @pytest.mark.parametrize(
        ("found", "deviance"),
        [(Count(), mean_poisson_deviance), (Positive(), mean_gamma_deviance)],
    )
    def test_the_loss_is_the_deviance(self, found, deviance):
        rng = np.random.default_rng(0)
        y, output = rng.poisson(3.0, 200) + float(found.kind == "positive"), rng.normal(size=200)
        location, scale = found.unit(y, np.ones(200))
        target = found.target(y, np.array(location), np.array(scale))
        loss = found.loss(torch.tensor(output), torch.tensor(target).double()).mean().item()
        unit = location if found.kind == "count" else 1.0
        assert unit * loss == pytest.approx(deviance(y, location * np.exp(output)), rel=1e-6)

    @pytest.mark.parametrize("found", LOG_LINKED, ids=lambda f: f.kind)
    @pytest.mark.parametrize("at", [-1e4, -90.0, -25.0, 25.0, 90.0, 1e4])
    def test_far_outputs_have_finite_losses_that_lead_back(self, found, at):
        output = torch.tensor([at, at], requires_grad=True)
        loss = found.loss(output, torch.tensor([1.0, 3.0]))
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert (loss > 0).all()
        assert torch.isfinite(output.grad).all()
        assert (output.grad.sign() == np.sign(at)).all()

    @pytest.mark.parametrize("found", LOG_LINKED, ids=lambda f: f.kind)
    def test_losses_are_never_negative(self, found):
        target = torch.logspace(-6, 6, 1000, dtype=torch.float32)
        near = target.log() + 1e-7 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
        assert (found.loss(near, target) >= 0).all()
        assert found.loss(near, target).max() < 1e-5 * target.max()

    @pytest.mark.parametrize("found", LOG_LINKED, ids=lambda f: f.kind)
    def test_no_mean_is_above_the_largest_outcome_or_at_0(self, found):
        y = np.array([1.0, 2.0, 9.0])
        location, scale = found.unit(y, np.array([1.0, 1.0, 1.0]))
        low, high = mean_of(found, torch.tensor([-1e4, 1e4]), location, scale).tolist()
        assert high == pytest.approx(9.0)
        assert 0 < low < 1e-3
        assert found.bounds(location, scale) == pytest.approx((low, high))

    def test_counts_of_0_alone_have_a_unit(self):
        assert unit_of([0, 0, 0], "count")[1:] == (1.0, 1.0)
        assert target_of([0, 0], "count").tolist() == [0, 0]

    @pytest.mark.parametrize("found", LOG_LINKED, ids=lambda f: f.kind)
    @pytest.mark.parametrize("factor", [1e-300, 1.0, 1e290])
    def test_limits_of_floats_have_targets(self, found, factor):
        y = np.array([1.0, 2.0, 6.0]) * factor
        location, scale = found.unit(y, np.ones(3))
        target = found.target(y, np.array(location), np.array(scale))
        np.testing.assert_allclose(target, [1 / 3, 2 / 3, 2], rtol=1e-6)

    def test_rows_of_weight_0_may_hold_anything(self):
        assert family([1, 2, -3], "count", np.array([1, 1, 0])).kind == "count"
        assert family([1, 2, 0], "positive", np.array([1, 1, 0])).kind == "positive"

    def test_a_code_for_missing_is_pulled_in(self):
        y = np.append(np.arange(100) % 7 + 1.0, 999_999.0)
        for found in LOG_LINKED:
            with pytest.warns(UserWarning, match="y in row 100 .* more than 10 times as far"):
                assert found.without_outliers(y, np.ones(101, dtype=bool)).max() == 7


class TestReading:
    def test_a_column_vector_is_flattened_with_a_warning(self):
        message = "A column-vector y was passed when a 1d array was expected"
        y = np.array([[1.0], [2.0], [4.0]])
        with pytest.warns(DataConversionWarning, match=message) as caught:
            found = family(y)
        assert caught[0].filename == __file__
        with pytest.warns(DataConversionWarning, match=message) as caught:
            assert found.encode(y).tolist() == [1, 2, 4]
        assert caught[0].filename == __file__

    def test_a_frame_of_one_column_is_its_column(self):
        y = pd.DataFrame({"y": [1.0, 2.0, 4.0]})
        assert family(y).encode(y).tolist() == [1, 2, 4]

    @pytest.mark.parametrize(
        ("y", "outcome", "error", "message"),
        [
            (None, "auto", ValueError, "y should be a 1d array"),
            ([], "auto", ValueError, "y is empty"),
            (np.zeros((3, 2)), "auto", ValueError, r"y should be a 1d array.*\(3, 2\)"),
            ([1.0, np.nan], "auto", ValueError, "y is missing .* row 1 "),
            (pd.Series([1.0, None], dtype="Float64"), "auto", ValueError, "y is missing .* row 1 "),
            (["a", None], "auto", ValueError, "y is missing .* row 1 "),
            ([1.0, np.inf, -np.inf], "auto", ValueError, r"y is infinite \(inf\) in rows 1, 2 "),
            (["a", "b", "c"], "auto", ValueError, "two distinct values, but y has 3"),
            (["a", "a"], "auto", ValueError, "two distinct values, but y has 1: 'a'"),
            (["a", "b"], "continuous", ValueError, "y holds strings such as 'a'"),
            ([1, 1], "binary", ValueError, "two distinct values, but y has 1"),
            ([1, 2, 3], "binary", ValueError, "two distinct values, but y has 3"),
            ([1, "a"], "auto", TypeError, r"y holds int \(first in row 0\) and str"),
            ([1j, 2], "auto", TypeError, "y holds complex"),
            ([10**400, 1], "auto", ValueError, "y holds a number too large"),
            ([0, 1], "ordinal", ValueError, "outcome must be one of .* got 'ordinal'"),
            (
                [0, 1.5, 2],
                "count",
                ValueError,
                "y is not a whole number of at least 0 in row 1 .*pass",
            ),
            ([0, -1, 2], "count", ValueError, "y is not a whole number of at least 0 in row 1 "),
            (["a", "b"], "count", ValueError, "a count outcome must be numbers"),
            ([3, 0, -1], "positive", ValueError, "y is not above 0 in rows 1, 2 .*outcome='count'"),
        ],
    )
    def test_refused(self, y, outcome, error, message):
        with pytest.raises(error, match=message):
            family(y, outcome)

    def test_outcomes_of_another_kind_are_refused(self):
        with pytest.raises(ValueError, match="y has unknown labels 2 in row 1 "):
            family([0, 1]).encode([0, 2])
        with pytest.raises(ValueError, match="y holds strings"):
            family([0.5, 1]).encode(["a"])

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
    @pytest.mark.parametrize("y", [np.arange(1000.0), np.array(["no", "yes"] * 500)])
    def test_copies_encode_alike_and_keep_no_rows(self, copied, y):
        found = family(y)
        np.testing.assert_array_equal(copied(found).encode(y), found.encode(y))
        assert len(pickle.dumps(found)) < 1000


def test_nothing_warns_under_the_strictest_numpy_settings():
    y = np.array([1e300, -1e300])
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        target_of(y)
