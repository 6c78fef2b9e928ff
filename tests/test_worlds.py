"""Simulated worlds: what they hold, how often, and that their true effects are true."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate.encoding.columns import fit_column
from hypercate.encoding.scaling import standardise
from hypercate.pretraining.worlds import PARTS, assignment, covariates, draw_worlds, surfaces
from hypercate.pretraining.worlds.chance import Chance
from hypercate.pretraining.worlds.covariates import Covariates, draw_covariates
from hypercate.pretraining.worlds.effects import EFFECT_KINDS
from hypercate.pretraining.worlds.shapes import SHAPES

CONTINUOUS = frozenset({"binary"})


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(b=64, n=200, m=100, p=8, n_arms=2, seed=0, without=frozenset()):
    return draw_worlds(b, n, m, p, n_arms, generator(seed), frozenset(without))


def tensors(worlds):
    return worlds.x, worlds.arm, worlds.y, worlds.outcomes


def is_binary(worlds):
    return ((worlds.y == 0) | (worlds.y == 1)).all(1)


def only(kinds, *kept):
    return frozenset(kinds) - set(kept)


def effect(worlds):
    """Effect of the second arm, in units of the sd of the control's mean outcome."""
    control = worlds.outcomes[..., 0]
    return (worlds.outcomes[..., 1] - control) / control.std(1, keepdim=True)


def correlation(a, b):
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-9)


@pytest.fixture(scope="module")
def whole():
    return draw(50, 12, 5, p=6, n_arms=3)


class TestShape:
    @settings(max_examples=30, deadline=None)
    @given(
        b=st.integers(1, 5),
        spare=st.integers(0, 60),
        m=st.integers(0, 20),
        p=st.integers(1, 25),
        n_arms=st.integers(2, 6),
        seed=st.integers(0, 10**6),
    )
    def test_any_size_gives_a_finite_study_with_every_arm(self, b, spare, m, p, n_arms, seed):
        n = 2 * n_arms + spare
        worlds = draw(b, n, m, p, n_arms, seed)
        assert worlds.n == n
        assert worlds.x.shape == (b, n + m, p)
        assert worlds.arm.shape == worlds.y.shape == (b, n + m)
        assert worlds.outcomes.shape == (b, n + m, n_arms)
        assert worlds.arm.dtype == torch.int64
        for values in (worlds.x, worlds.y, worlds.outcomes):
            assert values.dtype == torch.float32
            assert values.isfinite().all()
        counts = torch.nn.functional.one_hot(worlds.arm[:, :n], n_arms).sum(1)
        assert counts.min() >= 2

    def test_a_seed_gives_the_same_worlds_and_another_seed_others(self):
        first, again, other = draw(b=3), draw(b=3), draw(b=3, seed=1)
        for one, same, different in zip(*map(tensors, (first, again, other)), strict=True):
            assert torch.equal(one, same)
            assert not torch.equal(one, different)

    def test_nothing_global_is_touched_or_used(self):
        before = torch.get_rng_state(), torch.get_num_threads()
        expected = draw(b=3)
        assert torch.equal(torch.get_rng_state(), before[0])
        torch.manual_seed(5)
        torch.set_default_dtype(torch.float64)
        try:
            found = draw(b=3)
            assert torch.get_default_dtype() == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)
        assert torch.get_num_threads() == before[1]
        for one, same in zip(tensors(expected), tensors(found), strict=True):
            assert torch.equal(one, same)


