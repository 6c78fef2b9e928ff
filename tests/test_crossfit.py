"""What members say of the rows that they held out: losses, outcomes and overlap, row by row."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hypercate import HyperCATE, crossfit
from hypercate.crossfit import (
    CrossFit,
    held_out_errors,
    held_out_losses,
    held_out_outcomes,
    mean_by_row,
    overlap_weight,
)
from hypercate.effects import potential_outcomes
from hypercate.learners import TLearner
from hypercate.outcome_net import OutcomeNet
from hypercate.training import Data

quick = settings(max_examples=40, deadline=None, derandomize=True)
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
LEARNERS = {
    "continuous": TLearner("continuous", 5.0, 2.0),
    "binary": TLearner("binary", 0.0, 1.0),
}
NET = OutcomeNet(3, (6, 5), "blunt_silu")
N, N_ARMS, N_MEMBERS, N_CANDIDATES = 23, 3, 4, 2
HELD = np.array([[0, 3, 9, 22, 5], [1, 3, 8, 2, 6], [0, 3, 7, 20, 21], [14, 10, 22, 11, 4]])
TIMES = np.bincount(HELD.ravel(), minlength=N)


def rows(kind="continuous", device="cpu"):
    rng = np.random.default_rng(0)
    y = rng.normal(size=N) if kind == "continuous" else rng.integers(0, 2, N)
    tensors = (rng.normal(size=(N, 3)), y, rng.exponential(size=N))
    tensors = (torch.as_tensor(t, dtype=torch.float32, device=device) for t in tensors)
    return Data(*tensors, rng.integers(0, N_ARMS, N))


def networks(n, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, N_ARMS, NET.n_weights, generator=generator).to(device)


def output(theta, x):
    """Of one network for one row, in float64."""
    return NET(theta.cpu().double()[None], x.cpu().double()[None])[0, 0]


class TestLosses:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("kind", LEARNERS)
    def test_each_is_the_weighted_loss_of_the_rows_own_arm(self, kind, device):
        data, theta = rows(kind, device), networks(N_MEMBERS * N_CANDIDATES, device)
        loss = LEARNERS[kind].loss
        losses = held_out_losses(NET, theta, data, HELD, loss)
        assert losses.shape == (N_MEMBERS, N_CANDIDATES, HELD.shape[1])
        assert losses.dtype == np.float32
        y, weight = data.y.cpu().double(), data.weight.cpu().double()
        for member, candidate, at in np.ndindex(losses.shape):
            row = HELD[member, at]
            net = theta[member * N_CANDIDATES + candidate, data.arm[row]]
            expected = (weight[row] * loss(output(net, data.x[row]), y[row])).item()
            assert losses[member, candidate, at] == pytest.approx(expected, rel=1e-4, abs=1e-6)

    @pytest.mark.parametrize("rows_a_block", [1, 2, 4, 1000])
    def test_blocks_of_any_size_give_the_same(self, rows_a_block, monkeypatch):
        data, theta = rows(), networks(N_MEMBERS * N_CANDIDATES)
        loss = LEARNERS["continuous"].loss
        whole = held_out_losses(NET, theta, data, HELD, loss)
        size = N_MEMBERS * N_CANDIDATES * N_ARMS * 6
        monkeypatch.setattr(crossfit, "_BLOCK_ELEMENTS", rows_a_block * size)
        seen = []

        def watched(output, y):
            seen.append(output.shape[2])
            return loss(output, y)

        in_blocks = held_out_losses(NET, theta, data, HELD, watched)
        np.testing.assert_allclose(in_blocks, whole, rtol=1e-4, atol=1e-6)
        assert max(seen) <= rows_a_block
        assert sum(seen) == HELD.shape[1]

    def test_they_carry_no_gradient(self):
        theta = networks(N_MEMBERS).requires_grad_()
        seen = []

        def loss(output, y):
            seen.append(output.requires_grad)
            return output - y

        held_out_losses(NET, theta, rows(), HELD, loss)
        assert seen == [False]


class TestOutcomes:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("kind", LEARNERS)
    def test_each_is_that_of_a_member_at_a_row_it_held_out(self, kind, device):
        data, theta = rows(kind, device), networks(N_MEMBERS, device)
        link = LEARNERS[kind].potential_outcome
        outcomes = held_out_outcomes(NET, theta, data.x, HELD, link)
        assert outcomes.shape == (*HELD.shape, N_ARMS)
        assert outcomes.dtype == np.float64
        for member, at, arm in np.ndindex(outcomes.shape):
            expected = link(output(theta[member, arm], data.x[HELD[member, at]])).item()
            assert outcomes[member, at, arm] == pytest.approx(expected, rel=1e-4, abs=1e-5)

    @pytest.mark.parametrize("rows_a_block", [1, 2, 4])
    def test_blocks_of_any_size_give_the_same(self, rows_a_block, monkeypatch):
        data, theta = rows(), networks(N_MEMBERS)
        link = LEARNERS["continuous"].potential_outcome
        whole = held_out_outcomes(NET, theta, data.x, HELD, link)
        monkeypatch.setattr(crossfit, "_BLOCK_ELEMENTS", rows_a_block * N_MEMBERS * N_ARMS * 6)
        in_blocks = held_out_outcomes(NET, theta, data.x, HELD, link)
        np.testing.assert_allclose(in_blocks, whole, rtol=1e-4, atol=1e-5)


def by_member(seed=0):
    return np.random.default_rng(seed).normal(size=(*HELD.shape, N_ARMS))


class TestMeanByRow:
    def test_is_over_the_members_that_held_the_row_out(self):
        outcomes = by_member()
        means = mean_by_row(outcomes, HELD, N)
        assert means.shape == (N, N_ARMS)
        assert {0, 1, 2, 3} == set(TIMES)
        for row in range(N):
            if TIMES[row]:
                np.testing.assert_allclose(means[row], outcomes[row == HELD].mean(axis=0))
            else:
                assert np.isnan(means[row]).all()


class TestErrors:
    def cross_fit(self):
        rng = np.random.default_rng(1)
        return CrossFit(
            arm=rng.integers(0, N_ARMS, N),
            y=rng.normal(size=N),
            weight=rng.gamma(2, 0.5, N),
            outcomes=mean_by_row(by_member(), HELD, N),
            propensity=rng.dirichlet([1, 1, 1], N),
        )

    def test_there_is_one_for_each_member_and_row_that_it_held_out(self):
        fit, outcomes = self.cross_fit(), by_member()
        found = held_out_errors(fit, outcomes, HELD)
        assert found.n_arms == N_ARMS
        each = zip(found.member, found.arm, found.error, found.weight, strict=True)
        for (member, at), (by, arm, error, weight) in zip(
            np.ndindex(HELD.shape), each, strict=True
        ):
            row = HELD[member, at]
            assert (by, arm) == (member, fit.arm[row])
            assert error == abs(fit.y[row] - outcomes[member, at, arm])
            expected = fit.weight[row] / fit.propensity[row, arm] / TIMES[row]
            assert weight == pytest.approx(expected)

    def test_a_row_weighs_the_same_however_many_held_it_out(self):
        fit = self.cross_fit()
        found = held_out_errors(fit, by_member(), HELD)
        inverse = (fit.weight / fit.propensity[np.arange(N), fit.arm])[TIMES > 0]
        np.testing.assert_allclose(
            np.bincount(found.arm, found.weight, minlength=N_ARMS),
            np.bincount(fit.arm[TIMES > 0], inverse, minlength=N_ARMS),
        )


propensities = arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(2, 5)), elements=st.floats(1e-3, 1)
).map(lambda raw: raw / raw.sum(axis=1, keepdims=True))


class TestOverlapWeight:
    @quick
    @given(propensities)
    def test_is_the_harmonic_mean_of_propensities_over_the_number_of_arms(self, propensity):
        weight = overlap_weight(propensity)
        assert weight.shape == (len(propensity),)
        for row, value in zip(propensity, weight, strict=True):
            assert value == pytest.approx(1 / sum(1 / e for e in row), rel=1e-12)
            assert 0 < value <= row.min()
            assert value <= 1 / len(row) ** 2 * (1 + 1e-12)

    @quick
    @given(st.floats(1e-6, 1 - 1e-6))
    def test_is_e_times_1_minus_e_for_two_arms(self, e):
        weight = overlap_weight(np.array([[e, 1 - e]]))
        np.testing.assert_allclose(weight, e * (1 - e), rtol=1e-9)

    @quick
    @given(propensities, st.data())
    def test_does_not_know_the_order_of_arms(self, propensity, data):
        order = data.draw(st.permutations(range(propensity.shape[1])))
        np.testing.assert_allclose(
            overlap_weight(propensity[:, order]), overlap_weight(propensity), rtol=1e-12
        )

    def test_is_greatest_where_arms_are_alike_and_falls_to_0(self):
        e = np.linspace(0.5, 0.999, 50)
        weight = overlap_weight(np.column_stack([e, 1 - e]))
        assert weight[0] == 0.25
        assert (np.diff(weight) < 0).all()
        assert weight[-1] < 1e-3


class TestCovered:
    def test_rows_that_no_member_held_out_are_left_out_of_every_part(self):
        outcomes = np.arange(8.0).reshape(4, 2)
        outcomes[[0, 2]] = np.nan
        fit = CrossFit(
            np.array([0, 1, 1, 0]),
            np.array([1.0, 2, 3, 4]),
            np.array([0.5, 1, 1, 1.5]),
            outcomes,
            np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]]),
        )
        covered = fit.covered()
        assert fit.n_arms == covered.n_arms == 2
        assert covered.arm.tolist() == [1, 0]
        assert covered.y.tolist() == [2, 4]
        assert covered.weight.tolist() == [1, 1.5]
        assert covered.outcomes.tolist() == [[2, 3], [6, 7]]
        assert covered.propensity.tolist() == [[0.2, 0.8], [0.4, 0.6]]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X, arm = rng.normal(size=(160, 3)), rng.integers(0, 3, 160)
    arm[:40] = 2  # arms appear in another order than that of their labels
    return X, 100 + 5 * X[:, 0] + 20 * arm + rng.normal(size=160), arm


def fit(X, y, arm, weight=None, **parameters):
    settings = {"n_members": 3, "max_epochs": 40, "outcome_hidden": (8, 8), "inputs": "raw"}
    settings |= {"sharing": "moderate", "learning_rate": 0.02, "random_state": 0}
    return HyperCATE(**settings | parameters).fit(X, y, arm, sample_weight=weight)


class TestOfAFit:
    def test_it_holds_the_rows_in_the_order_and_units_in_which_they_came(self, data):
        X, y, arm = data
        labels = np.array(["b", "c", "a"])[arm]
        weight = np.where(np.arange(160) % 5 == 1, 0, 1 + np.arange(160) % 3)
        est = fit(X, y, labels, control="b", weight=weight)
        used = weight > 0
        found = est._crossfit
        assert (est.arms_[found.arm] == labels[used]).all()
        np.testing.assert_allclose(found.y, y[used], rtol=1e-5)
        np.testing.assert_allclose(found.weight, weight[used] / weight[used].mean(), rtol=1e-6)
        assert found.outcomes.shape == found.propensity.shape == (used.sum(), 3)
        np.testing.assert_allclose(found.propensity.sum(axis=1), 1)
        held = np.isfinite(found.outcomes).all(axis=1)
        error = found.outcomes[held] - est.predict_outcomes(X[used])[held]
        assert np.abs(error).mean() < 5  # arms lie 20 apart
        share = [(labels[used] == label).mean() for label in est.arms_]
        np.testing.assert_allclose(found.propensity.mean(axis=0), share, atol=0.05)

    def test_the_share_of_rows_covered_is_what_the_members_held_out(self, data):
        found = fit(*data)._crossfit
        assert np.isfinite(found.outcomes).all(axis=1).mean() == pytest.approx(0.6, abs=0.02)
        found = fit(*data, validation_fraction=0.5)._crossfit
        assert np.isfinite(found.outcomes).all()

    @pytest.mark.parametrize("share", [0.2, 0.6])
    def test_errors_are_those_of_the_members_whose_outcomes_new_rows_get(self, data, share):
        """Three members that hold out three or nine fifths of the rows between them."""
        X, y, arm = data
        est = fit(X, y, arm, weight=1 + np.arange(160) % 3, validation_fraction=share)
        outcomes, _ = est._outcomes_and_propensity(X)
        errors, whole = est._errors, est._crossfit
        assert np.bincount(errors.member).tolist() == [pytest.approx(share * 160, abs=2)] * 3
        in_sample = np.abs(y - outcomes[:, np.arange(160), arm])
        gap = np.abs(errors.error[:, None] - in_sample[errors.member])
        rows = np.where(errors.arm[:, None] == arm, gap, np.inf).argmin(axis=1)
        assert gap[np.arange(len(rows)), rows].max() < 1e-4
        times = np.bincount(rows, minlength=160)
        np.testing.assert_array_equal(times > 0, np.isfinite(whole.outcomes[:, 0]))
        expected = whole.weight / whole.propensity[np.arange(160), arm]
        np.testing.assert_allclose(errors.weight, expected[rows] / times[rows], rtol=1e-6)

    def test_each_members_validation_loss_is_that_of_the_outcomes_it_is_used_for(self, data):
        """Three members of a fifth each: who held a row out is told by whose its outcome is."""
        X, y, arm = data
        est = fit(X, y, arm)
        rows = np.arange(len(y))
        theta = est._hypernet.generate(est._params, est._buffers)[:, est._rank]
        link = est._learner.potential_outcome
        of_members = potential_outcomes(est._hypernet.net, theta, est._inputs(est._encode(X)), link)
        own = est._crossfit.outcomes[rows, arm]
        is_its = np.abs(of_members[:, rows, arm] - own) < 1e-4
        assert (is_its.sum(axis=0) == np.isfinite(own)).all()
        for member, mine in enumerate(is_its):
            counts = [round(0.2 * (arm == k).sum()) for k in range(3)]
            assert np.bincount(arm[mine]).tolist() == counts
            error = np.square(y - own)[mine].mean() / est._outcome.scale**2
            assert error == pytest.approx(est.sharing_["moderate"][member], rel=1e-3)

    def test_relabelled_arms_have_the_same_to_the_bit(self, data):
        X, y, arm = data
        first = fit(X, y, arm)._crossfit
        labels = np.array(["z", "y", "x"])[arm]
        second = fit(X, y, labels, control="z")._crossfit
        order = [0, 2, 1]  # control, then sorted: z, x, y
        for name in ("outcomes", "propensity"):
            np.testing.assert_array_equal(getattr(second, name), getattr(first, name)[:, order])
        np.testing.assert_array_equal(np.array(order)[second.arm], first.arm)
        np.testing.assert_array_equal(second.y, first.y)
