"""What members try, and what they choose by their held-out losses."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hypercate import HyperCATE
from hypercate.candidates import INPUTS, Candidates
from hypercate.hypernet.initialization import DEGREES

pytestmark = pytest.mark.filterwarnings("error")
quick = settings(max_examples=100, deadline=None, derandomize=True)
TRIED = ["intercept", "moderate", "weak"]
BY_DEGREE = Candidates.of("chunk", "auto", "raw")
ALL = Candidates.of("chunk", "auto", "auto")


def by_hand(candidates, loss):
    """The rule, number by number, for finite losses above 0."""
    gains = []
    for of_member in loss:
        named = list(zip(candidates.sharing, of_member, strict=True))
        constant = min(value for name, value in named if name == "intercept")
        other = min(value for name, value in named if name != "intercept")
        gains.append(np.log(float(constant)) - np.log(float(other)))
    mean = sum(gains) / len(gains)
    variance = sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1)
    margin = mean - (variance / len(gains)) ** 0.5
    allowed = [margin > 0 or name == "intercept" for name in candidates.sharing]
    best = [
        min((v, i) for i, v in enumerate(of_member) if allowed[i])[1] for of_member in loss.tolist()
    ]
    return best, margin


class TestPairs:
    @pytest.mark.parametrize("generation", ["chunk", "component", "once"])
    def test_auto_crosses_three_degrees_with_two_ways_to_see(self, generation):
        pairs = Candidates.of(generation, "auto", "auto")
        together = list(zip(pairs.sharing, pairs.inputs, strict=True))
        assert len(set(together)) == len(together) == 6
        assert set(together) == set(itertools.product(TRIED, ["raw", "boosted"]))

    @pytest.mark.parametrize("sharing", ["auto", *DEGREES])
    @pytest.mark.parametrize("inputs", ["auto", *INPUTS])
    def test_what_is_named_is_all_that_is_tried(self, sharing, inputs):
        pairs = Candidates.of("chunk", sharing, inputs)
        assert set(pairs.sharing) == ({*TRIED} if sharing == "auto" else {sharing})
        assert set(pairs.inputs) == ({*INPUTS} if inputs == "auto" else {inputs})
        assert len(pairs.sharing) == len(pairs.inputs)
        assert pairs.need_trees == (inputs != "raw")

    @pytest.mark.parametrize("sharing", ["auto", "weak"])
    def test_without_a_generator_there_is_nothing_to_share(self, sharing):
        pairs = Candidates.of("none", sharing, "auto")
        assert pairs.sharing == ["none"] * 2
        assert sorted(pairs.inputs) == sorted(INPUTS)

    def test_degrees_are_those_of_the_names(self):
        degrees = ALL.degrees()
        assert degrees.dtype == torch.float32
        assert degrees.tolist() == [DEGREES[name] for name in ALL.sharing]
        assert degrees.unique().tolist() == [0, 1, 3]


class TestInputScale:
    def test_each_way_has_its_row(self):
        relevance = np.array([1, 0.25, 0], dtype=np.float32)
        rows = {
            "raw": [1, 1, 1, 0, 0],
            "boosted": [1, 0.25, 0, 1, 1],
        }
        scale = ALL.input_scale(relevance, 2)
        assert scale.dtype == torch.float32
        assert scale.tolist() == [rows[name] for name in ALL.inputs]

    def test_without_trees_there_is_a_factor_for_each_column(self):
        scale = Candidates.of("chunk", "weak", "raw").input_scale(np.ones(4, np.float32), 0)
        assert scale.tolist() == [[1, 1, 1, 1]]

    @pytest.mark.parametrize("device", ["meta", "cpu"])
    def test_lies_on_the_cpu_whatever_torchs_defaults(self, device):
        torch.set_default_device(device)
        torch.set_default_dtype(torch.float64)
        try:
            made = ALL.degrees(), ALL.input_scale(np.ones(4, np.float32), 2)
        finally:
            torch.set_default_device(None)
            torch.set_default_dtype(torch.float32)
        for tensor in made:
            assert (tensor.device.type, tensor.dtype) == ("cpu", torch.float32)


class TestChoice:
    def test_each_member_takes_its_own_best_where_effects_that_vary_clearly_pay(self):
        loss = np.array([[1, 0.5, 0.6], [1, 0.6, 0.5], [1, 0.5, 0.7]])
        assert BY_DEGREE.choose(loss).tolist() == [1, 2, 1]

    def test_a_member_may_keep_to_a_constant_where_the_others_gain_clearly(self):
        loss = np.array([[1, 0.5, 0.6], [1, 0.5, 0.5], [1, 0.6, 0.4], [1, 1.01, 1.02]])
        assert BY_DEGREE.choose(loss).tolist() == [1, 1, 2, 0]

    def test_all_keep_to_a_constant_where_others_do_not_pay(self):
        loss = np.array([[1, 0.7, 0.8], [1, 1.5, 1.4], [1, 1.1, 1.2]])
        assert BY_DEGREE.choose(loss).tolist() == [0, 0, 0]

    @pytest.mark.parametrize(("gains", "pays"), [((0.01, 0.31), True), ((-0.01, 0.29), False)])
    def test_a_standard_error_is_the_margin(self, gains, pays):
        """Two gains have mean m and standard error d / 2, d their distance."""
        loss = np.array([[1, np.exp(-gain), 2] for gain in gains])
        assert BY_DEGREE.choose(loss).tolist() == ([1, 1] if pays else [0, 0])

    def test_the_margin_shrinks_with_the_root_of_the_number_of_members(self):
        few = np.array([[1, np.exp(-gain), 2] for gain in (-0.1, 0.3, -0.1)])
        assert BY_DEGREE.choose(few).tolist() == [0, 0, 0]
        assert BY_DEGREE.choose(np.tile(few, (20, 1))).tolist() == [0, 1, 0] * 20

    def test_losses_are_compared_by_their_ratio(self):
        """Gains by log: 2.30, -0.69, -1.39; the first member's loss alone is of size."""
        loss = np.array([[100, 10, 200], [0.01, 0.02, 0.03], [0.01, 0.04, 0.05]])
        assert BY_DEGREE.choose(loss).tolist() == [0, 0, 0]

    @quick
    @given(
        st.sampled_from([BY_DEGREE, ALL]),
        st.data(),
        st.integers(2, 6),
        st.sampled_from([np.float32, np.float64]),
    )
    def test_agrees_with_the_rule_by_hand(self, candidates, data, n_members, dtype):
        shape = (n_members, len(candidates.sharing))
        loss = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(0.5, 2))).astype(dtype)
        if data.draw(st.booleans()):
            loss[:, np.array(candidates.sharing) != "intercept"] *= dtype(0.7)
        expected, margin = by_hand(candidates, loss)
        before = loss.copy()
        if abs(margin) > 1e-5:
            assert candidates.choose(loss).tolist() == expected
        np.testing.assert_array_equal(loss, before)

    def test_members_that_keep_to_a_constant_still_choose_how_to_see(self):
        loss = np.full((3, 6), 2.0)
        constant = np.flatnonzero(np.array(ALL.sharing) == "intercept")
        best = constant[[1, 0, 1]]
        loss[[0, 1, 2], best] = 1
        loss[0, np.array(ALL.sharing) == "weak"] = 0.9
        assert ALL.choose(loss).tolist() == best.tolist()

    def test_one_member_takes_its_best(self):
        assert BY_DEGREE.choose(np.array([[1, 0.99, 1.1]])).tolist() == [1]
        assert BY_DEGREE.choose(np.array([[1, 1.01, 1.1]])).tolist() == [0]

    @pytest.mark.parametrize("sharing", ["intercept", "strong", "weak"])
    def test_with_one_degree_each_takes_its_own_best(self, sharing):
        candidates = Candidates.of("chunk", sharing, "auto")
        loss = np.array([[3, 2], [1, 2], [2, 1]], dtype=np.float32)
        assert candidates.choose(loss).tolist() == [1, 0, 1]

    def test_without_a_generator_each_takes_its_own_best(self):
        loss = np.array([[3, 2], [1, 2]], dtype=np.float32)
        assert Candidates.of("none", "auto", "auto").choose(loss).tolist() == [1, 0]

    def test_a_perfect_fit_is_taken(self):
        assert BY_DEGREE.choose(np.array([[1, 0, 1], [1, 0, 1]])).tolist() == [1, 1]
        assert BY_DEGREE.choose(np.array([[0, 1, 1], [0, 1, 1]])).tolist() == [0, 0]


