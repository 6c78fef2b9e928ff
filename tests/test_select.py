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
from hypercate.train.loop import Found

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


def margin(row_loss, rows, real, first, second, cluster, weight):
    """By how much one candidate gains more than the bar over another, on a model's rows."""
    gains = {}
    for at, row in enumerate(rows):
        if real[at]:
            gain = (float(row_loss[first][at]) - float(row_loss[second][at])) * weight[row]
            gains[cluster[row]] = gains.get(cluster[row], 0) + gain
    total = list(gains.values())
    if len(total) < 2:
        return -np.inf
    mean = sum(total) / len(total)
    variance = sum((gain - mean) ** 2 for gain in total) / (len(total) - 1)
    return mean - LEAST_GAIN * (variance / len(total)) ** 0.5


def by_hand(candidates, search, cluster, overlap):
    """The rule, number by number: what each model takes, and the margins that were looked at."""
    choice, margins = [], []
    for m, loss in enumerate(search.loss.tolist()):
        tried = [i for i in range(len(loss)) if np.isfinite(loss[i])]
        at = search.row_loss[m], search.rows[m], search.real[m]

        def of(name, tried=tried):
            mine = [i for i in tried if candidates.sharing[i] == name]
            return mine, [i for i in tried if i not in mine]

        def best(some, loss=loss):
            return min((loss[i], i) for i in some)[1]

        independent, sharing = of("independent")
        if independent and sharing:
            alike = np.ones(len(overlap))
            margins.append(margin(*at, best(independent), best(sharing), cluster, alike))
            if margins[-1] > 0:
                tried = sharing
        constant, varying = of("intercept", tried)
        if constant and varying:
            margins.append(margin(*at, best(constant), best(varying), cluster, overlap))
            if margins[-1] <= 0:
                tried = constant
        choice.append(best(tried))
    return choice, margins


def choice(loss, gains, rows=None, overlap=None, cluster=None, candidates=BY_DEGREE):
    """What models take where a constant loses `gains`, shape (models, held), to the others."""
    loss, gains = np.asarray(loss), np.asarray(gains, dtype=np.float32)
    row_loss = np.ones((*loss.shape, gains.shape[1]), np.float32)
    row_loss[:, np.array(candidates.sharing) == "intercept"] += gains[:, None]
    if rows is None:
        rows = np.arange(gains.size).reshape(gains.shape)
    n = np.max(rows) + 1
    overlap = np.full(n, 0.25) if overlap is None else np.asarray(overlap)
    cluster = np.arange(n) if cluster is None else np.asarray(cluster)
    return candidates.choose(found(loss, row_loss, rows), cluster, overlap).tolist()


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


