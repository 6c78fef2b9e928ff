"""What every model tries, and what it chooses by the losses at its own stop rows."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import settings

from hypercate import HyperCATE
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.generator.profiles import PROFILES
from hypercate.nuisance.views import Views
from hypercate.select import INPUTS, TRIED_DEGREES, Candidates

pytestmark = pytest.mark.filterwarnings("error")
NUMBERS = np.zeros(3, dtype=int)
quick = settings(max_examples=100, deadline=None, derandomize=True)
TRIED = [*TRIED_DEGREES]
ALL = Candidates(["intercept", "intercept", "moderate", "moderate", "weak", "weak"], [*INPUTS] * 3)


EVERY = Candidates.of("chunk", "auto", "auto", "members", 3)


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


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x, arm = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    return x, arm, rng.normal(size=200)


class TestInTheEstimator:
    def test_each_model_takes_its_own_best(self, data):
        x, arm, y = data
        arms = arm + (np.arange(200) % 3 == 0)
        parameters = {"n_members": 10, "max_epochs": 4, "inputs": "auto", "random_state": 1}
        est = self.fit(x, y, arms, **parameters)
        for table in (est.sharing_, est.inputs_):
            losses = table.drop(columns="chosen").astype(float)
            assert (losses.idxmin(axis=1) == table["chosen"]).all()
        assert est.sharing_["chosen"].nunique() > 1

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