class TestDivergedCandidates:
    """A network that diverged has an infinite loss."""

    def test_one_of_several_is_as_if_not_tried(self):
        loss = np.array([[1, 0.5, np.inf], [1, np.inf, 0.5], [1, 0.5, np.inf]])
        assert BY_DEGREE.choose(loss).tolist() == [1, 2, 1]
        loss = np.array([[1, 1.5, np.inf], [1, np.inf, 0.9], [1, 1.4, np.inf]])
        assert BY_DEGREE.choose(loss).tolist() == [0, 0, 0]

    def test_effects_that_vary_do_not_pay_where_a_member_has_none(self):
        loss = np.array([[1, np.inf, np.inf], [1, 0.5, 0.6], [1, 0.6, 0.5]])
        assert BY_DEGREE.choose(loss).tolist() == [0, 0, 0]

    def test_a_member_without_a_constant_one_leaves_each_its_best(self):
        loss = np.array([[np.inf, 2, 1], [1, 0.5, 0.6], [1, 1.2, 1.5]])
        assert BY_DEGREE.choose(loss).tolist() == [2, 1, 0]

    @quick
    @given(
        hnp.arrays(
            np.float32,
            st.tuples(st.integers(1, 5), st.just(6)),
            elements=st.sampled_from([0.5, 1, 2, np.inf]),
        )
    )
    def test_none_is_chosen_if_another_is_to_be_had(self, loss):
        loss[:, 4] = np.where(np.isinf(loss).all(1), 1, loss[:, 4])
        with warnings.catch_warnings():  # warnings are for the tests above
            warnings.simplefilter("ignore")
            chosen = ALL.choose(loss)
        assert np.isfinite(loss[np.arange(len(loss)), chosen]).all()


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x, arm = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    return x, arm, rng.normal(size=200)