class TestChoice:
    def test_each_model_takes_its_own_best_where_effects_that_vary_clearly_pay(self):
        assert choice([[1, 0.5, 0.6], [1, 0.6, 0.5], [1, 0.5, 0.7]], CLEAR) == [1, 2, 1]

    def test_each_keeps_to_a_constant_where_others_do_not_pay(self):
        assert choice([[1, 0.5, 0.6], [1, 0.6, 0.5], [1, 0.5, 0.7]], NOISE) == [0, 0, 0]
        assert choice([[1, 0.5, 0.6], [1, 0.6, 0.5], [1, 0.5, 0.7]], np.negative(CLEAR)) == [0] * 3

    def test_each_decides_for_itself(self):
        """Rows of other models have no say."""
        loss = [[1, 0.5, 0.6]] * 4
        assert choice(loss, [CLEAR[0], NOISE[0], np.negative(CLEAR[0]), CLEAR[0]]) == [1, 0, 0, 1]
        for m in range(3):
            alone = choice([loss[m]], [[CLEAR, NOISE][m % 2][0]])
            assert alone == [1 - m % 2]

    def test_a_model_takes_a_constant_that_is_its_best_whatever_its_rows_say(self):
        assert choice([[0.4, 0.5, 0.6]], CLEAR[:1]) == [0]

    @pytest.mark.parametrize(("gains", "pays"), [((-0.09, 0.31), True), ((-0.11, 0.29), False)])
    def test_half_a_standard_error_over_the_rows_is_the_margin(self, gains, pays):
        assert LEAST_GAIN == 0.5
        assert choice([[1, 0.5, 2]] * 3, [gains] * 3) == [int(pays)] * 3

    def test_the_margin_shrinks_with_the_root_of_the_number_of_rows(self):
        few = np.array([[-0.2, 0.3, -0.1, 0.02]])
        assert choice([[1, 0.5, 2]], few) == [0]
        assert choice([[1, 0.5, 2]], np.tile(few, 200)) == [1]

    def test_rows_of_a_cluster_are_no_further_rows(self):
        gains = np.tile([[-0.2, 0.3, -0.1, 0.02]], 200)
        assert choice([[1, 0.5, 2]], gains) == [1]
        assert choice([[1, 0.5, 2]], gains, cluster=np.arange(800) % 4) == [0]
        assert choice([[1, 0.5, 2]], gains, cluster=10**6 * (np.arange(800) % 4)) == [0]

    def test_a_cluster_counts_with_the_sum_of_its_rows(self):
        """Sums of 0.4 and 0.4 in pairs, whatever the rows gain one by one."""
        gains = [[5.1, -4.7, -4.9, 5.3]]
        assert choice([[1, 0.5, 2]], gains, cluster=[7, 7, 3, 3]) == [1]
        assert choice([[1, 0.5, 2]], gains) == [0]
        assert choice([[1, 0.5, 2]], gains, cluster=[7, 3, 3, 7]) == [0]

    def test_rows_that_could_have_received_one_arm_only_have_no_say(self):
        gains = [[1, 1.1, 0.9, 1, -0.4, 0.3, 0.2, -0.1]]
        both, one = 0.25, 1e-6
        assert choice([[1, 0.5, 2]], gains) == [1]
        assert choice([[1, 0.5, 2]], gains, overlap=[one] * 4 + [both] * 4) == [0]
        assert choice([[1, 0.5, 2]], gains, overlap=[both] * 4 + [one] * 4) == [1]

    def test_places_without_a_row_have_no_say(self):
        row_loss = np.ones((2, 3, 5))
        row_loss[:, 0] = [[1.9, 2.1, 2, -90, -90], [0.9, 1.2, 0.8, 90, 91]]
        rows, real = np.array([[0, 1, 2, 0, 0], [3, 4, 5, 3, 3]]), np.array([[1, 1, 1, 0, 0]] * 2)
        loss, apart = [[1, 0.5, 2]] * 2, np.arange(6)
        search = found(loss, row_loss, rows, real > 0)
        assert BY_DEGREE.choose(search, apart, np.full(6, 0.2)).tolist() == [1, 0]
        whole = found(loss, row_loss, np.arange(10).reshape(2, 5))
        assert BY_DEGREE.choose(whole, np.arange(10), np.full(10, 0.2)).tolist() == [0, 1]

    @pytest.mark.parametrize("unit", [1e-6, 1e6])
    def test_units_of_losses_and_of_overlap_do_not_matter(self, unit):
        for gains, expected in (([[-0.09, 0.31]], [1]), ([[-0.11, 0.29]], [0])):
            row_loss = np.zeros((1, 3, 2))
            row_loss[0, 0] = gains[0]
            loss, rows, apart = np.array([[1, 0.5, 2]]), np.array([[1, 0]]), np.arange(2)
            overlap = np.full(2, 0.2)
            for one, other in ((unit, 1), (1, unit)):
                search = found(one * loss, one * row_loss, rows, dtype=np.float64)
                assert BY_DEGREE.choose(search, apart, other * overlap).tolist() == expected

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
        for name in ("intercept", "independent"):
            if data.draw(st.booleans()):
                row_loss[:, np.array(candidates.sharing) != name] *= np.float32(0.7)
                loss[:, np.array(candidates.sharing) == name] *= dtype(0.5)
        diverged = data.draw(hnp.arrays(bool, shape)) & (loss > loss.min(1, keepdims=True))
        loss[diverged], row_loss[diverged] = np.inf, np.nan
        held = st.lists(st.integers(0, 7), min_size=n_held, max_size=n_held, unique=True)
        rows = np.array(data.draw(st.lists(held, min_size=n_models, max_size=n_models)))
        real = data.draw(hnp.arrays(bool, rows.shape))
        real[:, 0] = True
        cluster = data.draw(hnp.arrays(np.int64, 8, elements=st.integers(0, 7)))
        overlap = data.draw(hnp.arrays(np.float64, 8, elements=st.sampled_from([0.25, 0.1, 1e-3])))
        search = found(loss, row_loss, rows, real, dtype)
        given = search.loss, search.row_loss, search.rows, search.real, cluster, overlap
        before = [part.copy() for part in given]
        expected, margins = by_hand(candidates, search, cluster, overlap)
        if all(abs(margin) > 1e-6 for margin in margins):
            assert candidates.choose(search, cluster, overlap).tolist() == expected
        for now, then in zip(given, before, strict=True):
            np.testing.assert_array_equal(now, then)

    def test_models_that_keep_to_a_constant_still_choose_how_to_see(self):
        loss = np.full((3, 6), 2.0)
        constant = np.flatnonzero(np.array(ALL.sharing) == "intercept")
        best = constant[[1, 0, 1]]
        loss[[0, 1, 2], best] = 1
        loss[0, np.array(ALL.sharing) == "weak"] = 0.9
        assert choice(loss, NOISE, candidates=ALL) == best.tolist()

    def test_one_row_or_one_cluster_cannot_speak_for_effects_that_vary(self):
        assert choice([[1, 0.5, 0.7]], [[9.0]]) == [0]
        assert choice([[1, 0.5, 0.7]] * 2, [[9.0], [9.0]], rows=[[3], [3]]) == [0, 0]
        assert choice([[1, 0.5, 0.7]], [[9.0, 9.1, 8.9]], cluster=[4, 4, 4]) == [0]

    @pytest.mark.parametrize("sharing", ["intercept", "strong", "weak", "s", "tarnet"])
    def test_with_one_degree_each_takes_its_own_best(self, sharing):
        candidates = Candidates.of("chunk", sharing, "auto", "members", 3)
        loss = np.array([[3, 2], [1, 2], [2, 1]], dtype=np.float32)
        assert choice(loss, np.zeros((3, 4)), candidates=candidates) == [1, 0, 1]

    def test_without_a_generator_each_takes_its_own_best(self):
        loss = np.array([[3, 2], [1, 2]], dtype=np.float32)
        candidates = Candidates.of("none", "auto", "auto", "members", 3)
        assert choice(loss, np.zeros((2, 4)), candidates=candidates) == [1, 0]

    def test_a_perfect_fit_is_taken(self):
        assert choice([[1, 0, 1], [1, 0, 1]], np.ones((2, 3))) == [1, 1]
        assert choice([[0, 1, 1], [0, 1, 1]], -np.ones((2, 3))) == [0, 0]

    def test_a_draw_goes_to_the_constant(self):
        assert choice([[1, 0.9, 1], [1, 0.9, 1]], np.zeros((2, 3))) == [0, 0]


