"""Effects from potential outcomes, their draws, intervals and table."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from hypercate import effects
from hypercate.effects import EffectInference, against, contrast, interval, potential_outcomes
from hypercate.hypernet.hypernetwork import HyperNet
from hypercate.learners import TLearner
from hypercate.outcome_net import OutcomeNet
from hypercate.uncertainty import draw_weights

quick = settings(max_examples=40, deadline=None, derandomize=True)
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
NET = OutcomeNet(3, (6, 5), "blunt_silu")
CONTINUOUS = TLearner("continuous", 5.0, 2.0).potential_outcome
BINARY = TLearner("binary", 0.0, 1.0).potential_outcome


def rows(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)


def weights(m=4, n_arms=3, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(m, n_arms, NET.n_weights, generator=generator).to(device)


class TestPotentialOutcomes:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("link", [CONTINUOUS, BINARY], ids=["continuous", "binary"])
    def test_each_is_its_own_networks_output_in_units_of_the_outcome(self, link, device):
        theta, x = weights(device=device), rows(7)
        outcomes = potential_outcomes(NET, theta, x, link)
        assert outcomes.shape == (4, 7, 3)
        assert outcomes.dtype == np.float64
        for m, row, arm in itertools.product(range(4), range(7), range(3)):
            own = theta[m, arm].cpu().double()[None]
            output = NET(own, torch.as_tensor(x[row], dtype=torch.float64)[None]).item()
            expected = 1 / (1 + np.exp(-output)) if link is BINARY else 5 + 2 * output
            assert outcomes[m, row, arm] == pytest.approx(expected, rel=1e-4, abs=1e-5)

    def test_weights_average_outcomes_not_outputs(self):
        theta, x = weights(), rows(7)
        share = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
        each = potential_outcomes(NET, theta, x, BINARY)
        averaged = potential_outcomes(NET, theta, x, BINARY, share)
        assert averaged.shape == (7, 3)
        np.testing.assert_allclose(averaged, np.average(each, axis=0, weights=share), rtol=1e-12)

    @pytest.mark.parametrize("share", [None, torch.full((4,), 0.25, dtype=torch.float64)])
    @pytest.mark.parametrize("rows_a_block", [1, 3, 10, 1000])
    def test_blocks_of_any_size_give_the_same(self, share, rows_a_block, monkeypatch):
        theta, x = weights(), rows(10)
        whole = potential_outcomes(NET, theta, x, CONTINUOUS, share)
        monkeypatch.setattr(effects, "_BLOCK_ELEMENTS", rows_a_block * 4 * 3 * 6)
        seen = []

        def link(output):
            seen.append(output.shape[1])
            return CONTINUOUS(output)

        np.testing.assert_allclose(
            potential_outcomes(NET, theta, x, link, share), whole, rtol=1e-4, atol=1e-5
        )
        assert max(seen) <= rows_a_block
        assert sum(seen) == 10

    def test_many_rows_are_taken_in_bounded_blocks(self):
        sizes = []

        def link(output):
            sizes.append(output.shape[0] * output.shape[1] * 6)
            return CONTINUOUS(output)

        potential_outcomes(NET, weights(), rows(20_000), link)
        assert len(sizes) > 1
        assert max(sizes) <= 2**20

    def test_one_row_and_one_network(self):
        assert potential_outcomes(NET, weights(1, 2), rows(1), CONTINUOUS).shape == (1, 1, 2)


outcome_arrays = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5).filter(lambda s: s[-1] > 1),
    elements=st.floats(-1e6, 1e6),
)


class TestContrasts:
    @quick
    @given(outcome_arrays, st.data())
    def test_against_is_every_other_arm_less_the_control(self, outcomes, data):
        n_arms = outcomes.shape[-1]
        control = data.draw(st.integers(0, n_arms - 1))
        result = against(outcomes, control)
        assert result.shape == outcomes.shape[:-1] + ((n_arms - 1,) if n_arms > 2 else ())
        others = [arm for arm in range(n_arms) if arm != control]
        for at in np.ndindex(outcomes.shape[:-1]):
            expected = [outcomes[at][arm] - outcomes[at][control] for arm in others]
            np.testing.assert_array_equal(np.atleast_1d(result[at]), expected)

    @quick
    @given(outcome_arrays, st.data())
    def test_contrast_takes_each_row_s_own_arms(self, outcomes, data):
        n, n_arms = outcomes.shape[-2:]
        arms = arrays(int, n, elements=st.integers(0, n_arms - 1))
        control, treated = data.draw(arms), data.draw(arms)
        result = contrast(outcomes, control, treated)
        assert result.shape == outcomes.shape[:-1]
        for at in np.ndindex(result.shape):
            row = at[-1]
            assert result[at] == outcomes[at][treated[row]] - outcomes[at][control[row]]
        np.testing.assert_array_equal(contrast(outcomes, treated, control), -result)

    def test_the_control_is_arm_0_by_default(self):
        np.testing.assert_array_equal(against(np.array([[1.0, 5.0, 2.0]])), [[4.0, 1.0]])


draw_arrays = arrays(
    np.float64, st.tuples(st.integers(2, 30), st.integers(1, 4)), elements=st.floats(-100, 100)
)


class TestIntervals:
    @quick
    @given(draw_arrays, st.floats(0.01, 0.99))
    def test_ends_are_the_quantiles_of_the_draws(self, draws, alpha):
        lower, upper = interval(draws, alpha)
        assert lower.shape == upper.shape == draws.shape[1:]
        for column, low, high in zip(np.sort(draws, axis=0).T, lower, upper, strict=True):
            for end, level in ((low, alpha / 2), (high, 1 - alpha / 2)):
                place = level * (len(column) - 1)
                expected = np.interp(place, np.arange(len(column)), column)
                assert end == pytest.approx(expected, abs=1e-9)

    @quick
    @given(draw_arrays, st.floats(0.01, 0.98))
    def test_a_higher_level_holds_a_lower_one(self, draws, alpha):
        outer, inner = interval(draws, alpha), interval(draws, alpha + 0.01)
        assert (outer[0] <= inner[0] + 1e-9).all()
        assert (inner[0] <= inner[1] + 1e-9).all()
        assert (inner[1] <= outer[1] + 1e-9).all()

    @quick
    @given(draw_arrays, st.floats(0.01, 0.99))
    def test_the_opposite_effect_has_the_mirrored_interval(self, draws, alpha):
        lower, upper = interval(draws, alpha)
        np.testing.assert_allclose(interval(-draws, alpha), (-upper, -lower), atol=1e-9)

    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 1.5, np.nan, np.inf, "0.05", None, True, [0.1]])
    def test_a_bad_alpha_is_named(self, alpha):
        with pytest.raises((ValueError, TypeError), match=r"alpha=.*between 0 and 1"):
            interval(np.zeros((5, 2)), alpha)

    @pytest.mark.parametrize("alpha", [np.float64(0.25), np.float32(0.25)])
    def test_numpy_numbers_will_do(self, alpha):
        draws = np.random.default_rng(0).normal(size=(20, 2))
        np.testing.assert_array_equal(interval(draws, alpha), interval(draws, 0.25))


def inference(n=4, n_effects=None, index=None, n_samples=50):
    rng = np.random.default_rng(0)
    shape = (n,) if n_effects is None else (n, n_effects)
    return EffectInference(
        point_estimate=rng.normal(size=shape),
        draws=rng.normal(size=(n_samples, *shape)),
        index=pd.RangeIndex(n) if index is None else index,
        arms=["drug", "placebo", "surgery"][: n_effects or 1],
    )


class TestSummaryFrame:
    columns = ("point_estimate", "stderr", "zstat", "pvalue", "ci_lower", "ci_upper")

    @pytest.mark.parametrize(
        "index", [pd.Index([7, 7, 3, 1]), pd.Index(list("dcba"), name="person")]
    )
    def test_one_effect_is_on_the_index_of_the_data(self, index):
        frame = inference(index=index).summary_frame()
        assert tuple(frame.columns) == self.columns
        pd.testing.assert_index_equal(frame.index, index)

    def test_several_effects_get_a_level_that_names_the_arm(self):
        index = pd.Index(list("dcba"), name="person")
        result = inference(n_effects=3, index=index)
        frame = result.summary_frame()
        assert tuple(frame.columns) == self.columns
        assert frame.index.names == ["person", "arm"]
        for i, person in enumerate(index):
            for j, arm in enumerate(["drug", "placebo", "surgery"]):
                row = frame.loc[(person, arm)]
                assert row["point_estimate"] == result.point_estimate[i, j]
                assert row["stderr"] == pytest.approx(result.draws[:, i, j].std())

    def test_several_effects_on_an_index_of_several_levels(self):
        index = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["site", "person"])
        frame = inference(n_effects=2, index=index).summary_frame()
        assert len(frame) == 8
        assert frame.index.get_level_values("arm").tolist() == ["drug", "placebo"] * 4

    @pytest.mark.parametrize("n_effects", [None, 3])
    @pytest.mark.parametrize("alpha", [0.05, 0.3])
    def test_columns_are_what_they_say(self, n_effects, alpha):
        result = inference(n_effects=n_effects)
        frame = result.summary_frame(alpha)
        lower, upper = interval(result.draws, alpha)
        np.testing.assert_array_equal(frame["ci_lower"], lower.ravel())
        np.testing.assert_array_equal(frame["ci_upper"], upper.ravel())
        z = result.point_estimate.ravel() / result.draws.std(axis=0).ravel()
        np.testing.assert_allclose(frame["zstat"], z)
        np.testing.assert_allclose(frame["pvalue"], 2 * (1 - stats.norm.cdf(np.abs(z))))

    def test_draws_without_spread_give_no_warning(self):
        still = EffectInference(np.array([1.0, 0.0]), np.zeros((5, 2)), pd.RangeIndex(2), ["drug"])
        frame = still.summary_frame()
        assert frame["pvalue"][0] == 0
        assert np.isnan(frame["pvalue"][1])

    def test_a_bad_alpha_is_named(self):
        with pytest.raises(ValueError, match="alpha=2"):
            inference().summary_frame(2)


def ensemble(dropout, n_members=3, device="cpu"):
    """Members whose weights lie 1000 apart, so that a draw tells whose it is."""
    hypernet = HyperNet(NET, 2, "chunk", 4, 2, 4, (8, 8), dropout, False)
    generator = torch.Generator().manual_seed(0)
    params, buffers = hypernet.init(
        torch.ones(n_members), torch.ones(n_members, NET.n_inputs), generator
    )
    params["common"] += 1000 * torch.arange(n_members)[:, None]
    return (
        hypernet,
        {k: v.to(device) for k, v in params.items()},
        {k: v.to(device) for k, v in buffers.items()},
    )


def drawn(members, n_samples, seed=0):
    """Weights of every draw, in order."""
    parts = [theta[which] for theta, which in draw_weights(*members, n_samples, seed)]
    return torch.cat(parts).cpu()


def owner(theta):
    return (theta.mean(dim=(1, 2)) / 1000).round().int().tolist()


@pytest.mark.parametrize("dropout", [0.0, 0.4])
class TestDraws:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("n_samples", [1, 2, 63, 64, 65, 200])
    def test_members_take_equal_turns_in_mixed_order(self, dropout, n_samples, device):
        theta = drawn(ensemble(dropout, device=device), n_samples)
        assert theta.shape == (n_samples, 2, NET.n_weights)
        turns = np.bincount(owner(theta), minlength=3)
        assert np.ptp(turns) <= 1
        assert n_samples < 60 or owner(theta) != sorted(owner(theta))
        assert n_samples < 60 or owner(theta) != [i % 3 for i in range(n_samples)]

    def test_a_seed_gives_the_same_draws_and_global_state_is_left_alone(self, dropout):
        members = ensemble(dropout)
        state = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
        first, again, other = (drawn(members, 70, seed) for seed in (0, 0, 1))
        after = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
        assert after == state
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_a_row_alone_gets_the_draws_it_gets_among_others(self, dropout):
        members, x = ensemble(dropout), rows(9)

        def outcomes(x):
            return np.concatenate(
                [
                    potential_outcomes(NET, theta, x, CONTINUOUS)[which]
                    for theta, which in draw_weights(*members, 100, 3)
                ]
            )

        together = outcomes(x)
        assert together.shape == (100, 9, 2)
        for at in (0, 8):
            np.testing.assert_allclose(outcomes(x[[at]]), together[:, [at]], rtol=1e-4)
        np.testing.assert_allclose(outcomes(x[::-1].copy()), together[:, ::-1], rtol=1e-4)

    def test_only_a_bounded_number_of_networks_is_held_at_once(self, dropout):
        assert max(len(theta) for theta, _ in draw_weights(*ensemble(dropout), 500, 0)) <= 64

    def test_draws_carry_no_gradient(self, dropout):
        hypernet, params, buffers = ensemble(dropout)
        params = {name: tensor.requires_grad_() for name, tensor in params.items()}
        assert not drawn((hypernet, params, buffers), 3).requires_grad


class TestDropoutDraws:
    def test_without_dropout_a_draw_is_a_member(self):
        members = ensemble(0.0)
        theta, whole = drawn(members, 10), members[0].generate(*members[1:])
        for draw, member in zip(theta, owner(theta), strict=True):
            assert torch.equal(draw, whole[member])

    def test_each_draw_is_a_generator_with_some_units_dropped(self):
        members = ensemble(0.4, n_members=1)
        theta = drawn(members, 200)
        assert len(theta.unique(dim=0)) > 100
        masks = torch.tensor(list(itertools.product([0.0, 1 / 0.6], repeat=8)))
        possible = torch.cat([members[0].generate(*members[1:], mask) for mask in masks[:, None]])
        for draw in theta[::20]:
            assert (draw - possible).abs().amax(dim=(1, 2)).min() < 1e-5

    def test_draws_centre_on_the_generator_without_dropout(self):
        members = ensemble(0.4, n_members=1)
        theta = drawn(members, 4000)
        centre = members[0].generate(*members[1:])[0]
        error = (theta.mean(0) - centre).abs() / (theta.std(0) / 4000**0.5)
        assert theta.std(0).min() > 0
        assert error.max() < 6
