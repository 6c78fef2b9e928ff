"""What members try, and what they choose by their held-out losses."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hypercate import HyperCATE
from hypercate.candidates import INPUTS, TRIED_DEGREES, Candidates
from hypercate.hypernet.initialization import DEGREES

pytestmark = pytest.mark.filterwarnings("error")
quick = settings(max_examples=100, deadline=None, derandomize=True)
TRIED = [*TRIED_DEGREES]
BY_DEGREE = Candidates(["intercept", "moderate", "weak"], ["raw"] * 3)
ALL = Candidates(["intercept", "intercept", "moderate", "moderate", "weak", "weak"], [*INPUTS] * 3)


EVERY = Candidates.of("chunk", "auto", "auto", "members")
PAIRS = [
    *(BY_DEGREE, ALL, EVERY, Candidates.of("chunk", "auto", "raw", "members")),
    *(
        Candidates.of("chunk", "independent", "auto", "members"),
        Candidates.of("none", "auto", "auto", "members"),
    ),
    Candidates(["independent", "moderate"], ["raw"] * 2),
    Candidates(["independent", "intercept", "independent"], ["raw", "raw", "boosted"]),
]


def margin(loss, row_loss, rows, some, others, weight):
    """By how much the best of `others` gain more than a standard error over the best of `some`."""
    gains = {}
    for of_member, at_rows, held in zip(loss, row_loss, rows, strict=True):
        first = min((of_member[i], i) for i in some)[1]
        second = min((of_member[i], i) for i in others)[1]
        for at, row in enumerate(held):
            gain = float(at_rows[first][at]) - float(at_rows[second][at])
            gains.setdefault(row, []).append(gain * weight[row])
    by_row = [sum(of_row) / len(of_row) for of_row in gains.values()]
    mean = sum(by_row) / len(by_row)
    variance = sum((gain - mean) ** 2 for gain in by_row) / (len(by_row) - 1)
    return mean - (variance / len(by_row)) ** 0.5


def by_hand(candidates, loss, row_loss, rows, overlap):
    """The rule, number by number: what each member takes, and the margins that were looked at."""
    allowed, margins = list(range(len(candidates.sharing))), []

    def named(name):
        mine = [i for i in allowed if candidates.sharing[i] == name]
        return mine, [i for i in allowed if i not in mine]

    independent, sharing = named("independent")
    if independent and sharing:
        margins.append(margin(loss, row_loss, rows, independent, sharing, np.ones(len(overlap))))
        if margins[-1] > 0:
            allowed = sharing
    constant, varying = named("intercept")
    if constant and varying:
        margins.append(margin(loss, row_loss, rows, constant, varying, overlap))
        if margins[-1] <= 0:
            allowed = constant
    return [min((of_member[i], i) for i in allowed)[1] for of_member in loss.tolist()], margins


def choice(loss, gains, rows=None, overlap=None, candidates=BY_DEGREE):
    """What members take where a constant loses `gains`, shape (members, held), to the others."""
    loss, gains = np.asarray(loss), np.asarray(gains, dtype=np.float32)
    row_loss = np.ones((*loss.shape, gains.shape[1]), np.float32)
    row_loss[:, np.array(candidates.sharing) == "intercept"] += gains[:, None]
    if rows is None:
        rows = np.arange(gains.size).reshape(gains.shape)
    if overlap is None:
        overlap = np.full(np.max(rows) + 1, 0.25)
    return candidates.choose(loss, row_loss, np.asarray(rows), np.asarray(overlap)).tolist()


class TestPairs:
    @pytest.mark.parametrize("generation", ["chunk", "component", "once"])
    def test_auto_crosses_degrees_with_two_ways_to_see(self, generation):
        pairs = Candidates.of(generation, "auto", "auto", "members")
        together = list(zip(pairs.sharing, pairs.inputs, strict=True))
        assert len(set(together)) == len(together) == 2 * len(TRIED)
        assert TRIED == ["intercept", "moderate", "weak", "independent"]
        assert set(together) == set(itertools.product(TRIED, ["raw", "boosted"]))

    @pytest.mark.parametrize("sharing", ["auto", *DEGREES])
    @pytest.mark.parametrize("inputs", ["auto", *INPUTS])
    def test_what_is_named_is_all_that_is_tried(self, sharing, inputs):
        pairs = Candidates.of("chunk", sharing, inputs, "members")
        assert set(pairs.sharing) == ({*TRIED} if sharing == "auto" else {sharing})
        assert set(pairs.inputs) == ({*INPUTS} if inputs == "auto" else {inputs})
        assert len(pairs.sharing) == len(pairs.inputs)
        assert pairs.need_trees == (inputs != "raw")

    @pytest.mark.parametrize("source", ["dropout", "noise"])
    def test_arms_that_a_perturbation_does_not_reach_are_not_tried_for_its_draws(self, source):
        assert Candidates.of("chunk", "auto", "raw", source).sharing == TRIED[:-1]
        assert Candidates.of("chunk", "auto", "raw", "both").sharing == TRIED

    @pytest.mark.parametrize("sharing", ["auto", "weak"])
    def test_without_a_generator_there_is_nothing_to_share(self, sharing):
        pairs = Candidates.of("none", sharing, "auto", "members")
        assert pairs.sharing == ["none"] * 2
        assert sorted(pairs.inputs) == sorted(INPUTS)

    def test_degrees_are_those_of_the_names(self):
        degrees = ALL.degrees()
        assert degrees.dtype == torch.float32
        assert degrees.tolist() == [DEGREES[name] for name in ALL.sharing]
        assert degrees.unique().tolist() == [0, 1, 3]
        assert EVERY.degrees().unique().tolist() == [0, 1, 3, np.inf]
        assert Candidates.of("none", "auto", "auto", "members").degrees().isnan().all()


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
        scale = Candidates.of("chunk", "weak", "raw", "members").input_scale(
            np.ones(4, np.float32), 0
        )
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


CLEAR = [[0.9, 1.1, 1.0]] * 3
NOISE = [[0.9, -1.1, 0.3], [-1.0, 1.2, -0.2], [0.5, -0.6, 0.1]]


class TestChoice:
    def test_each_member_takes_its_own_best_where_effects_that_vary_clearly_pay(self):
        assert choice([[1, 0.5, 0.6], [1, 0.6, 0.5], [1, 0.5, 0.7]], CLEAR) == [1, 2, 1]

    def test_a_member_may_keep_to_a_constant_where_the_others_gain_clearly(self):
        assert choice([[1, 0.5, 0.6], [1, 0.6, 0.4], [1, 1.01, 1.02]], CLEAR) == [1, 2, 0]

    def test_all_keep_to_a_constant_where_others_do_not_pay(self):
        assert choice([[1, 0.5, 0.6], [1, 0.6, 0.5], [1, 0.5, 0.7]], NOISE) == [0, 0, 0]
        assert choice([[1, 0.5, 0.6], [1, 0.6, 0.5], [1, 0.5, 0.7]], np.negative(CLEAR)) == [0] * 3

    @pytest.mark.parametrize(("gains", "pays"), [((0.01, 0.31), True), ((-0.01, 0.29), False)])
    @pytest.mark.parametrize("held", [(1, 2), (2, 1)])
    def test_a_standard_error_over_the_rows_is_the_margin(self, gains, pays, held):
        """Two gains have mean m and standard error d / 2, d their distance."""
        loss = [[1, 0.5, 2]] * held[0]
        assert choice(loss, np.reshape(gains, held)) == [int(pays)] * held[0]

    def test_the_margin_shrinks_with_the_root_of_the_number_of_rows(self):
        few = np.array([[-0.1, 0.3, -0.1]])
        assert choice([[1, 0.5, 2]], few) == [0]
        assert choice([[1, 0.5, 2]], np.tile(few, 20)) == [1]

    def test_members_that_held_out_the_same_rows_are_no_further_rows(self):
        gains = np.tile([-0.1, 0.3, -0.1], (20, 1))
        assert choice([[1, 0.5, 2]] * 20, gains) == [1] * 20
        assert choice([[1, 0.5, 2]] * 20, gains, rows=[[0, 1, 2]] * 20) == [0] * 20

    def test_a_row_held_out_by_several_members_counts_with_its_mean(self):
        """Rows 0 and 1 gain 0.01 and 0.31 on average; row by row the error would be far larger."""
        gains, rows = [[5.01, -4.69], [-4.99, 5.31]], [[0, 1], [0, 1]]
        assert choice([[1, 0.5, 2]] * 2, gains, rows) == [1, 1]
        assert choice([[1, 0.5, 2]] * 2, gains) == [0, 0]
        gains, rows = [[0.3], [0.3], [-0.1], [-0.1], [-0.1]], [[0], [1], [2], [2], [2]]
        assert choice([[1, 0.5, 2]] * 5, gains, rows) == [1] * 5  # their sums have 0.1 +- 0.2

    def test_rows_that_could_have_received_one_arm_only_have_no_say(self):
        gains = [[1, 1.1, 0.9, 1, -0.4, 0.3, 0.2, -0.1]]
        both, one = 0.25, 1e-6
        assert choice([[1, 0.5, 2]], gains) == [1]
        assert choice([[1, 0.5, 2]], gains, overlap=[one] * 4 + [both] * 4) == [0]
        assert choice([[1, 0.5, 2]], gains, overlap=[both] * 4 + [one] * 4) == [1]

    @pytest.mark.parametrize("unit", [1e-6, 1e6])
    def test_units_of_losses_and_of_overlap_do_not_matter(self, unit):
        for gains, expected in (([[0.01, 0.31]], [1]), ([[-0.01, 0.29]], [0])):
            row_loss = np.zeros((1, 3, 2))
            row_loss[0, 0] = gains[0]
            loss, rows, overlap = np.array([[1, 0.5, 2]]), np.array([[1, 0]]), np.full(2, 0.2)
            assert (
                BY_DEGREE.choose(unit * loss, unit * row_loss, rows, overlap).tolist() == expected
            )
            assert BY_DEGREE.choose(loss, row_loss, rows, unit * overlap).tolist() == expected

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(
        st.sampled_from(PAIRS),
        st.data(),
        st.integers(1, 4),
        st.integers(1, 6),
        st.sampled_from([np.float32, np.float64]),
    )
    def test_agrees_with_the_rule_by_hand(self, candidates, data, n_members, n_held, dtype):
        shape = (n_members, len(candidates.sharing))
        positive = st.floats(0.5, 2)
        loss = data.draw(hnp.arrays(np.float64, shape, elements=positive)).astype(dtype)
        at_rows = hnp.arrays(np.float64, (*shape, n_held), elements=positive)
        row_loss = data.draw(at_rows).astype(np.float32)
        for name in ("intercept", "independent"):
            if data.draw(st.booleans()):
                row_loss[:, np.array(candidates.sharing) != name] *= np.float32(0.7)
                loss[:, np.array(candidates.sharing) == name] *= dtype(0.5)
        held = st.lists(st.integers(0, 7), min_size=n_held, max_size=n_held, unique=True)
        rows = np.array(data.draw(st.lists(held, min_size=n_members, max_size=n_members)))
        overlap = data.draw(hnp.arrays(np.float64, 8, elements=st.sampled_from([0.25, 0.1, 1e-3])))
        before = loss.copy(), row_loss.copy(), rows.copy(), overlap.copy()
        if len(set(rows.flat)) > 1:
            expected, margins = by_hand(candidates, loss, row_loss, rows, overlap)
            if all(abs(margin) > 1e-7 for margin in margins):
                assert candidates.choose(loss, row_loss, rows, overlap).tolist() == expected
        for now, then in zip((loss, row_loss, rows, overlap), before, strict=True):
            np.testing.assert_array_equal(now, then)

    def test_members_that_keep_to_a_constant_still_choose_how_to_see(self):
        loss = np.full((3, 6), 2.0)
        constant = np.flatnonzero(np.array(ALL.sharing) == "intercept")
        best = constant[[1, 0, 1]]
        loss[[0, 1, 2], best] = 1
        loss[0, np.array(ALL.sharing) == "weak"] = 0.9
        assert choice(loss, NOISE, candidates=ALL) == best.tolist()

    def test_one_row_cannot_speak_for_effects_that_vary(self):
        assert choice([[1, 0.5, 0.7]], [[9.0]]) == [0]
        assert choice([[1, 0.5, 0.7]] * 2, [[9.0], [9.0]], rows=[[3], [3]]) == [0, 0]

    @pytest.mark.parametrize("sharing", ["intercept", "strong", "weak"])
    def test_with_one_degree_each_takes_its_own_best(self, sharing):
        candidates = Candidates.of("chunk", sharing, "auto", "members")
        loss = np.array([[3, 2], [1, 2], [2, 1]], dtype=np.float32)
        assert choice(loss, np.zeros((3, 4)), candidates=candidates) == [1, 0, 1]

    def test_without_a_generator_each_takes_its_own_best(self):
        loss = np.array([[3, 2], [1, 2]], dtype=np.float32)
        candidates = Candidates.of("none", "auto", "auto", "members")
        assert choice(loss, np.zeros((2, 4)), candidates=candidates) == [1, 0]

    def test_a_perfect_fit_is_taken(self):
        assert choice([[1, 0, 1], [1, 0, 1]], np.ones((2, 3))) == [1, 1]
        assert choice([[0, 1, 1], [0, 1, 1]], -np.ones((2, 3))) == [0, 0]

    def test_a_draw_goes_to_the_constant(self):
        assert choice([[1, 0.9, 1], [1, 0.9, 1]], np.zeros((2, 3))) == [0, 0]


WITH_OWN = Candidates([*TRIED], ["raw"] * 4)


def own_or_shared(loss, gains, constant_loses=9.0, overlap=None, candidates=WITH_OWN):
    """What members take where independent arms lose `gains`, shape (members, held), to others."""
    loss, gains = np.asarray(loss), np.asarray(gains, dtype=np.float32)
    row_loss = np.ones((*loss.shape, gains.shape[1]), np.float32)
    names = np.array(candidates.sharing)
    row_loss[:, names == "intercept"] += constant_loses
    row_loss[:, names == "independent"] += gains[:, None]
    row_loss[np.isinf(loss)] = np.nan
    rows = np.arange(gains.size).reshape(gains.shape)
    overlap = np.full(gains.size, 0.25) if overlap is None else np.asarray(overlap)
    return candidates.choose(loss, row_loss, rows, overlap).tolist()


class TestIndependentArms:
    loss = ((1, 0.6, 0.7, 0.5), (1, 0.7, 0.6, 0.5), (1, 0.5, 0.7, 0.6))

    def test_they_are_left_out_where_sharing_is_clearly_better(self):
        assert own_or_shared(self.loss, CLEAR) == [1, 2, 1]

    @pytest.mark.parametrize("gains", [NOISE, np.negative(CLEAR), np.zeros((3, 3))])
    def test_each_member_takes_its_own_best_where_it_is_not(self, gains):
        assert own_or_shared(self.loss, gains) == [3, 3, 1]

    @pytest.mark.parametrize(("gains", "pays"), [((0.01, 0.31), True), ((-0.01, 0.29), False)])
    @pytest.mark.parametrize("held", [(1, 2), (2, 1)])
    def test_a_standard_error_over_the_rows_is_the_margin(self, gains, pays, held):
        taken = own_or_shared([self.loss[0]] * held[0], np.reshape(gains, held))
        assert taken == [1 if pays else 3] * held[0]

    def test_the_best_that_shares_speaks_for_sharing_also_the_constant(self):
        loss = [(0.55, 0.6, 0.7, 0.5)] * 3
        assert own_or_shared(loss, CLEAR, constant_loses=0) == [0, 0, 0]
        assert own_or_shared(loss, np.negative(CLEAR), constant_loses=0) == [3, 3, 3]

    def test_rows_of_little_overlap_count_as_others(self):
        """They say nothing of effects, but they do of outcomes."""
        gains = [[1, 1.1, 0.9, 1, -0.4, 0.3, 0.2, -0.1]]
        both, one = 0.25, 1e-6
        for overlap in ([one] * 4 + [both] * 4, [both] * 4 + [one] * 4):
            assert own_or_shared([self.loss[0]], gains, overlap=overlap) == [1]

    def test_they_are_left_out_before_constant_effects_are_judged(self):
        """Independent arms would beat a constant, but sharing arms, which beat them, do not."""
        row_loss = np.array([[[1.0, 1, 1], [1.0, 1.1, 0.9], [2, 2, 2], [1.1, 1.1, 1.1]]])
        loss, rows, overlap = np.array([[1.0, 0.8, 2, 0.5]]), np.array([[0, 1, 2]]), np.ones(3)
        assert WITH_OWN.choose(loss, row_loss, rows, overlap).tolist() == [0]
        row_loss[:, 3] = 0.5
        assert WITH_OWN.choose(loss, row_loss, rows, overlap).tolist() == [3]

    def test_alone_each_member_takes_its_best(self):
        candidates = Candidates.of("chunk", "independent", "auto", "members")
        loss = [[3, 2], [1, 2], [2, 1]]
        assert own_or_shared(loss, CLEAR, candidates=candidates) == [1, 0, 1]

    def test_a_member_without_one_leaves_each_its_best(self):
        loss = [[1, 0.6, 0.7, np.inf], *self.loss[1:]]
        assert own_or_shared(loss, CLEAR) == [1, 3, 1]

    def test_a_member_without_others_leaves_each_its_best(self):
        loss = [[np.inf, np.inf, np.inf, 0.5], *self.loss[1:]]
        assert own_or_shared(loss, CLEAR) == [3, 3, 1]


class TestDivergedCandidates:
    """A network that diverged has an infinite loss; what it is worth at a row is not asked."""

    def choice(self, loss, gains, candidates=BY_DEGREE):
        loss, gains = np.asarray(loss), np.asarray(gains, dtype=float)
        row_loss = np.ones((*loss.shape, gains.shape[1]))
        row_loss[:, np.array(candidates.sharing) == "intercept"] += gains[:, None]
        row_loss[np.isinf(loss)] = np.nan
        rows = np.arange(gains.size).reshape(gains.shape)
        return candidates.choose(loss, row_loss, rows, np.full(gains.size, 0.2)).tolist()

    def test_one_of_several_is_as_if_not_tried(self):
        loss = [[1, 0.5, np.inf], [1, np.inf, 0.5], [1, 0.5, np.inf]]
        assert self.choice(loss, CLEAR) == [1, 2, 1]
        assert self.choice(loss, NOISE) == [0, 0, 0]

    def test_effects_that_vary_do_not_pay_where_a_member_has_none(self):
        loss = [[1, np.inf, np.inf], [1, 0.5, 0.6], [1, 0.6, 0.5]]
        assert self.choice(loss, CLEAR) == [0, 0, 0]

    @pytest.mark.parametrize("gains", [CLEAR, NOISE])
    def test_a_member_without_a_constant_one_leaves_each_its_best(self, gains):
        loss = [[np.inf, 2, 1], [1, 0.5, 0.6], [1, 1.2, 1.5]]
        assert self.choice(loss, gains) == [2, 1, 0]

    @quick
    @given(
        hnp.arrays(
            np.float32,
            st.tuples(st.integers(1, 5), st.just(8)),
            elements=st.sampled_from([0.5, 1, 2, np.inf]),
        ),
        st.sampled_from([-1.0, 0.0, 1.0]),
    )
    def test_none_is_chosen_if_another_is_to_be_had(self, loss, gain):
        loss[:, 4] = np.where(np.isinf(loss).all(1), 1, loss[:, 4])
        chosen = self.choice(loss, np.full((len(loss), 3), gain), EVERY)
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
