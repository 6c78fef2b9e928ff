"""What every model tries, and what it chooses by the losses at its own stop rows."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hypercate import HyperCATE
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.generator.profiles import PROFILES
from hypercate.nuisance.views import Views
from hypercate.select import INPUTS, LEAST_GAIN, TRIED_DEGREES, Candidates
from hypercate.train.search import Found

pytestmark = pytest.mark.filterwarnings("error")
NUMBERS = np.zeros(3, dtype=int)
quick = settings(max_examples=100, deadline=None, derandomize=True)
TRIED = [*TRIED_DEGREES]
BY_DEGREE = Candidates(["intercept", "moderate", "weak"], ["raw"] * 3)
ALL = Candidates(["intercept", "intercept", "moderate", "moderate", "weak", "weak"], [*INPUTS] * 3)


EVERY = Candidates.of("chunk", "auto", "auto", "members", 3)
PAIRS = [
    *(BY_DEGREE, ALL, EVERY, Candidates.of("chunk", "auto", "raw", "members", 3)),
    *(
        Candidates.of("chunk", "independent", "auto", "members", 3),
        Candidates.of("none", "auto", "auto", "members", 3),
    ),
    Candidates(["independent", "moderate"], ["raw"] * 2),
    Candidates(["independent", "intercept", "independent"], ["raw", "raw", "boosted"]),
]


def found(loss, row_loss, rows, real=None, dtype=np.float32):
    """What a search says, as far as the choice needs it."""
    loss, rows = np.asarray(loss, dtype), np.asarray(rows)
    return Found(
        loss=loss,
        n_epochs=np.ones(loss.shape, dtype=int),
        target=np.zeros(loss.shape),
        params={},
        buffers={},
        row_loss=np.asarray(row_loss, np.float32),
        rows=rows,
        real=np.ones(rows.shape, dtype=bool) if real is None else np.asarray(real),
        history=np.zeros((0, 4)),
    )


def margin(row_loss, rows, real, first, second, cluster):
    """By how much one candidate gains more than the bar over another, on a model's rows."""
    gains = {}
    for at, row in enumerate(rows):
        if real[at]:
            gain = float(row_loss[first][at]) - float(row_loss[second][at])
            gains[cluster[row]] = gains.get(cluster[row], 0) + gain
    total = list(gains.values())
    if len(total) < 2:
        return -np.inf
    mean = sum(total) / len(total)
    variance = sum((gain - mean) ** 2 for gain in total) / (len(total) - 1)
    return mean - LEAST_GAIN * (variance / len(total)) ** 0.5


def by_hand(candidates, search, cluster):
    """The rule, number by number: what each model takes, and the margins that were looked at."""
    choice, margins = [], []
    for m, loss in enumerate(search.loss.tolist()):
        tried = [i for i in range(len(loss)) if np.isfinite(loss[i])]
        at = search.row_loss[m], search.rows[m], search.real[m]

        def best(some, loss=loss):
            return min((loss[i], i) for i in some)[1]

        independent = [i for i in tried if candidates.sharing[i] == "independent"]
        sharing = [i for i in tried if i not in independent]
        if independent and sharing:
            margins.append(margin(*at, best(independent), best(sharing), cluster))
            if margins[-1] > 0:
                tried = sharing
        choice.append(best(tried))
    return choice, margins