WITH_OWN = Candidates(["intercept", "moderate", "weak", "independent"], ["raw"] * 4)


def own_or_shared(loss, gains, constant_loses=9.0, overlap=None, cluster=None, candidates=WITH_OWN):
    """What models take where independent arms lose `gains`, shape (models, held), to others."""
    loss, gains = np.asarray(loss), np.asarray(gains, dtype=np.float32)
    row_loss = np.ones((*loss.shape, gains.shape[1]), np.float32)
    names = np.array(candidates.sharing)
    wiggle = 1 + 0.01 * (np.arange(gains.shape[1]) % 2)  # else a gain without any error
    row_loss[:, names == "intercept"] += np.float32(constant_loses * wiggle)
    row_loss[:, names == "independent"] += gains[:, None]
    row_loss[np.isinf(loss)] = np.nan
    rows = np.arange(gains.size).reshape(gains.shape)
    overlap = np.full(gains.size, 0.25) if overlap is None else np.asarray(overlap)
    cluster = np.arange(gains.size) if cluster is None else np.asarray(cluster)
    return candidates.choose(found(loss, row_loss, rows), cluster, overlap).tolist()


class TestIndependentArms:
    loss = ((1, 0.6, 0.7, 0.5), (1, 0.7, 0.6, 0.5), (1, 0.5, 0.7, 0.6))

    def test_they_are_left_out_where_sharing_is_clearly_better(self):
        assert own_or_shared(self.loss, CLEAR) == [1, 2, 1]

    @pytest.mark.parametrize("gains", [NOISE, np.negative(CLEAR), np.zeros((3, 3))])
    def test_each_model_takes_its_own_best_where_it_is_not(self, gains):
        assert own_or_shared(self.loss, gains) == [3, 3, 1]

    def test_each_decides_for_itself(self):
        gains = [CLEAR[0], NOISE[0], np.negative(CLEAR[0])]
        assert own_or_shared([self.loss[0]] * 3, gains) == [1, 3, 3]

    @pytest.mark.parametrize(("gains", "pays"), [((-0.09, 0.31), True), ((-0.11, 0.29), False)])
    def test_half_a_standard_error_over_the_rows_is_the_margin(self, gains, pays):
        assert own_or_shared([self.loss[0]], [gains]) == [1 if pays else 3]

    def test_rows_of_a_cluster_are_no_further_rows(self):
        gains = np.tile([[-0.2, 0.3, -0.1, 0.02]], 200)
        assert own_or_shared([self.loss[0]], gains) == [1]
        assert own_or_shared([self.loss[0]], gains, cluster=np.arange(800) % 4) == [3]

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
        loss, rows, apart = np.array([[1.0, 0.8, 2, 0.5]]), np.array([[0, 1, 2]]), np.arange(3)
        search = found(loss, row_loss, rows)
        assert WITH_OWN.choose(search, apart, np.ones(3)).tolist() == [0]
        row_loss[:, 3] = 0.5
        search = found(loss, row_loss, rows)
        assert WITH_OWN.choose(search, apart, np.ones(3)).tolist() == [3]

    def test_alone_each_model_takes_its_best(self):
        candidates = Candidates.of("chunk", "independent", "auto", "members", 3)
        loss = [[3, 2], [1, 2], [2, 1]]
        assert own_or_shared(loss, CLEAR, candidates=candidates) == [1, 0, 1]

    def test_a_model_without_one_leaves_the_others_theirs(self):
        loss = [[1, 0.6, 0.7, np.inf], *self.loss[1:]]
        assert own_or_shared(loss, np.negative(CLEAR)) == [1, 3, 1]

    def test_a_model_without_others_takes_them(self):
        loss = [[np.inf, np.inf, np.inf, 0.5], *self.loss[1:]]
        assert own_or_shared(loss, CLEAR) == [3, 2, 1]