class TestCovariates:
    @pytest.mark.parametrize("n", [5, 60, 300])
    def test_they_are_encoded_as_a_study_is(self, n):
        chance = Chance(generator(n))
        raw = chance.normal(1, 6, n + 20).exp() * torch.tensor([1, 5, 20, 0.1, 3, 1])[:, None]
        raw[:, 3:] = raw[:, 3:].floor()
        gaps = chance.happens(0.2, 1, 6, n + 20) & (torch.arange(6) % 2 == 1)[:, None]
        gaps[..., 0] = False
        none = torch.zeros(1, 6, dtype=torch.bool)
        found = covariates._encoded(raw, gaps.float(), none, n)[0].numpy()
        values = np.where(gaps[0], np.nan, raw[0]).astype(np.float64)
        columns = [fit_column(of_column[:n], "x") for of_column in values]
        centre, spread = (
            np.array([getattr(column, name)[0] for column in columns])
            for name in ("location", "scale")
        )
        standardise(values, centre, spread)
        np.testing.assert_allclose(found, values, atol=2e-3)

    def test_indicators_are_encoded_by_their_share(self):
        raw = torch.zeros(1, 3, 400)
        raw[0, 0, ::2] = 1
        raw[0, 1, :2] = 1
        indicator = torch.ones(1, 3, dtype=torch.bool)
        found = covariates._encoded(raw, torch.zeros_like(raw), indicator, 400)[0]
        assert found[0, :2].tolist() == pytest.approx([1, -1])
        assert found[1].max() == pytest.approx(4 + np.log1p(9.95 - 4), abs=1e-4)
        assert found[1].min() == pytest.approx(-0.05, abs=1e-5)
        assert (found[2] == 0).all()

    def test_one_hot_columns_come_in_whole_groups(self):
        x = draw(300, 200, 0, 12, without=only(covariates.NAMES, "one_hot")).x
        two_valued = torch.tensor([[len(column.unique()) == 2 for column in w.T] for w in x])
        assert 0.1 < two_valued.float().mean() < 0.5
        above = (x > 0).float() * two_valued[:, None]
        per_row = above.sum(2)
        assert torch.equal(per_row.amin(1), per_row.amax(1))
        assert per_row.amax() >= 2

    def test_missing_values_are_the_mean_and_have_an_indicator(self):
        x = draw(200, 200, 0, 6, without=only(covariates.NAMES, "missing")).x
        share = (x == 0).float().mean(1)
        share = share * (share < 1)
        gaps = share[:, :-1] > 0
        assert 0.03 < gaps.float().mean() < 0.3
        assert share.max() < 0.35
        world, column = map(torch.Tensor.tolist, gaps.nonzero(as_tuple=True))
        for w, c in zip(world, column, strict=True):
            assert torch.equal(x[w, :, c] == 0, x[w, :, c + 1] > 0)

    def test_worlds_range_from_all_continuous_to_nearly_all_binary(self):
        columns = draw_covariates(Chance(generator()), 500, 50, 0, 10, frozenset())
        share = columns.two_valued.float().mean(1)
        assert (share == 0).float().mean() > 0.05
        assert (share >= 0.9).float().mean() > 0.05
        assert 0.3 < share.mean() < 0.7

    def test_correlation_is_there_and_can_be_left_out(self):
        plain = only(covariates.NAMES, "correlation")

        def mean_square(without):
            x = draw(200, 300, 0, 5, without=without).x
            return correlation(x[..., 0], x[..., 1]).square().mean()

        assert mean_square(plain) > 0.05
        assert mean_square(plain | {"correlation"}) < 0.006