class TestPairs:
    @pytest.mark.parametrize("generation", ["chunk", "component", "once"])
    def test_auto_crosses_degrees_with_two_ways_to_see(self, generation):
        pairs = Candidates.of(generation, "auto", "auto", "members", 3)
        together = list(zip(pairs.sharing, pairs.inputs, strict=True))
        assert len(set(together)) == len(together) == 2 * len(TRIED)
        assert TRIED == ["intercept", "weak", "independent"]
        assert set(together) == set(itertools.product(TRIED, ["raw", "boosted"]))

    @pytest.mark.parametrize("sharing", ["auto", *PROFILES])
    @pytest.mark.parametrize("inputs", ["auto", *INPUTS])
    def test_what_is_named_is_all_that_is_tried(self, sharing, inputs):
        pairs = Candidates.of("chunk", sharing, inputs, "members", 3)
        assert set(pairs.sharing) == ({*TRIED} if sharing == "auto" else {sharing})
        assert set(pairs.inputs) == ({*INPUTS} if inputs == "auto" else {inputs})
        assert len(pairs.sharing) == len(pairs.inputs)
        assert pairs.need_trees == (inputs != "raw")

    @pytest.mark.parametrize("source", ["dropout", "noise"])
    def test_arms_that_a_perturbation_does_not_reach_are_not_tried_for_its_draws(self, source):
        assert Candidates.of("chunk", "auto", "raw", source, 3).sharing == TRIED[:-1]
        assert Candidates.of("chunk", "auto", "raw", "both", 3).sharing == TRIED

    @pytest.mark.parametrize("source", ["members", "dropout", "both"])
    def test_two_arms_always_share(self, source):
        assert Candidates.of("chunk", "auto", "raw", source, 2).sharing == TRIED[:-1]
        assert Candidates.of("chunk", "independent", "raw", source, 2).sharing == ["independent"]

    @pytest.mark.parametrize("sharing", ["auto", "weak"])
    def test_without_a_generator_there_is_nothing_to_share(self, sharing):
        pairs = Candidates.of("none", sharing, "auto", "members", 3)
        assert pairs.sharing == ["none"] * 2
        assert sorted(pairs.inputs) == sorted(INPUTS)

    def test_profiles_are_those_of_the_names(self):
        net = OutcomeNet(3, (8, 8), "silu")
        profiles = EVERY.profiles(net)
        assert profiles == [PROFILES[name](3) for name in EVERY.sharing]
        assert [p.constant for p in profiles] == [name == "intercept" for name in EVERY.sharing]
        assert [p.owned for p in profiles] == [name == "independent" for name in EVERY.sharing]
        nothing_shared = Candidates.of("none", "auto", "auto", "members", 3).profiles(net)
        assert [p.owned for p in nothing_shared] == [True, True]


def views(relevance, n_levels=0, n_boosted=0):
    """What models read, of which their factors depend on the widths alone."""
    relevance = np.asarray(relevance, dtype=np.float32)
    inputs = np.zeros((len(relevance), 1, n_levels + n_boosted), dtype=np.float32)
    return Views((), inputs, n_boosted, relevance)


class TestInputScale:
    def test_each_way_has_its_row_for_each_model(self):
        relevance = np.array([[1, 0.25, 0], [0.5, 1, 0.125]], dtype=np.float32)
        scale = ALL.input_scale(views(relevance, n_boosted=2), NUMBERS)
        assert scale.dtype == torch.float32
        assert scale.tolist() == [
            [1, 1, 1, 0, 0] if name == "raw" else [*of_model.tolist(), 1, 1]
            for of_model in relevance
            for name in ALL.inputs
        ]

    def test_without_trees_there_is_a_factor_for_each_column(self):
        scale = Candidates.of("chunk", "weak", "raw", "members", 3).input_scale(
            views(np.ones((2, 3))), NUMBERS
        )
        assert scale.tolist() == [[1, 1, 1]] * 2

    def test_codes_of_levels_are_not_read_and_their_means_are_whatever_the_way(self):
        given = views([[1, 0.25, 0.5], [0.5, 1, 0.125]], n_levels=4, n_boosted=2)
        scale = ALL.input_scale(given, np.array([0, 40, 0]))
        assert scale.tolist() == [
            [1, 0, 1, 1, 1, 1, 1, 0, 0] if name == "raw" else [first, 0, last, *[1] * 6]
            for first, last in ((1, 0.5), (0.5, 0.125))
            for name in ALL.inputs
        ]

    @pytest.mark.parametrize("device", ["meta", "cpu"])
    def test_lies_on_the_cpu_whatever_torchs_defaults(self, device):
        torch.set_default_device(device)
        torch.set_default_dtype(torch.float64)
        try:
            made = ALL.input_scale(views(np.ones((2, 3)), n_boosted=2), NUMBERS)
        finally:
            torch.set_default_device(None)
            torch.set_default_dtype(torch.float32)
        assert (made.device.type, made.dtype) == ("cpu", torch.float32)


CLEAR = [[0.9, 1.1, 1.0]] * 3
NOISE = [[0.9, -1.1, 0.3], [-1.0, 1.2, -0.2], [0.5, -0.6, 0.1]]
WITH_OWN = Candidates(["intercept", "moderate", "weak", "independent"], ["raw"] * 4)