class TestDivergedCandidates:
    """A network that diverged has an infinite loss; what it is worth at a row is not asked."""

    def choice(self, loss, gains, candidates=BY_DEGREE):
        loss, gains = np.asarray(loss), np.asarray(gains, dtype=float)
        row_loss = np.ones((*loss.shape, gains.shape[1]))
        row_loss[:, np.array(candidates.sharing) == "intercept"] += gains[:, None]
        row_loss[np.isinf(loss)] = np.nan
        rows = np.arange(gains.size).reshape(gains.shape)
        apart, overlap = np.arange(gains.size), np.full(gains.size, 0.2)
        return candidates.choose(found(loss, row_loss, rows), apart, overlap).tolist()

    def test_one_of_several_is_as_if_not_tried(self):
        loss = [[1, 0.5, np.inf], [1, np.inf, 0.5], [1, 0.5, np.inf]]
        assert self.choice(loss, CLEAR) == [1, 2, 1]
        assert self.choice(loss, NOISE) == [0, 0, 0]

    def test_a_model_without_effects_that_vary_takes_the_constant(self):
        loss = [[1, np.inf, np.inf], [1, 0.5, 0.6], [1, 0.6, 0.5]]
        assert self.choice(loss, CLEAR) == [0, 1, 2]

    @pytest.mark.parametrize(("gains", "others"), [(CLEAR, [1, 0]), (NOISE, [0, 0])])
    def test_a_model_without_a_constant_one_takes_its_best(self, gains, others):
        loss = [[np.inf, 2, 1], [1, 0.5, 0.6], [1, 1.2, 1.5]]
        assert self.choice(loss, gains) == [2, *others]

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
        assert np.mean(constant) > 0.6
        assert np.mean(spread) < 0.5 * np.mean(of_weak)
        assert np.median(spread) < 0.1

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