class TestSurfaces:
    @pytest.mark.parametrize("kind", SHAPES)
    def test_each_kind_is_standardised_and_a_function_of_the_columns(self, kind):
        chance = Chance(generator())
        x = chance.normal(20, 4, 300)
        x[..., 150:] = x[..., :150]
        flags = torch.zeros(20, 3, dtype=torch.bool)
        of_world = Covariates(x, torch.zeros(20, 4, dtype=torch.bool))
        found = surfaces.draw_surfaces(chance, of_world, flags, flags, only(SHAPES, kind))
        torch.testing.assert_close(found[..., 150:], found[..., :150], atol=1e-4, rtol=1e-4)
        varies = found.abs().amax(2) > 0
        assert varies.float().mean() > 0.9
        assert found.mean(2).abs().max() < 1e-4
        torch.testing.assert_close(
            found[varies].std(1, correction=0), torch.ones(int(varies.sum())), atol=1e-3, rtol=0
        )

    def test_only_linear_surfaces_are_linear(self):
        def unexplained(without):
            worlds = draw(40, 200, 0, 4, without=without | {"constant", "binary"})
            control = worlds.outcomes[..., :1] - worlds.outcomes[..., :1].mean(1, keepdim=True)
            x = worlds.x - worlds.x.mean(1, keepdim=True)
            rest = control - x @ (torch.linalg.pinv(x) @ control)
            return rest.square().sum(1) / control.square().sum(1).clamp(min=1e-9)

        linear = only(SHAPES, "linear") | {"link"}
        assert unexplained(linear).max() < 1e-3
        assert unexplained(frozenset({"linear", "link"})).mean() > 0.1

    def test_few_columns_are_at_most_three(self):
        chance = Chance(generator())
        of_world = Covariates(chance.normal(200, 10, 5), torch.zeros(200, 10, dtype=torch.bool))
        few = torch.tensor([True, False]).expand(200, 2)
        used = (surfaces._relevance(chance, of_world, few, nuisance=False) > 0).sum(2)
        assert used[:, 0].max() == 3
        assert used.min() == 1
        assert used[:, 1].max() == 10


class TestEffects:
    def test_the_stated_shares_have_no_effect_or_the_same_in_every_row(self):
        worlds = draw(3000, 12, 20, 3, seed=3)
        difference = worlds.outcomes[..., 1] - worlds.outcomes[..., 0]
        none = (difference == 0).all(1)
        spread = worlds.outcomes.flatten(1).std(1)
        flat = difference.std(1) < 1e-4 * spread
        assert none.float().mean() == pytest.approx(0.06, abs=0.02)
        assert flat.float().mean() == pytest.approx(0.12, abs=0.03)

    def test_kinds_left_out_do_not_occur(self):
        heterogeneous = draw(300, 50, 0, 5, without={"null", "constant", "scaled"})
        difference = heterogeneous.outcomes[..., 1] - heterogeneous.outcomes[..., 0]
        assert (difference != 0).any(1).all()
        null = draw(without=only(EFFECT_KINDS, "null"), n_arms=4)
        assert torch.equal(null.outcomes, null.outcomes[..., :1].expand(-1, -1, 4))
        constant = effect(draw(without=only(EFFECT_KINDS, "constant")))
        assert constant.std(1).max() < 1e-2
        assert constant.abs().amax() > 0.1

    def test_weak_effects_vary_less_than_strong_ones(self):
        weak, strong = (
            effect(draw(without=only(EFFECT_KINDS, kind) | CONTINUOUS)).std(1).median()
            for kind in ("weak", "strong")
        )
        assert weak < 0.35 < 0.5 < strong

    def test_effects_of_few_columns_depend_on_at_most_three(self):
        kept = only(EFFECT_KINDS, "few_columns") | only(SHAPES, "linear") | CONTINUOUS
        worlds = draw(60, 200, 0, 8, without=kept | set(covariates.NAMES))
        x = worlds.x - worlds.x.mean(1, keepdim=True)
        slope = torch.linalg.pinv(x) @ effect(worlds)[..., None]
        used = (slope.abs() > 1e-3 * slope.abs().amax(1, keepdim=True)).sum(1)
        assert used.max() <= 3
        assert used.float().mean() > 1.2

    def test_an_arm_of_its_own_is_unrelated_to_the_control(self):
        def related(kind):
            outcomes = draw(200, without=only(EFFECT_KINDS, kind) | CONTINUOUS).outcomes
            return correlation(outcomes[..., 0], outcomes[..., 1]).mean()

        assert related("own_surface").abs() < 0.1
        assert related("weak") > 0.9

    def test_arms_share_more_where_sharing_is_not_left_out(self):
        def related(without):
            outcomes = draw(300, 100, 0, 10, 3, without=without).outcomes
            return correlation(outcomes[..., 1], outcomes[..., 2]).square().mean()

        alone = only(EFFECT_KINDS, "own_surface") | CONTINUOUS
        assert related(alone) > related(alone | {"shared_effects"}) + 0.03