def choice(loss, gains=None, rows=None, cluster=None, candidates=WITH_OWN):
    """What models take where independent arms lose `gains`, shape (models, held), to others."""
    loss = np.asarray(loss)
    gains = np.asarray(np.zeros((len(loss), 3)) if gains is None else gains, dtype=np.float32)
    row_loss = np.ones((*loss.shape, gains.shape[1]), np.float32)
    row_loss[:, np.array(candidates.sharing) == "independent"] += gains[:, None]
    row_loss[np.isinf(loss)] = np.nan
    if rows is None:
        rows = np.arange(gains.size).reshape(gains.shape)
    n = np.max(rows) + 1
    cluster = np.arange(n) if cluster is None else np.asarray(cluster)
    return candidates.choose(found(loss, row_loss, rows), cluster).tolist()


class TestChoice:
    def test_each_model_takes_its_own_best(self):
        loss = [[1, 0.5, 0.6], [0.4, 0.6, 0.5], [1, 0.8, 0.7]]
        assert choice(loss, candidates=BY_DEGREE) == [1, 0, 2]

    def test_a_draw_goes_to_the_first(self):
        assert choice([[1, 1, 1], [1, 0.9, 0.9]], candidates=BY_DEGREE) == [0, 1]

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(
        st.sampled_from(PAIRS),
        st.data(),
        st.integers(1, 4),
        st.integers(1, 6),
        st.sampled_from([np.float32, np.float64]),
    )
    def test_agrees_with_the_rule_by_hand(self, candidates, data, n_models, n_held, dtype):
        shape = (n_models, len(candidates.sharing))
        positive = st.floats(0.5, 2)
        loss = data.draw(hnp.arrays(np.float64, shape, elements=positive)).astype(dtype)
        at_rows = hnp.arrays(np.float64, (*shape, n_held), elements=positive)
        row_loss = data.draw(at_rows).astype(np.float32)
        if data.draw(st.booleans()):
            independent = np.array(candidates.sharing) == "independent"
            row_loss[:, ~independent] *= np.float32(0.7)
            loss[:, independent] *= dtype(0.5)
        diverged = data.draw(hnp.arrays(bool, shape)) & (loss > loss.min(1, keepdims=True))
        loss[diverged], row_loss[diverged] = np.inf, np.nan
        held = st.lists(st.integers(0, 7), min_size=n_held, max_size=n_held, unique=True)
        rows = np.array(data.draw(st.lists(held, min_size=n_models, max_size=n_models)))
        real = data.draw(hnp.arrays(bool, rows.shape))
        real[:, 0] = True
        cluster = data.draw(hnp.arrays(np.int64, 8, elements=st.integers(0, 7)))
        search = found(loss, row_loss, rows, real, dtype)
        given = search.loss, search.row_loss, search.rows, search.real, cluster
        before = [part.copy() for part in given]
        expected, margins = by_hand(candidates, search, cluster)
        if all(abs(margin) > 1e-6 for margin in margins):
            assert candidates.choose(search, cluster).tolist() == expected
        for now, then in zip(given, before, strict=True):
            np.testing.assert_array_equal(now, then)

    @pytest.mark.parametrize("sharing", ["intercept", "strong", "weak", "s", "tarnet"])
    def test_with_one_degree_each_takes_its_own_best(self, sharing):
        candidates = Candidates.of("chunk", sharing, "auto", "members", 3)
        loss = np.array([[3, 2], [1, 2], [2, 1]], dtype=np.float32)
        assert choice(loss, candidates=candidates) == [1, 0, 1]

    def test_without_a_generator_each_takes_its_own_best(self):
        loss = np.array([[3, 2], [1, 2]], dtype=np.float32)
        candidates = Candidates.of("none", "auto", "auto", "members", 3)
        assert choice(loss, candidates=candidates) == [1, 0]