class TestInTheEstimator:
    def fit(self, x, y, arm, **changed):
        small = {"n_members": 3, "max_epochs": 40, "outcome_hidden": (8, 8), "inputs": "raw"}
        small |= {"learning_rate": 0.02, "device": "cpu", "random_state": 0}
        return HyperCATE(**small | changed).fit(x, y, arm)

    def test_effects_are_constant_unless_the_data_speak_against_it(self, data):
        x, arm, noise = data
        est = self.fit(x, arm + noise, arm)
        assert (est.sharing_["chosen"] == "intercept").all()
        assert np.ptp(est.predict(x)) < 1e-5
        est = self.fit(x, x[:, 0] + 2 * x[:, 1] * arm + 0.5 * noise, arm)
        assert (est.sharing_["chosen"] != "intercept").all()
        assert np.corrcoef(est.predict(x), x[:, 1])[0, 1] > 0.9

    def test_tables_tell_the_least_loss_of_each_name_and_what_was_chosen(self, data):
        x, arm, noise = data
        est = self.fit(x, x[:, 0] + x[:, 1] * arm + 0.3 * noise, arm, inputs="auto", max_epochs=5)
        assert est.sharing_.columns.tolist() == [*TRIED, "chosen"]
        assert est.inputs_.columns.tolist() == [*INPUTS, "chosen"]
        assert est.sharing_.index.tolist() == est.inputs_.index.tolist() == [0, 1, 2]
        by_sharing = est.sharing_[TRIED].to_numpy(dtype=float)
        by_inputs = est.inputs_[list(INPUTS)].to_numpy(dtype=float)
        np.testing.assert_array_equal(by_sharing.min(1), by_inputs.min(1))
        kept = est.history_.groupby("member")["validation_loss"].min()
        for member in range(3):
            row = est.sharing_.loc[member]
            assert kept[member] == pytest.approx(row[row["chosen"]], rel=1e-6)