class TestAssignment:
    def test_a_quarter_of_worlds_are_randomised(self):
        chance = Chance(generator())
        surface = chance.normal(1000, 3, 60)
        drawn = assignment.draw_propensities(chance, surface[:, :2], surface[:, 2:], frozenset())
        torch.testing.assert_close(drawn.sum(1), torch.ones(1000, 60))
        randomised = drawn[:, 1].std(1) < 1e-5
        assert randomised.float().mean() == pytest.approx(0.25, abs=0.05)
        share = drawn[:, 1].mean(1)
        assert share.min() > 0.015
        assert share.max() < 0.62
        assert (share > 0.2).float().mean() == pytest.approx(0.75, abs=0.05)

    def test_arms_follow_their_propensity(self):
        chance = Chance(generator())
        propensity = torch.tensor([0.5, 0.3, 0.2])[None, :, None].expand(2, 3, 5000)
        arm = assignment.assign(chance, propensity, 4000)
        share = torch.nn.functional.one_hot(arm, 3).float().mean(1)
        torch.testing.assert_close(share, propensity[..., 0], atol=0.03, rtol=0)

    @pytest.mark.parametrize("n", [10, 11, 40])
    def test_rows_move_only_where_an_arm_lacks_them(self, n):
        propensity = torch.zeros(50, 5, n + 4)
        propensity[:, 2] = 1.0
        arm = assignment.assign(Chance(generator()), propensity, n)
        counts = torch.nn.functional.one_hot(arm[:, :n], 5).sum(1)
        assert torch.equal(counts, torch.tensor([2, 2, n - 8, 2, 2]).expand(50, 5))
        assert (arm[:, n:] == 2).all()

    def test_rows_are_not_moved_from_arms_that_need_them(self):
        share = torch.tensor([0.45, 0.35, 0.2, 0.0, 0.0])
        arm = assignment.assign(Chance(generator()), share[:, None].expand(300, 5, 10), 10)
        assert (torch.nn.functional.one_hot(arm, 5).sum(1) == 2).all()

    def test_treatment_is_related_to_the_outcome_only_where_confounded(self):
        def excess(without):
            worlds = draw(400, 300, 0, 5, without=without)
            control = worlds.outcomes[..., 0]
            return 300 * correlation(worlds.arm.float(), control).square().mean()

        assert excess(frozenset()) > 10
        assert excess({"confounding"}) < 1.4

    def test_a_difference_in_means_is_biased_only_where_confounded(self):
        def bias(without):
            worlds = draw(400, 300, 0, 5, without=without | only(EFFECT_KINDS, "null"))
            control = worlds.outcomes[..., 0]
            control = (control - control.mean(1, keepdim=True)) / control.std(1, keepdim=True)
            treated = worlds.arm.float()
            gap = (control * treated).sum(1) / treated.sum(1)
            gap = gap - (control * (1 - treated)).sum(1) / (1 - treated).sum(1)
            return gap.abs().median()

        assert bias(CONTINUOUS) > 0.2
        assert bias(CONTINUOUS | {"confounding"}) < 0.13