class TestIndependentArms:
    loss = ((1, 0.6, 0.7, 0.5), (1, 0.7, 0.6, 0.5), (1, 0.5, 0.7, 0.6))

    def test_they_are_left_out_where_sharing_is_clearly_better(self):
        assert choice(self.loss, CLEAR) == [1, 2, 1]

    @pytest.mark.parametrize("gains", [NOISE, np.negative(CLEAR), np.zeros((3, 3))])
    def test_each_model_takes_its_own_best_where_it_is_not(self, gains):
        assert choice(self.loss, gains) == [3, 3, 1]

    def test_each_decides_for_itself(self):
        """Rows of other models have no say."""
        gains = [CLEAR[0], NOISE[0], np.negative(CLEAR[0])]
        assert choice([self.loss[0]] * 3, gains) == [1, 3, 3]
        for own, expected in zip(gains, [1, 3, 3], strict=True):
            assert choice([self.loss[0]], [own]) == [expected]

    @pytest.mark.parametrize(("gains", "pays"), [((-0.09, 0.31), True), ((-0.11, 0.29), False)])
    def test_half_a_standard_error_over_the_rows_is_the_margin(self, gains, pays):
        assert LEAST_GAIN == 0.5
        assert choice([self.loss[0]], [gains]) == [1 if pays else 3]

    def test_the_margin_shrinks_with_the_root_of_the_number_of_rows(self):
        few = np.array([[-0.2, 0.3, -0.1, 0.02]])
        assert choice([self.loss[0]], few) == [3]
        assert choice([self.loss[0]], np.tile(few, 200)) == [1]

    def test_rows_of_a_cluster_are_no_further_rows(self):
        gains = np.tile([[-0.2, 0.3, -0.1, 0.02]], 200)
        assert choice([self.loss[0]], gains) == [1]
        assert choice([self.loss[0]], gains, cluster=np.arange(800) % 4) == [3]
        assert choice([self.loss[0]], gains, cluster=10**6 * (np.arange(800) % 4)) == [3]

    def test_a_cluster_counts_with_the_sum_of_its_rows(self):
        """Sums of 0.4 and 0.4 in pairs, whatever the rows gain one by one."""
        gains = [[5.1, -4.7, -4.9, 5.3]]
        assert choice([self.loss[0]], gains, cluster=[7, 7, 3, 3]) == [1]
        assert choice([self.loss[0]], gains) == [3]
        assert choice([self.loss[0]], gains, cluster=[7, 3, 3, 7]) == [3]

    def test_places_without_a_row_have_no_say(self):
        row_loss = np.ones((2, 4, 5))
        row_loss[:, 3] = [[1.9, 2.1, 2, -90, -90], [0.9, 1.2, 0.8, 90, 91]]
        rows, real = np.array([[0, 1, 2, 0, 0], [3, 4, 5, 3, 3]]), np.array([[1, 1, 1, 0, 0]] * 2)
        loss = [self.loss[0]] * 2
        search = found(loss, row_loss, rows, real > 0)
        assert WITH_OWN.choose(search, np.arange(6)).tolist() == [1, 3]
        whole = found(loss, row_loss, np.arange(10).reshape(2, 5))
        assert WITH_OWN.choose(whole, np.arange(10)).tolist() == [3, 1]

    @pytest.mark.parametrize("unit", [1e-6, 1e6])
    def test_units_of_losses_do_not_matter(self, unit):
        for gains, expected in (([-0.09, 0.31], [1]), ([-0.11, 0.29], [3])):
            row_loss = np.zeros((1, 4, 2))
            row_loss[0, 3] = gains
            search = found(
                unit * np.array([self.loss[0]]), unit * row_loss, [[1, 0]], dtype=np.float64
            )
            assert WITH_OWN.choose(search, np.arange(2)).tolist() == expected

    def test_one_row_or_one_cluster_cannot_speak_against_them(self):
        assert choice([self.loss[0]], [[9.0]]) == [3]
        assert choice([self.loss[0]] * 2, [[9.0], [9.0]], rows=[[3], [3]]) == [3, 3]
        assert choice([self.loss[0]], [[9.0, 9.1, 8.9]], cluster=[4, 4, 4]) == [3]

    def test_the_best_that_shares_speaks_for_sharing_also_the_constant(self):
        loss = [(0.55, 0.6, 0.7, 0.5)] * 3
        assert choice(loss, CLEAR) == [0, 0, 0]
        assert choice(loss, np.negative(CLEAR)) == [3, 3, 3]

    def test_alone_each_model_takes_its_best(self):
        candidates = Candidates.of("chunk", "independent", "auto", "members", 3)
        loss = [[3, 2], [1, 2], [2, 1]]
        assert choice(loss, CLEAR, candidates=candidates) == [1, 0, 1]