class TestObserved:
    @pytest.mark.parametrize("n_arms", [2, 4])
    def test_outcomes_are_the_means_of_what_is_observed(self, n_arms):
        worlds = draw(500, 100, 0, 5, n_arms)
        mean = worlds.outcomes.gather(2, worlds.arm[..., None])[..., 0]
        residual = worlds.y - mean
        z = residual.mean(1) / (residual.std(1) / 10).clamp(min=1e-6)
        assert z.mean().abs() < 4 / 500**0.5
        assert z.std() == pytest.approx(1, abs=0.15)
        assert correlation(residual, mean).mean().abs() < 0.02

    def test_the_stated_share_of_worlds_is_binary(self):
        worlds = draw(2000, 20, 10, 3)
        binary = is_binary(worlds)
        assert binary.float().mean() == pytest.approx(0.15, abs=0.03)
        probability = worlds.outcomes[binary]
        assert probability.min() >= 0
        assert probability.max() <= 1
        marginal = worlds.y[binary].mean(1)
        assert 0.35 < marginal.mean() < 0.65
        assert marginal.std() > 0.15
        assert not is_binary(draw(500, 20, 10, 3, without={"binary"})).any()

    def test_probabilities_are_frequencies(self):
        worlds = draw(2000, 30, 30, 3)
        binary = is_binary(worlds)
        mean = worlds.outcomes.gather(2, worlds.arm[..., None])[..., 0][binary]
        y = worlds.y[binary]
        for low in (0.0, 0.2, 0.4, 0.6, 0.8):
            near = (mean >= low) & (mean < low + 0.2)
            assert y[near].mean() == pytest.approx(mean[near].mean().item(), abs=0.04)

    def test_the_share_explained_spans_what_is_stated(self):
        worlds = draw(500, 300, 0, 4, without={"binary", "heavy", "unequal_noise"})
        mean = worlds.outcomes.gather(2, worlds.arm[..., None])[..., 0]
        noise = (worlds.y - mean).var(1)
        explained = mean.var(1) / (mean.var(1) + noise)
        assert ((explained > 0.27) & (explained < 0.92)).float().mean() > 0.8
        assert explained.quantile(0.02) < 0.3
        assert explained.quantile(0.98) > 0.9

    def test_long_tails_and_unequal_noise_can_be_left_out(self):
        def kurtosis(without):
            worlds = draw(300, 400, 0, 4, without=CONTINUOUS | without)
            mean = worlds.outcomes.gather(2, worlds.arm[..., None])[..., 0]
            residual = worlds.y - mean
            return residual.pow(4).mean(1) / residual.square().mean(1).square()

        assert kurtosis({"heavy", "unequal_noise"}).max() < 5
        assert (kurtosis({"unequal_noise"}) > 6).float().mean() > 0.05
        assert (kurtosis({"heavy"}) > 5).float().mean() > 0.02

    def test_location_and_scale_are_arbitrary(self):
        worlds = draw(300, without=CONTINUOUS)
        spread = worlds.y.std(1)
        assert spread.quantile(0.9) > 5 * spread.quantile(0.1)


class TestArguments:
    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ({"b": 0}, "b must be at least 1, got 0"),
            ({"m": -1}, "m must be at least 0, got -1"),
            ({"p": 0}, "p must be at least 1, got 0"),
            ({"n_arms": 1}, "n_arms must be at least 2, got 1"),
            ({"n": 5, "n_arms": 3}, "n must be at least 6, two rows of each arm, got 5"),
        ],
    )
    def test_a_size_too_small_is_refused(self, sizes, message):
        with pytest.raises(ValueError, match=message):
            draw(**sizes)

    def test_an_unknown_name_is_refused_with_those_known(self):
        with pytest.raises(
            ValueError, match=r"unknown names forests; known are .*trees"
        ) as refused:
            draw(without={"forests", "trees"})
        assert all(name in str(refused.value) for name in PARTS)

    @pytest.mark.parametrize("kinds", [SHAPES, EFFECT_KINDS], ids=["surface", "effect"])
    def test_something_is_to_be_left(self, kinds):
        with pytest.raises(ValueError, match=r"leaves out every kind of (surface|effect)"):
            draw(without=frozenset(kinds))

    @pytest.mark.parametrize("name", PARTS)
    def test_each_part_can_be_left_out(self, name, whole):
        changed = draw(50, 12, 5, p=6, n_arms=3, without={name})
        assert all(values.isfinite().all() for values in tensors(changed))
        assert not torch.equal(changed.y, whole.y)