class TestDivergedCandidates:
    """A network that diverged has an infinite loss; what it is worth at a row is not asked."""

    loss = TestIndependentArms.loss

    def test_one_of_several_is_as_if_not_tried(self):
        loss = [[1, 0.5, np.inf], [1, np.inf, 0.5], [np.inf, np.inf, 0.5]]
        assert choice(loss, candidates=BY_DEGREE) == [1, 2, 2]

    def test_a_model_without_one_leaves_the_others_theirs(self):
        loss = [[1, 0.6, 0.7, np.inf], *self.loss[1:]]
        assert choice(loss, np.negative(CLEAR)) == [1, 3, 1]

    def test_a_model_without_others_takes_them(self):
        loss = [[np.inf, np.inf, np.inf, 0.5], *self.loss[1:]]
        assert choice(loss, CLEAR) == [3, 2, 1]

    @quick
    @given(
        hnp.arrays(
            np.float32,
            st.tuples(st.integers(1, 5), st.just(6)),
            elements=st.sampled_from([0.5, 1, 2, np.inf]),
        ),
        st.sampled_from([-1.0, 0.0, 1.0]),
    )
    def test_none_is_chosen_if_another_is_to_be_had(self, loss, gain):
        loss[:, 4] = np.where(np.isinf(loss).all(1), 1, loss[:, 4])
        chosen = choice(loss, np.full((len(loss), 3), gain), candidates=EVERY)
        assert np.isfinite(loss[np.arange(len(loss)), chosen]).all()


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x, arm = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    return x, arm, rng.normal(size=200)


class TestInTheEstimator:
    def fit(self, x, y, arm, **changed):
        small = {"n_members": 3, "max_epochs": 40, "outcome_hidden": (8, 8), "inputs": "raw"}
        small |= {"learning_rate": 0.02, "device": "cpu", "random_state": 0, "pretrained": "none"}
        return HyperCATE(**small | changed).fit(x, y, arm)

    def test_effects_hardly_vary_unless_the_data_speak_for_it(self):
        """Each model may err; what counts is their mean."""
        constant, spread, of_weak = [], [], []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            x, arm, noise = rng.normal(size=(200, 2)), rng.integers(0, 2, 200), rng.normal(size=200)
            est = self.fit(x, arm + noise, arm, n_members=10)
            constant.append((est.sharing_["chosen"] == "intercept").mean())
            spread.append(est.predict(x).std())
            of_weak.append(self.fit(x, arm + noise, arm, sharing="weak").predict(x).std())
            est = self.fit(x, x[:, 0] + 2 * x[:, 1] * arm + 0.5 * noise, arm)
            assert (est.sharing_["chosen"] != "intercept").all()
            assert np.corrcoef(est.predict(x), x[:, 1])[0, 1] > 0.9
        assert np.mean(constant) > 0.3
        assert np.mean(spread) < 0.7 * np.mean(of_weak)

    def test_effects_are_constant_where_all_models_chose_so(self, data):
        x, arm, noise = data
        est = self.fit(x, arm - 3 * np.abs(noise), arm, n_members=1, random_state=2)
        assert (est.sharing_["chosen"] == "intercept").all()
        assert np.ptp(est.predict(x)) < 1e-5

    def test_tables_tell_the_least_loss_of_each_name_and_what_was_chosen(self, data):
        x, arm, noise = data
        est = self.fit(x, x[:, 0] + x[:, 1] * arm + 0.3 * noise, arm, inputs="auto", max_epochs=5)
        assert est.sharing_.columns.tolist() == [*TRIED[:-1], "chosen"]
        assert est.inputs_.columns.tolist() == [*INPUTS, "chosen"]
        assert est.sharing_.index.tolist() == est.inputs_.index.tolist() == [0, 1, 2]
        by_sharing = est.sharing_[TRIED[:-1]].to_numpy(dtype=float)
        by_inputs = est.inputs_[list(INPUTS)].to_numpy(dtype=float)
        np.testing.assert_array_equal(by_sharing.min(1), by_inputs.min(1))
        kept = est.history_.groupby("member")["validation_loss"].min()
        for member in range(3):
            row = est.sharing_.loc[member]
            assert kept[member] == pytest.approx(row[row["chosen"]], rel=1e-6)

    def test_every_model_chooses_also_those_that_only_judge(self, data):
        x, arm, noise = data
        y = x[:, 0] + 2 * x[:, 1] * arm + 0.5 * noise
        est = self.fit(x, y, arm, n_members=1)
        assert est.fitted_.networks.n_models == 5
        assert est.sharing_.index.tolist() == [0]
        outcomes = est.fitted_.networks.by_model(est.fitted_.features.transform(x), "cpu")
        for effects in np.diff(outcomes)[..., 0]:
            assert np.corrcoef(effects, x[:, 1])[0, 1] > 0.8
