"""The training loop: what it minimises, who learns from whom, when networks stop, and manners."""

import contextlib
import copy
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from degrees import at_degrees
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate import HyperCATE
from hypercate.folds import Folds, Rows
from hypercate.generator.hypernetwork import HyperNet
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.generator.perturbation import perturb
from hypercate.learners import TLearner
from hypercate.outcomes import Bernoulli, Normal
from hypercate.progress import bars
from hypercate.study import Study
from hypercate.train import final as final_module
from hypercate.train import stopping
from hypercate.train.batching import lay_out
from hypercate.train.data import Data, units
from hypercate.train.device import resolve_device
from hypercate.train.final import train
from hypercate.train.run import Minibatches, Run, Schedule, row_outputs
from hypercate.train.search import search

quick = settings(max_examples=25, deadline=None, derandomize=True)
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
SQUARED = TLearner(Normal()).loss
LOGISTIC = TLearner(Bernoulli(np.array([0, 1]))).loss


def hypernet(**changed):
    shape = {
        "net": OutcomeNet(3, (6, 5), "blunt_silu"),
        "n_arms": 2,
        "generation": "chunk",
        "n_chunks": 3,
        "n_heads": 1,
        "embedding_dim": 4,
        "hidden": (8,),
        "dropout": 0.0,
        "spectral_norm": False,
    }
    return HyperNet(**shape | changed)


def schedule(**changed):
    defaults = {
        "max_epochs": 4,
        "batch_size": 16,
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "patience": 100,
    }
    return Schedule(**defaults | changed)


@dataclass(frozen=True)
class Trial:
    """Rows in mixed order; each model sees the outcome in a unit of its own."""

    x: np.ndarray
    y: np.ndarray  # (n_models, n)
    weight: np.ndarray
    arm: np.ndarray
    device: str = "cpu"
    view: np.ndarray | None = None

    def data(self):
        x, y, weight = (self.tensor(part) for part in (self.x, self.y, self.weight))
        return Data(x, None if self.view is None else self.tensor(self.view), y, weight)

    def tensor(self, values):
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self.device)

    def inputs(self):
        """Of every model: (n_models, n, n_inputs)."""
        shared = np.broadcast_to(self.x, (len(self.y), *self.x.shape))
        return shared if self.view is None else np.concatenate([shared, self.view], axis=2)

    def subset(self, rows):
        view = None if self.view is None else self.view[:, rows]
        return replace(
            self,
            x=self.x[rows],
            y=self.y[:, rows],
            weight=self.weight[rows],
            arm=self.arm[rows],
            view=view,
        )


def trial(
    counts=(30, 14),
    *,
    effect=lambda x, arm: 2 * arm,
    device="cpu",
    binary=False,
    n_models=2,
    n_last=0,
):
    """y = x0 + effect + noise; no two outcomes alike but binary ones."""
    rng = np.random.default_rng(0)
    arm = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = rng.normal(size=(len(arm), 3))
    y = x[:, 0] + effect(x, arm) + 0.1 * rng.normal(size=len(arm))
    y = np.tile(y > 1 if binary else y, (n_models, 1))
    view = x[:, 3 - n_last :] + 0.1 * rng.normal(size=(n_models, len(arm), n_last))
    return Trial(x[:, : 3 - n_last], y, np.ones(len(arm)), arm, device, view if n_last else None)


def in_own_units(given):
    """Every model's outcome in another unit, and nothing else."""
    model = np.arange(len(given.y))[:, None]
    return replace(given, y=(given.y - 0.3 * model) / (1 + 0.2 * model))


def rows_of(arm, masks, padding=0, seed=0):
    """Rows of every model; places that are left over lie anywhere and hold any row."""
    rng = np.random.default_rng(seed)
    n_arms, (n_models, n) = arm.max() + 1, masks.shape
    by_arm = [[np.flatnonzero(mask & (arm == k)) for mask in masks] for k in range(n_arms)]
    counts = np.array([max(1, *map(len, of_models)) + padding for of_models in by_arm])
    index = rng.integers(0, n, (n_models, counts.sum()))
    real = np.zeros(index.shape, dtype=bool)
    for of_models, count, end in zip(by_arm, counts, np.cumsum(counts), strict=True):
        for m, own in enumerate(of_models):
            places = end - count + np.sort(rng.permutation(count)[: len(own)])
            index[m, places] = own
            real[m, places] = True
    return Rows(index, real, counts)


def parted(arm, n_models=2, ragged=True):
    """Whether a row fits, and whether it stops, each model: a quarter of every arm stops it.

    The second model has no use for one row of every arm and part, the third for two, and so on.
    """
    rng = np.random.default_rng(0)
    fit, stop = np.zeros((2, n_models, len(arm)), dtype=bool)
    for k in range(arm.max() + 1):
        rows = rng.permutation(np.flatnonzero(arm == k))
        n_stop = max(1, round(len(rows) / 4))
        for m in range(n_models):
            turned = np.roll(rows, -m * n_stop)
            own = turned[:n_stop], turned[n_stop:]
            for mask, part in zip((stop, fit), own, strict=True):
                unused = min(m, len(part) - 1) if ragged else 0
                mask[m, part[unused:]] = True
    return fit, stop


def sharing_of(shape, degrees, input_scale, n_models):
    """Profiles and factors of the inputs, model by model."""
    factors = [[1.0] * shape.net.n_inputs] * len(degrees) if input_scale is None else input_scale
    scale = torch.tensor(factors * n_models, dtype=torch.float32, device="cpu")
    return at_degrees(degrees, shape.net) * n_models, scale


def searched(
    given=None,
    shape=None,
    degrees=(0.0, 1.0),
    input_scale=None,
    n_models=2,
    loss=SQUARED,
    seed=0,
    ragged=True,
    padding=0,
    **changed,
):
    given, shape = given or trial(n_models=n_models), shape or hypernet()
    fit, stop = (rows_of(given.arm, m, padding) for m in parted(given.arm, n_models, ragged))
    return search(
        shape,
        given.data(),
        *sharing_of(shape, degrees, input_scale, n_models),
        fit,
        stop,
        loss,
        schedule(**changed),
        seed,
    )


def every_row(given, n_models=2, ragged=True, padding=0):
    """Of a model's rows those that fit it and those that stop it."""
    return rows_of(given.arm, np.add(*parted(given.arm, n_models, ragged)), padding)


def start_of(shape, degrees=(0.0, 1.0), input_scale=None, n_models=2, seed=0):
    generator = torch.Generator("cpu").manual_seed(seed)
    return shape.init(*sharing_of(shape, degrees, input_scale, n_models), generator)


def trained(
    given=None,
    shape=None,
    degrees=(0.0, 1.0),
    input_scale=None,
    n_models=2,
    target=0.0,
    most_epochs=4,
    loss=SQUARED,
    seed=0,
    rows=None,
    **changed,
):
    """From the start of a search of seed 0; a target of 0 is never reached."""
    given, shape = given or trial(n_models=n_models), shape or hypernet()
    n_nets = n_models * len(degrees)
    return train(
        shape,
        given.data(),
        np.arange(n_nets) // len(degrees),
        start_of(shape, degrees, input_scale, n_models),
        np.broadcast_to(target, n_nets).copy(),
        most_epochs,
        every_row(given, n_models) if rows is None else rows,
        loss,
        schedule(**changed),
        seed,
    )


def driven(
    given=None,
    shape=None,
    degrees=(0.0, 1.0),
    n_models=2,
    n_epochs=4,
    n_cooling=0,
    rows=None,
    loss=SQUARED,
    **changed,
):
    """Averages that networks of a search have after so many epochs, and losses in each.

    Optionally on other rows, and with a learning rate that falls in further epochs. The losses are
    (epochs, nets), not a number once a network has left.
    """
    given, shape = given or trial(n_models=n_models), shape or hypernet()
    masks, its_schedule = parted(given.arm, n_models), schedule(**changed)
    n_rows = np.add(*masks).sum(axis=1).max()
    start = start_of(shape, degrees, n_models=n_models)
    n_nets = n_models * len(degrees)
    run = Run(
        shape,
        given.data(),
        torch.arange(n_nets) // len(degrees),
        start,
        rows_of(given.arm, masks[0]) if rows is None else rows,
        max(1, round(n_rows / its_schedule.batch_size)),
        loss,
        its_schedule,
        0,
    )
    params, buffers = ({n: t.to(given.device, copy=True) for n, t in p.items()} for p in start)
    n_epochs, n_cooling = (np.broadcast_to(n, n_nets) for n in (n_epochs, n_cooling))
    losses = np.full(((n_epochs + n_cooling).max(), n_nets), np.nan)
    for epoch, of_epoch in enumerate(losses):
        nets = run.nets.cpu().numpy()
        left = (n_epochs + n_cooling)[nets] - epoch
        speed = np.minimum(1, left / (n_cooling[nets] + 1))
        of_epoch[nets] = run.epoch(given.tensor(speed)).cpu()
        done = torch.as_tensor(left == 1, device=given.device)
        run.save(done, params, buffers)
        run.keep(~done)
    assert not len(run.nets)
    return tuple({n: t.cpu() for n, t in part.items()} for part in (params, buffers)), losses


def run_of(
    given, shape=None, degrees=(0.5, 2.0, np.inf), rows=None, seed=0, loss=SQUARED, **changed
):
    """Networks of the first model in training on all rows, in one minibatch an epoch."""
    shape = shape or hypernet()
    if rows is None:
        rows = rows_of(given.arm, np.ones((len(given.y), len(given.arm)), dtype=bool))
    return Run(
        shape,
        given.data(),
        torch.zeros(len(degrees), dtype=torch.int64),
        start_of(shape, degrees, n_models=1, seed=seed),
        rows,
        1,
        loss,
        schedule(**changed),
        seed,
    )


class Recorder:
    """A loss that notes whose outcomes each network was shown: (calls, nets, slots) of rows."""

    def __init__(self, given):
        y = given.data().y[0].cpu().numpy()
        self.order = np.argsort(y)
        self.sorted = y[self.order]
        self.trained, self.held = [], []

    def __call__(self, output, y):
        rows = self.order[np.searchsorted(self.sorted, y.cpu().numpy())]
        (self.trained if torch.is_grad_enabled() else self.held).append(rows)
        return SQUARED(output, y)


class SpoiltLoss:
    """Squared error that some networks cannot bear from the third epoch on."""

    def __init__(self, nets, value, in_training):
        self.nets, self.value, self.in_training = nets, value, in_training
        self.validations = 0

    def __call__(self, output, y):
        losses = SQUARED(output, y)
        spoilt = self.validations >= 2 and torch.is_grad_enabled() == self.in_training
        self.validations += not torch.is_grad_enabled()
        if spoilt and len(output) == 4:
            losses = losses.index_fill(0, torch.tensor(self.nets), self.value)
        return losses


class SpoiltSteps:
    """Squared error that one network cannot bear from a step of training on."""

    def __init__(self, net, step, of_gradient):
        self.net, self.step, self.of_gradient, self.steps = net, step, of_gradient, 0

    def __call__(self, output, y):
        self.steps += 1
        losses = SQUARED(output, y)
        if self.steps < self.step:
            return losses
        if self.of_gradient:
            return losses + (output - output.detach())[[self.net]].abs().sqrt()
        return losses.index_fill(0, torch.tensor([self.net]), torch.nan)


def double(tensors):
    return {name: tensor.cpu().double() for name, tensor in tensors.items()}


def slow_losses(shape, theta, given, model, rows, loss):
    """Of one network at some rows, one at a time by its own arm's weights, times their weight."""
    x, y, weight = (
        torch.as_tensor(np.asarray(part, dtype=np.float32)).double()
        for part in (given.inputs()[model], given.y[model], given.weight)
    )
    return torch.stack(
        [
            weight[row] * loss(shape.net(theta[[given.arm[row]]], x[[row]])[0, 0], y[row])
            for row in rows
        ]
    )


def slow_means(shape, params, buffers, given, rows, loss, n_candidates=1):
    """Weighted mean of each network at the rows of its model."""
    theta = shape.generate(double(params), double(buffers))
    means = []
    for net, of_arms in enumerate(theta):
        model = net // n_candidates
        own = rows.index[model][rows.real[model]]
        weight = given.weight[own].astype(np.float32).astype(np.float64).sum()
        means.append(slow_losses(shape, of_arms, given, model, own, loss).sum() / weight)
    return torch.stack(means)


def started(shape, n=3, device="cpu"):
    """The last has arms that share nothing."""
    degrees = [*np.linspace(0.5, 2, n - 1), np.inf]
    generator = torch.Generator().manual_seed(0)
    tensors = shape.init(at_degrees(degrees, shape.net), torch.ones(n, 3), generator)
    return tuple({k: v.to(device) for k, v in part.items()} for part in tensors)


def weights_of(shape, tensors):
    return shape.generate(*tensors)


class TestRowLosses:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("binary", [False, True])
    @pytest.mark.parametrize("n_last", [0, 1])
    @pytest.mark.parametrize("way", ["chunk", "component", "once", "none"])
    @pytest.mark.parametrize("counts", [(21, 3, 9), (4, 90, 5)])  # one group, and two
    def test_are_of_each_row_by_its_own_arms_network(self, counts, way, n_last, binary, device):
        """In the unit of its model's outcome, and with what the model alone reads."""
        shape = hypernet(n_arms=3, generation=way)
        loss = LOGISTIC if binary else SQUARED
        given = trial(counts, device=device, binary=binary, n_models=3, n_last=n_last)
        given = given if binary else in_own_units(given)
        params, buffers = started(shape, device=device)
        params = {name: tensor.requires_grad_() for name, tensor in params.items()}
        slow_params = {name: t.detach().requires_grad_() for name, t in double(params).items()}
        model = np.array([2, 0, 1])
        layout = lay_out(np.array(counts), 2, torch.device(device))
        rng = np.random.default_rng(1)
        sorted_rows = np.stack([np.lexsort((rng.random(sum(counts)), given.arm)) for _ in model])
        for slots in layout.slots.cpu().numpy():
            rows = np.ascontiguousarray(sorted_rows[:, slots])
            data = given.data()
            of_model, index = (torch.as_tensor(part, device=device) for part in (model, rows))
            output = row_outputs(
                shape.net, shape.generate(params, buffers), data, of_model, index, layout
            )
            losses = loss(output, data.y[of_model[:, None], index])
            theta = shape.generate(slow_params, double(buffers))
            slow = torch.stack(
                [
                    slow_losses(shape, of_arms, given, m, own, loss)
                    for of_arms, m, own in zip(theta, model, rows, strict=True)
                ]
            )
            torch.testing.assert_close(
                losses.detach().cpu().double(), slow.detach(), rtol=1e-5, atol=1e-6
            )
            for total in (losses.sum(), slow.sum()):
                total.backward()
        for name, param in params.items():
            torch.testing.assert_close(
                param.grad.cpu().double(), slow_params[name].grad, rtol=1e-4, atol=1e-4
            )


class TestWhatIsMinimised:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("binary", [False, True])
    @pytest.mark.parametrize("way", ["chunk", "none"])
    def test_is_the_weighted_mean_over_the_models_rows(self, way, binary, device):
        shape, loss = hypernet(n_arms=3, generation=way), LOGISTIC if binary else SQUARED
        given = trial((21, 3, 9), device=device, binary=binary, n_models=3)
        weight = np.random.default_rng(1).exponential(size=33)
        given = replace(given if binary else in_own_units(given), weight=weight)
        rows = rows_of(given.arm, parted(given.arm, 3)[0])
        start = start_of(shape, [1.0], n_models=3)
        run = Run(shape, given.data(), torch.arange(3), start, rows, 1, loss, schedule(), 0)
        expected = slow_means(shape, *start, given, rows, loss)
        torch.testing.assert_close(run.epoch().cpu().double(), expected, rtol=1e-5, atol=1e-6)

    @quick
    @given(st.integers(0, 10**6), st.sampled_from([SQUARED, LOGISTIC]))
    def test_a_weight_of_0_leaves_a_row_out_and_of_2_doubles_it(self, seed, loss):
        given = trial((9, 8), binary=loss is LOGISTIC)
        times = np.random.default_rng(seed).permutation(np.arange(17) % 3)
        by_weight = run_of(replace(given, weight=times), loss=loss)
        by_rows = run_of(given.subset(np.repeat(np.arange(17), times)), loss=loss)
        for _ in range(5):
            torch.testing.assert_close(by_weight.epoch(), by_rows.epoch(), rtol=1e-4, atol=1e-5)

    def test_rows_of_weight_0_change_nothing(self):
        given = trial()
        ignored = np.arange(44) % 4 == 0
        given = replace(given, weight=np.where(ignored, 0, 1))
        other = replace(
            given, x=np.where(ignored[:, None], 50, given.x), y=np.where(ignored, -50, given.y)
        )
        assert_same(searched(given), searched(other))
        assert_same_tensors(trained(given), trained(other))

    def test_only_the_ratio_of_weights_counts(self):
        given = trial()
        weight = np.random.default_rng(1).exponential(size=44).astype(np.float32)
        given, other = replace(given, weight=weight), replace(given, weight=8 * weight)
        first, second = searched(given), searched(other)
        assert_same(first, second)
        assert_same_tensors(trained(given), trained(other))

    def test_rows_in_another_order_are_learnt_as_well(self):
        given = trial((60, 40))
        first = searched(given, max_epochs=40).loss
        second = searched(given.subset(np.arange(100)[::-1]), max_epochs=40).loss
        np.testing.assert_allclose(first.mean(), second.mean(), rtol=0.6)


class TestPlacesWithoutARow:
    """Models have different numbers of rows; their places are those of the one with the most."""

    @pytest.mark.parametrize("way", ["chunk", "none"])
    def test_a_model_learns_the_same_whatever_the_padding(self, way):
        given, shape = (
            in_own_units(trial((30, 14, 9), n_models=4)),
            hypernet(n_arms=3, generation=way),
        )
        settings = {"degrees": [1.0], "n_models": 4, "batch_size": 10**9}
        plain = searched(given, shape, max_epochs=10, **settings)
        theta = weights_of(shape, trained(given, shape, most_epochs=10, **settings))
        for padding in (1, 30):
            padded = searched(given, shape, padding=padding, max_epochs=10, **settings)
            np.testing.assert_allclose(padded.history, plain.history, rtol=1e-3, atol=1e-6)
            np.testing.assert_array_equal(padded.n_epochs, plain.n_epochs)
            assert padded.real.sum() == plain.real.sum()
            rows = every_row(given, 4, padding=padding)
            other = weights_of(shape, trained(given, shape, most_epochs=10, rows=rows, **settings))
            assert (other - theta).square().mean() < 1e-4 * theta.square().mean()

    @pytest.mark.parametrize("batch_size", [4, 10**9])
    def test_what_it_holds_is_nothing_to_a_model(self, batch_size):
        """To the bit, were it the furthest that data can be."""
        given, shape, degrees = trial((30, 14), n_models=3), hypernet(), (0.0, 1.0, np.inf)
        unused = replace(
            given.subset(np.r_[:44, 0]),
            x=np.vstack([given.x, np.full(3, 1e6)]),
            y=np.hstack([given.y, np.full((3, 1), 1e15)]),
        )
        masks = (np.hstack([mask, [[False]] * 3]) for mask in parted(given.arm, 3))
        plain = [rows_of(unused.arm, mask, padding=3) for mask in masks]
        far = [replace(rows, index=np.where(rows.real, rows.index, 44)) for rows in plain]
        assert all((rows.index == 44).any(axis=1).all() for rows in far)
        s = schedule(batch_size=batch_size)
        found, weights = [], []
        for fit, stop in (plain, far):
            sharing = sharing_of(shape, degrees, None, 3)
            found.append(search(shape, unused.data(), *sharing, fit, stop, SQUARED, s, 0))
            settings = {"rows": fit, "n_models": 3, "batch_size": batch_size}
            weights.append(trained(unused, shape, degrees, **settings))
        np.testing.assert_array_equal(found[0].rows[found[0].real], found[1].rows[found[1].real])
        assert_same(found[0], replace(found[1], rows=found[0].rows))
        assert_same_tensors(*weights)

    @pytest.mark.parametrize("own_arms", [False, True])
    def test_a_model_depends_on_its_own_rows_only(self, own_arms):
        """To the bit: on no row that it is judged on, and on nothing that is another model's."""
        degrees = (np.inf,) if own_arms else (0.0, 1.0)
        given = in_own_units(trial((30, 14), n_last=1, n_models=4))
        folds = Folds.of(given.arm, 4, 4, 0)
        changed = replace(given, x=given.x.copy(), y=given.y.copy(), view=given.view.copy())
        judged = folds.judges[1]
        changed.x[judged] = 1e3 - changed.x[judged]
        changed.y[1, judged] += 100
        changed.view[1, judged] += 5
        changed.y[[0, 2, 3]] = -changed.y[[0, 2, 3]]
        changed.view[[0, 2, 3]] += 1
        shape, s = hypernet(), schedule(max_epochs=3, batch_size=8)
        sharing = sharing_of(shape, degrees, None, 4)
        nets = slice(len(degrees), 2 * len(degrees))
        found = [
            search(shape, g.data(), *sharing, folds.fit, folds.stop, SQUARED, s, 0)
            for g in (given, changed)
        ]
        for name in ("loss", "n_epochs"):
            mine, other = (getattr(f, name) for f in found)
            np.testing.assert_array_equal(mine[1], other[1])
            assert name == "n_epochs" or (mine[[0, 2, 3]] != other[[0, 2, 3]]).any()
        targets = np.array([[0, 3, 0, 0], [9, 3, 0, 9]]).repeat(len(degrees), 1)
        weights = [  # others leave sooner or later, too
            trained(g, shape, degrees, n_models=4, rows=folds.train, batch_size=8, target=target)
            for g, target in zip((given, changed), targets, strict=True)
        ]
        for name, tensor in weights[0][0].items():
            assert torch.equal(tensor[nets], weights[1][0][name][nets]), name
        assert not torch.equal(weights_of(shape, weights[0])[-1], weights_of(shape, weights[1])[-1])

    def test_a_model_without_a_row_of_an_arm_is_trained_on_the_others(self):
        given, shape = trial((30, 14, 9)), hypernet(n_arms=3, generation="none")
        fit, stop = parted(given.arm)
        fit[0, given.arm == 2] = stop[0, given.arm == 2] = False
        settings = {"degrees": [1.0], "weight_decay": 0.0}
        early, late = (
            weights_of(
                shape,
                trained(given, shape, rows=rows_of(given.arm, fit), most_epochs=n, **settings),
            )
            for n in (1, 6)
        )
        moved = (early != late).all(dim=2)
        assert moved.tolist() == [[True, True, False], [True, True, True]]
        found = search(
            shape,
            given.data(),
            *sharing_of(shape, [1.0], None, 2),
            rows_of(given.arm, fit),
            rows_of(given.arm, stop),
            SQUARED,
            schedule(),
            0,
        )
        assert np.isfinite(found.loss).all()
        assert set(given.arm[found.rows[0][found.real[0]]]) == {0, 1}

    @pytest.mark.parametrize("seed", range(3))
    def test_a_model_of_few_rows_may_have_none_in_a_minibatch(self, seed):
        given = trial((12, 9), n_models=2)
        given = replace(given, y=given.y + 30)
        fit, stop = parted(given.arm)
        fit[seed % 2, np.flatnonzero(fit[seed % 2])[2:-2]] = False
        found = search(
            hypernet(),
            given.data(),
            *sharing_of(hypernet(), (0.0, 1.0), None, 2),
            rows_of(given.arm, fit, seed=seed),
            rows_of(given.arm, stop),
            SQUARED,
            schedule(batch_size=1, learning_rate=1e-3),
            seed,
        )
        assert np.isfinite(found.loss).all()
        assert len(found.history) == 4 * 4


class TestWhoLearnsFromWhom:
    def changed(self, given):
        """Other outcomes of the first arm."""
        return replace(given, y=given.y + 3 * (given.arm == 0))

    def test_without_a_generator_an_arm_ignores_the_other_arms_rows(self):
        shape, given = hypernet(generation="none"), trial()
        first, second = (
            trained(g, shape, most_epochs=1, degrees=[np.inf])[0]["own"]
            for g in (given, self.changed(given))
        )
        assert torch.equal(first[:, 1], second[:, 1])
        assert not torch.equal(first[:, 0], second[:, 0])

    @pytest.mark.parametrize("beside", [(), (1.0,)])
    @pytest.mark.parametrize("way", ["chunk", "component", "once"])
    def test_so_do_independent_arms_whoever_is_trained_beside_them(self, way, beside):
        shape, given = hypernet(generation=way, n_arms=3), trial((30, 14, 12))
        degrees = [*beside, np.inf]
        first, second = (
            weights_of(shape, trained(g, shape, degrees, most_epochs=1))
            for g in (given, self.changed(given))
        )
        same = (first == second).all(dim=-1)
        independent = torch.tensor(np.isinf(2 * degrees))
        assert same[independent].tolist() == [[False, True, True]] * 2
        assert not same[~independent].any()

    @pytest.mark.parametrize("perturbed", [{}, {"dropout": 0.5}, {"noise": 1.0}], ids=str)
    @pytest.mark.parametrize("norm", [False, True])
    def test_nets_that_share_learn_as_they_do_beside_others(self, perturbed, norm):
        shape = hypernet(spectral_norm=norm, **perturbed)
        alone, beside = (
            weights_of(shape, driven(shape=shape, degrees=degrees)[0])
            for degrees in ((1.0, 2.0), (1.0, np.inf))
        )
        torch.testing.assert_close(beside[::2], alone[::2], rtol=1e-4, atol=1e-5)

    def test_independent_arms_learn_as_well_as_arms_without_a_generator(self):
        settings = {"degrees": [np.inf], "n_models": 4, "max_epochs": 60, "batch_size": 64}
        independent, none = (
            np.median(
                [
                    searched(
                        heterogeneous(n_models=4), hypernet(generation=way), seed=seed, **settings
                    ).loss
                    for seed in range(3)
                ]
            )
            for way in ("chunk", "none")
        )
        assert independent < 0.5
        assert 0.7 < independent / none < 1.4

    @pytest.mark.parametrize("way", ["none", "chunk"])
    def test_an_arm_without_weight_moves_only_with_a_generator(self, way):
        shape, given = hypernet(generation=way), trial()
        given = replace(given, weight=given.arm == 0)
        early, late = (
            weights_of(shape, trained(given, shape, [1.0], most_epochs=epochs, weight_decay=0))
            for epochs in (1, 6)
        )
        moved = early != late
        assert moved[:, 0].any(dim=-1).all()
        assert moved[:, 1].any() == (way == "chunk")


@pytest.fixture(scope="module")
def seen():
    given = trial((40, 24), n_models=3)
    recorder = Recorder(given)
    searched(given, n_models=3, loss=recorder, batch_size=16, ragged=False)
    return given, np.array(recorder.trained), np.array(recorder.held)


class TestRowsSeen:
    def test_a_network_never_trains_on_what_stops_it(self, seen):
        given, trained_on, held = seen
        for net in range(6):
            held_rows, trained_rows = set(held[:, net].flat), set(trained_on[:, net].flat)
            assert held_rows.isdisjoint(trained_rows)
            assert held_rows | trained_rows == set(range(64))
            assert np.bincount(given.arm[list(held_rows)]).tolist() == [10, 6]

    def test_every_epoch_is_a_pass_over_the_training_rows(self, seen):
        _, trained_on, held = seen
        by_epoch = trained_on.reshape(len(held), -1, *trained_on.shape[1:])
        assert by_epoch.shape[:3] == (4, 4, 6)  # 48 of 64 rows; all are 4 batches of 16
        for of_epoch in by_epoch:
            for net in range(6):
                assert set(of_epoch[:, net].flat) == set(trained_on[:, net].flat)
        assert not np.array_equal(by_epoch[0], by_epoch[1])

    def test_candidates_of_a_model_see_the_same_rows_and_models_others(self, seen):
        _, trained_on, held = seen
        for part in (trained_on, held):
            np.testing.assert_array_equal(part[:, 0::2], part[:, 1::2])
        assert set(held[0, 0]).isdisjoint(held[0, 2])
        assert set(held[0, 2]).isdisjoint(held[0, 4])

    def test_every_validation_is_on_the_same_rows(self, seen):
        held = np.sort(seen[2], axis=2)
        assert (held == held[:1]).all()

    def test_training_for_good_is_on_the_rows_given_and_no_others(self):
        given = trial((40, 24), n_models=3)
        recorder = Recorder(given)
        masks = np.add(*parted(given.arm, 3, ragged=False))
        masks[:, [0, 5]] = False
        rows = rows_of(given.arm, masks)
        assert rows.real.all()
        trained(given, n_models=3, loss=recorder, rows=rows)
        assert recorder.held == []
        of_nets = np.array(recorder.trained)
        assert of_nets.shape[:2] == (24 * 4, 6)  # 62 rows in batches of 16
        for net in range(6):
            assert set(of_nets[:, net].flat) == {*range(64)} - {0, 5}

    @pytest.mark.parametrize("ragged", [False, True])
    def test_the_rows_that_stop_a_model_are_told(self, ragged):
        given = trial((40, 24), n_models=3)
        found = searched(given, n_models=3, ragged=ragged)
        _, stop = parted(given.arm, 3, ragged)
        assert found.rows.shape == found.real.shape
        assert found.rows.dtype == np.int64
        assert found.real.dtype == bool
        for own, real, mask in zip(found.rows, found.real, stop, strict=True):
            assert sorted(own[real]) == np.flatnonzero(mask).tolist()

    @pytest.mark.parametrize(("most", "n_parts"), [(16, 1), (15, 1), (10, 2), (8, 2), (5, 3)])
    def test_many_stop_rows_are_judged_by_an_equal_share_of_every_arm(
        self, most, n_parts, monkeypatch
    ):
        monkeypatch.setattr(stopping, "_MOST_VALIDATED", most)
        given = trial((40, 24), n_models=3)
        recorder = Recorder(given)
        found = searched(given, degrees=(0.0, 0.0), n_models=3, loss=recorder, ragged=False)
        _, stop = parted(given.arm, 3, ragged=False)
        held = np.array(recorder.held)
        for model, mask in enumerate(stop):
            judged = found.rows[model][found.real[model]]
            assert len(judged) == len(set(judged))
            assert mask[judged].all()
            assert all(set(of_net) == set(judged) for of_net in held[:, 2 * model])
            counts = np.bincount(given.arm[judged]) / (np.array([10, 6]) / n_parts)
            assert (np.abs(counts - 1) < n_parts / 6).all()
            assert most / 1.5 <= len(judged) <= 1.5 * most

    @pytest.mark.parametrize("most", [8, 10**9])
    @pytest.mark.parametrize("binary", [False, True])
    def test_the_loss_is_the_mean_over_the_part_that_is_judged(self, most, binary, monkeypatch):
        """Of the network that the same training gives again, in the unit of its model."""
        monkeypatch.setattr(stopping, "_MOST_VALIDATED", most)
        loss, shape = LOGISTIC if binary else SQUARED, hypernet()
        weight = np.random.default_rng(1).exponential(size=64)
        given = replace(trial((40, 24), binary=binary), weight=weight)
        given = given if binary else in_own_units(given)
        found = searched(given, shape, loss=loss, max_epochs=1)
        weights, _ = driven(given, shape, n_epochs=1, loss=loss)
        judged = Rows(found.rows, found.real, np.array([]))
        slow = slow_means(shape, *weights, given, judged, loss, 2)
        np.testing.assert_allclose(found.loss.ravel(), slow, rtol=1e-4)

    @pytest.mark.parametrize("rows_a_block", [1, 3, 7, 1000])
    @pytest.mark.parametrize("n_last", [0, 1])
    def test_rows_are_judged_alike_in_blocks_of_any_size(self, n_last, rows_a_block, monkeypatch):
        given = trial((40, 24), n_models=3, n_last=n_last)
        weight = np.random.default_rng(1).exponential(size=64)
        given = in_own_units(replace(given, weight=weight))
        whole = searched(given, n_models=3)
        monkeypatch.setattr(stopping, "_BLOCK_ELEMENTS", rows_a_block * 6 * 6)
        parts = searched(given, n_models=3)
        np.testing.assert_allclose(parts.history, whole.history, rtol=1e-4)
        np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-4)
        np.testing.assert_array_equal(parts.n_epochs, whole.n_epochs)

    def test_blocks_are_bounded(self, monkeypatch):
        monkeypatch.setattr(stopping, "_BLOCK_ELEMENTS", 500)
        sizes = []

        def noted(net, theta, data, model, rows, layout):
            sizes.append(rows.numel())
            return row_outputs(net, theta, data, model, rows, layout)

        monkeypatch.setattr(stopping, "row_outputs", noted)
        searched(trial((40, 24), n_models=3), n_models=3, max_epochs=1)
        assert len(sizes) > 1
        assert max(sizes) * 6 <= 2 * 500

    def test_losses_are_those_of_the_best_epoch(self):
        weight = np.random.default_rng(1).exponential(size=64).astype(np.float32)
        given, shape = replace(in_own_units(trial((40, 24))), weight=weight), hypernet()
        settings = {"learning_rate": 0.05, "max_epochs": 40}
        found = searched(given, shape, patience=3, **settings)
        assert len(set(found.n_epochs.flat)) > 1
        best_weights = shape.generate(found.params, found.buffers).detach()
        weights, _ = driven(given, shape, n_epochs=found.n_epochs.ravel(), learning_rate=0.05)
        theta = weights_of(shape, weights).double()
        for net, of_arms in enumerate(theta):
            model, candidate = divmod(net, 2)
            rows = found.rows[model][found.real[model]]
            slow = slow_losses(shape, of_arms, given, model, rows, SQUARED)
            best = best_weights[net].double().cpu()
            kept = slow_losses(shape, best, given, model, rows, SQUARED)
            mine = found.loss[model, candidate] * weight[rows].sum()
            np.testing.assert_allclose(mine, slow.sum(), rtol=2e-3)
            np.testing.assert_allclose(mine, kept.sum(), rtol=1e-3)

    def test_an_epoch_is_at_most_32_minibatches(self):
        given = trial((80, 20), n_models=1)
        recorder = Recorder(given)
        searched(given, n_models=1, loss=recorder, batch_size=2, max_epochs=3)
        assert (len(recorder.trained), len(recorder.held)) == (3 * 32, 3)
        assert len(set(np.array(recorder.trained).flat)) == 75

    @quick
    @given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 4), st.data())
    def test_each_pass_meets_every_row_once_and_spreads_every_arm_evenly(
        self, counts, n_models, draw
    ):
        device = resolve_device("auto")
        n_steps = draw.draw(st.integers(1, max(counts)))
        arm = np.repeat(np.arange(len(counts)), counts)
        seed, padding = draw.draw(st.integers(0, 10**6)), draw.draw(st.integers(0, 3))
        masks = np.random.default_rng(seed).random((n_models, len(arm))) < 0.8
        masks[0, 0] = True
        rows = rows_of(arm, masks, padding, seed)
        layout = lay_out(rows.counts, n_steps, device)
        passes = Minibatches(rows, layout, torch.Generator(device).manual_seed(seed))
        place_arm = np.repeat(np.arange(len(counts)), rows.counts)
        slot_arm = place_arm[layout.slots[0].cpu().numpy()]
        for _ in range(2):
            met = []
            for _ in range(n_steps):
                index, real = (part.cpu().numpy() for part in next(passes))
                assert set(real.flat) <= {0, 1}
                assert (arm[index] == slot_arm)[real == 1].all()
                met.append([own[its == 1] for own, its in zip(index, real, strict=True)])
            for model, mask in enumerate(masks):
                own = [of_step[model] for of_step in met]
                np.testing.assert_array_equal(np.sort(np.concatenate(own)), np.flatnonzero(mask))
                by_arm = [np.bincount(arm[of_step], minlength=len(counts)) for of_step in own]
                assert (np.ptp(by_arm, axis=0) <= 1).all()

    def test_a_search_and_the_training_for_good_make_the_same_steps_an_epoch(self):
        """Though one has fewer rows; places without a row make none."""
        given, calls = trial((40, 24), n_models=3), []
        for padding in (0, 40):
            for fitting, how in (
                (searched, {"padding": padding}),
                (trained, {"rows": every_row(given, 3, padding=padding)}),
            ):
                recorder = Recorder(given)
                fitting(given, n_models=3, loss=recorder, batch_size=16, **how)
                calls.append(len(recorder.trained))
        assert calls == [4 * 4, 24 * 4] * 2  # 64 rows in batches of 16

    @pytest.mark.parametrize("batch_size", [1, 3, 10**9])
    def test_any_batch_size_trains_any_number_of_arms(self, batch_size):
        given, shape = trial((9, 9, 9, 9)), hypernet(n_arms=4)
        assert np.isfinite(searched(given, shape, batch_size=batch_size).loss).all()
        assert torch.isfinite(weights_of(shape, trained(given, shape, batch_size=batch_size))).all()


NUMBERS = np.zeros(3, dtype=int)


class TestUnits:
    @pytest.mark.parametrize("n_models", [5, 8])
    def test_are_of_the_rows_that_a_model_is_not_judged_on(self, n_models):
        given = trial((30, 14))
        weight = np.random.default_rng(1).exponential(size=44)
        folds = Folds.of(given.arm, 5, n_models, 0)
        study = Study(given.x, 3 + 7 * given.y[0], weight, given.arm, np.arange(44), NUMBERS)
        location, scale = units(study.y, study.weight, folds.learns, Normal())
        assert location.shape == scale.shape == (n_models,)
        for m, judged in enumerate(folds.judges):
            y, w = study.y[~judged], weight[~judged]
            mean = np.average(y, weights=w)
            assert location[m] == pytest.approx(mean, rel=1e-9)
            assert scale[m] == pytest.approx(
                np.average((y - mean) ** 2, weights=w) ** 0.5, rel=1e-9
            )
            other = replace(study, y=np.where(judged, 1e9, study.y))
            changed = np.array(units(other.y, other.weight, folds.learns, Normal()))
            assert changed[:, m].tolist() == [location[m], scale[m]]

    def test_codes_of_classes_are_left_as_they_are(self):
        given = trial((30, 14), binary=True)
        study = Study(
            given.x, given.y[0].astype(float), given.weight, given.arm, np.arange(44), NUMBERS
        )
        seen = Folds.of(given.arm, 4, 4, 0).learns
        binary = Bernoulli(np.array([0, 1]))
        location, scale = units(study.y, study.weight, seen, binary)
        assert (location.tolist(), scale.tolist()) == ([0] * 4, [1] * 4)


def heterogeneous(**changed):
    """The effect varies, so that networks whose arms differ by a constant fall behind."""
    return trial((120, 80), effect=lambda x, arm: 2 * arm * x[:, 1], **changed)


def records(found, net):
    return found.history[found.history[:, 0] == net][:, 1:]


@pytest.fixture(scope="module", params=["chunk", "none"])
def stopped(request):
    patience = 3
    found = searched(
        trial((40, 24), n_models=6),
        hypernet(generation=request.param),
        degrees=[1.0],  # alone, so that a network leaves for its own sake
        n_models=6,
        max_epochs=100,
        patience=patience,
    )
    return found, patience


class TestStopping:
    def test_the_best_epoch_on_its_own_stop_rows_is_found(self, stopped):
        found, _ = stopped
        for net in range(6):
            epoch, _, validation = records(found, net).T
            best, n_epochs = found.loss.flat[net], found.n_epochs.flat[net]
            assert best == pytest.approx(validation.min(), rel=1e-6)
            assert epoch[validation.argmin()] + 1 == n_epochs

    def test_a_network_leaves_when_its_patience_is_over(self, stopped):
        found, patience = stopped
        last = [records(found, net)[-1, 0] for net in range(6)]
        assert len(set(last)) > 1
        for net in range(6):
            epoch, _, validation = records(found, net).T
            np.testing.assert_array_equal(epoch, np.arange(len(epoch)))
            gained, at = np.inf, 0
            for now, loss in zip(epoch, validation, strict=True):
                gained, at = (loss, now) if loss < 0.99 * gained else (gained, at)
                assert (now - at == patience) == (now == last[net])
        assert max(last) < 99

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("norm", [False, True])
    @pytest.mark.parametrize("way", ["chunk", "none"])
    def test_as_many_epochs_again_give_the_loss_that_was_reported(self, way, norm, device):
        shape, given = hypernet(generation=way, spectral_norm=norm), trial((40, 24), device=device)
        found = searched(given, shape, max_epochs=60, patience=3, learning_rate=0.05)
        assert found.n_epochs.min() < found.history[:, 1].max()
        n_epochs = found.n_epochs.ravel()
        weights, _ = driven(given, shape, n_epochs=n_epochs, learning_rate=0.05)
        stop = rows_of(given.arm, parted(given.arm)[1])
        slow = slow_means(shape, *weights, given, stop, SQUARED, 2)
        np.testing.assert_allclose(slow, found.loss.ravel(), rtol=1e-3)

    def test_the_target_is_the_least_training_loss_a_quarter_of_the_epochs_before_the_best_one(
        self,
    ):
        """Or that of the first epoch."""
        noise = np.random.default_rng(1).normal(size=64)
        given = trial((40, 24), effect=lambda x, arm: 2 * arm + noise)
        settings = {"max_epochs": 150, "patience": 30, "learning_rate": 0.005}
        found = searched(given, degrees=(0.0, 1.0, np.inf), **settings)
        assert len(set(found.n_epochs.flat)) > 3
        assert found.n_epochs.max() > 60
        for net, n_epochs in enumerate(found.n_epochs.flat):
            training = records(found, net)[:, 1]
            before = int(n_epochs - 1 - n_epochs / 4)
            assert found.target.flat[net] == training[: max(0, before) + 1].min()

    @pytest.mark.parametrize("perturbed", [{}, {"dropout": 0.5, "noise": 1.0}], ids=str)
    @pytest.mark.parametrize("way", ["chunk", "none"])
    def test_networks_go_on_alike_when_others_have_left(self, way, perturbed):
        settings = {"shape": hypernet(generation=way, **perturbed), "degrees": [1.0], "n_models": 6}
        settings["learning_rate"] = 0.03
        given = trial((40, 24), n_models=6)
        short, long = (searched(given, **settings, patience=p, max_epochs=20) for p in (2, 100))
        lengths = [len(records(short, net)) for net in range(6)]
        assert min(lengths) < max(lengths)
        for net, length in enumerate(lengths):
            np.testing.assert_allclose(
                records(short, net), records(long, net)[:length], rtol=1e-3, atol=1e-5
            )

    @pytest.mark.parametrize("norm", [False, True])
    def test_leaving_moves_no_state_of_those_that_stay(self, norm):
        device = resolve_device("auto")
        given = trial(device=device)
        going = torch.tensor([True, False, True, True], device=device)
        all_stay, less = (
            run_of(
                given,
                hypernet(spectral_norm=norm),
                (0.5, 1.25, 2.0, np.inf),
                learning_rate=0.03,
            )
            for _ in range(2)
        )
        assert [family.nets.tolist() for family in all_stay.families] == [[0, 1, 2], [3]]
        for _ in range(5):
            all_stay.epoch()
            less.epoch()
        less.keep(going)
        assert [family.nets.tolist() for family in less.families] == [[0, 2], [3]]
        for n_more in (0, 10):
            for _ in range(n_more):
                torch.testing.assert_close(
                    less.epoch(), all_stay.epoch()[going], rtol=1e-3, atol=1e-5
                )
            for nets, fewer in zip(all_stay.families, less.families, strict=True):
                self.assert_alike(nets, fewer, going[nets.nets])

    def assert_alike(self, nets, fewer, going):
        assert fewer.n_steps == nets.n_steps
        for name, param in nets.params.items():
            torch.testing.assert_close(fewer.params[name], param[going], rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(
                fewer.average[name], nets.average[name][going], rtol=1e-3, atol=1e-5
            )
        for name, tensor in nets.buffers.items():
            torch.testing.assert_close(fewer.buffers[name], tensor[going], rtol=1e-3, atol=1e-4)

    def test_a_network_far_behind_its_models_best_stays_while_it_gains(self):
        degrees = (0.0, 0.03, 0.2, 3.0, np.inf)
        settings = {"max_epochs": 60, "batch_size": 64, "patience": 8}
        found = searched(heterogeneous(), degrees=degrees, **settings)
        behind = 0
        for net in range(2 * len(degrees)):
            held = records(found, net)[:, 2]
            gained, at = np.inf, 0
            for now, loss in enumerate(held):
                gained, at = (loss, now) if loss < 0.99 * gained else (gained, at)
                assert (now - at == 8) <= (now == len(held) - 1)
            assert len(held) == 60 or len(held) - 1 - at == 8
            behind += found.loss.flat[net] > 1.5 * found.loss[net // len(degrees)].min()
        assert behind > 1


def cooling(n_epochs):
    return np.maximum(20, np.ceil(np.asarray(n_epochs) / 2)).astype(int)


def far_off(shape, degree, intercept):
    """A start like another but for the intercept of all arms."""
    params, buffers = start_of(shape, [degree], n_models=1, seed=1)
    name = "own" if np.isinf(degree) else "common"
    params[name][..., -1] += intercept
    return params, buffers


class TestTrainingForGood:
    """To the loss of a search's best epoch, and then to rest."""

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("perturbed", [{}, {"dropout": 0.1, "noise": 0.2}], ids=str)
    @pytest.mark.parametrize("norm", [False, True])
    def test_a_network_cools_once_its_loss_reached_the_target_and_others_go_on(
        self, norm, perturbed, device
    ):
        """The last never does, and cools after the most epochs; independent arms are two of them.

        The learning rate falls linearly to zero over half as many epochs again, at least 20.
        """
        shape = hypernet(spectral_norm=norm, **perturbed)
        given = trial(device=device)
        rows, degrees, most = every_row(given), (1.0, np.inf), 60
        settings = {"degrees": degrees, "batch_size": 10**9}
        _, losses = driven(given, shape, n_epochs=most, rows=rows, **settings)
        least = np.minimum.accumulate(losses)
        target = np.array([least[2, 0], least[50, 1], least[45, 2], 0])
        reached = np.where(target > 0, 1 + (losses <= target).argmax(axis=0), most)
        assert len(set(reached)) == 4
        assert reached[1] > 40
        recorder = Recorder(given)
        mine = trained(
            given, shape, target=target, most_epochs=most, rows=rows, loss=recorder, **settings
        )
        assert all(tensor.device.type == "cpu" for part in mine for tensor in part.values())
        n_epochs = reached + cooling(reached)
        in_training = [len(of_step) for of_step in recorder.trained]
        assert in_training == [(n_epochs > epoch).sum() for epoch in range(n_epochs.max())]
        other, _ = driven(
            given, shape, n_epochs=reached, n_cooling=cooling(reached), rows=rows, **settings
        )
        for part, of_other in zip(mine, other, strict=True):
            for name, tensor in part.items():
                torch.testing.assert_close(tensor, of_other[name], rtol=1e-3, atol=1e-4, msg=name)

    @pytest.mark.parametrize("most_epochs", [1, 7, 40, 41, 60])
    def test_one_that_never_reaches_the_target_cools_after_the_most_epochs(self, most_epochs):
        given = trial((40, 24))
        recorder = Recorder(given)
        trained(given, loss=recorder, most_epochs=most_epochs, batch_size=10**9)
        assert len(recorder.trained) == most_epochs + cooling(most_epochs)

    def test_the_target_is_of_the_training_loss_and_may_be_reached_in_the_first_epoch(self):
        given = trial((40, 24))
        recorder = Recorder(given)
        trained(given, loss=recorder, target=np.inf, most_epochs=60, batch_size=10**9)
        assert len(recorder.trained) == 1 + 20

    def test_weights_come_to_rest(self, monkeypatch):
        """In few minibatches of noisy rows, whose gradients do not vanish."""
        noise = np.random.default_rng(1).normal(scale=3, size=64)
        given, steps = trial((40, 24), effect=lambda x, arm: noise, n_models=1), []

        class Steps(Run):
            def epoch(self, speed=None):
                before = self.families[0].params["common"].detach().clone()
                losses = super().epoch(speed)
                now = self.families[0].params["common"].detach()
                steps.append((now - before).norm().item())
                return losses

        monkeypatch.setattr(final_module, "Run", Steps)
        trained(given, degrees=[1.0], n_models=1, most_epochs=40, batch_size=8)
        assert len(steps) == 60
        assert steps[-1] < 0.15 * np.mean(steps[30:40])
        assert np.mean(steps[40:50]) > 3 * np.mean(steps[-5:])

    @pytest.mark.parametrize("degree", [1.0, np.inf])
    def test_a_lucky_and_an_unlucky_start_end_with_nearly_the_same_loss(self, degree):
        """The second's intercepts are far off: it takes longer, and is given longer."""
        noise = np.random.default_rng(1).normal(size=140)
        given = trial((80, 60), effect=lambda x, arm: 2 * arm + noise, n_models=1)
        shape, settings = hypernet(), {"batch_size": 32, "learning_rate": 0.02}
        found = searched(
            given, shape, [degree], n_models=1, max_epochs=200, patience=20, **settings
        )
        rows = every_row(given, 1)
        starts = start_of(shape, [degree], n_models=1), far_off(shape, degree, 3.0)
        weights = train(
            shape,
            given.data(),
            np.zeros(2, dtype=int),
            tuple(
                {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
                for parts in zip(*starts, strict=True)
            ),
            np.full(2, found.target.item()),
            20 * found.n_epochs.item(),
            rows,
            SQUARED,
            schedule(**settings),
            1,
        )
        twice = replace(given, y=given.y.repeat(2, 0))
        both = replace(rows, index=rows.index.repeat(2, 0), real=rows.real.repeat(2, 0))
        lucky, unlucky = slow_means(shape, *weights, twice, both, SQUARED)
        assert abs(unlucky - lucky) < 0.2 * lucky

    def test_every_model_finds_a_large_constant_effect(self):
        """Also those whose start happens to be far from it."""
        for seed in range(2):
            rng = np.random.default_rng(seed)
            X, arm = rng.normal(size=(300, 4)), rng.integers(2, size=300)
            y = X[:, 0] + 3 * arm + rng.normal(size=300)
            design = np.column_stack([np.ones(300), arm, X])
            least_squares = np.linalg.lstsq(design, y, rcond=None)[0][1]
            est = HyperCATE(random_state=0, device="cpu").fit(X, y, arm)
            x = est.fitted_.features.transform(X)
            outcomes = est.fitted_.networks.by_model(x, torch.device("cpu"))
            effects = (outcomes[..., 1] - outcomes[..., 0]).mean(axis=1)
            np.testing.assert_allclose(effects, least_squares, rtol=0, atol=0.6)
            assert effects.mean() == pytest.approx(least_squares, abs=0.2)


class TestSpeed:
    def test_is_of_each_network_whatever_its_family(self):
        """In the order of a run's networks; full speed is none given, to the bit."""
        plain, slow = (run_of(trial(), degrees=(np.inf, 1.0, np.inf, 2.0)) for _ in range(2))
        assert slow.nets.tolist() == [1, 3, 0, 2]
        start = weights_of(hypernet(), start_of(hypernet(), (np.inf, 1.0, np.inf, 2.0), n_models=1))
        for _ in range(5):
            plain.epoch()
            slow.epoch(torch.tensor([1.0, 0.0, 0.0, 1.0]))
        at_full_speed, mine = plain.theta(), slow.theta()
        assert torch.equal(mine[[0, 3]], at_full_speed[[0, 3]])
        torch.testing.assert_close(mine[[1, 2]], start[[3, 0]], rtol=1e-6, atol=1e-7)
        assert (at_full_speed[[1, 2]] != start[[3, 0]]).any(dim=2).all()


class TestGeneratorInTraining:
    @pytest.mark.parametrize("perturbed", [{}, {"dropout": 0.5}, {"noise": 1.0}], ids=str)
    def test_perturbations_are_for_training_and_never_for_validation(self, perturbed):
        """Weights that hardly move give the same loss at every epoch, unless it is perturbed."""
        found = searched(
            shape=hypernet(**perturbed),
            degrees=[3.0],
            n_models=3,
            learning_rate=1e-12,
            weight_decay=0,
            batch_size=10**9,
        )
        for net in range(3):
            _, train_loss, validation = records(found, net).T
            assert np.ptp(validation) < 1e-5
            assert (np.ptp(train_loss) > 1e-3) == bool(perturbed)

    def test_noise_fades_as_training_goes_on(self):
        """So that how far its draws spread depends on when training stops."""
        shape, given = hypernet(noise=0.5), heterogeneous()
        run = run_of(given, shape, np.linspace(0.5, 2, 15), learning_rate=0.02)
        (nets,) = run.families
        generator = torch.Generator().manual_seed(0)

        def effects(draw):
            theta = shape.generate(nets.average, nets.buffers, draw).flatten(0, 1)
            return shape.net(theta, run.data.x).view(15, 2, -1).diff(dim=1)

        spreads = []
        for steps in (50, 400):
            while nets.n_steps < steps:
                run.epoch()
            moved = effects(perturb(shape, 15, generator)) - effects({})
            spreads.append(moved.square().mean().sqrt().item())
        assert 0 < spreads[1] < 0.5 * spreads[0]

    @pytest.mark.parametrize("device", DEVICES)
    def test_spectral_norms_stay_at_1_while_weights_move(self, device):
        shape = hypernet(spectral_norm=True, hidden=(16, 16), generation="component", noise=0.3)
        given = trial(device=device, n_models=4)
        start, _ = start_of(shape, [1.0], n_models=4)
        end, buffers = trained(given, shape, [1.0], n_models=4, most_epochs=20, learning_rate=0.05)
        for name in ("arm_matrix", "piece_matrix", "noise_matrix", "matrix1", "heads"):
            moved = (end[name] - start[name]).norm() / start[name].norm()
            assert moved > 0.1, name
            used = shape.matrix(end, buffers, name).double()
            norms = torch.linalg.matrix_norm(used, 2)
            assert norms.max() < 1.05, name
            assert norms.min() > 1 - 1e-5, name


class TestMovingAverage:
    def test_lies_between_the_weights_visited_and_lags_behind(self):
        run = run_of(trial())
        nets = run.families[0]
        visited, average = [], []
        for _ in range(300):
            run.epoch()
            visited.append(nets.params["common"].detach().clone())
            average.append(nets.average["common"].clone())
        assert (average[0] - visited[0]).abs().max() < 0.002  # the start is soon forgotten
        slack = 1e-6
        low, high = torch.stack(visited).amin(0) - slack, torch.stack(visited).amax(0) + slack
        assert ((average[-1] >= low) & (average[-1] <= high)).all()
        assert not torch.equal(average[-1], visited[-1])
        assert (average[-1] - torch.stack(visited[-50:]).mean(0)).abs().max() < 0.03


class TestDivergence:
    @pytest.mark.parametrize("fitting", [searched, trained])
    @pytest.mark.parametrize("rate", [1e4, 1e8, 1e30])
    def test_raises_with_the_epoch_and_what_to_try(self, rate, fitting):
        shown = re.escape(f"{rate:g}")
        message = rf"diverged by epoch [1-5]:.*smaller learning_rate \(now {shown}\)"
        length = {"max_epochs": 5} if fitting is searched else {"most_epochs": 5}
        with pytest.raises(FloatingPointError, match=message):
            fitting(learning_rate=rate, **length)

    @pytest.mark.parametrize("rate", [1.0, 30.0, 100.0])
    @pytest.mark.parametrize("way", ["chunk", "none"])
    def test_an_explosion_within_the_first_epoch_is_not_passed_off_as_a_fit(self, rate, way):
        """The start's loss is about 5: no network of ten thousand times that is returned."""
        with contextlib.suppress(FloatingPointError):
            found = searched(shape=hypernet(generation=way), max_epochs=5, learning_rate=rate)
            assert found.loss.min(axis=1).max() < 5e4

    @pytest.mark.parametrize("fitting", [searched, trained])
    def test_extreme_outcomes_raise(self, fitting):
        given = trial()
        extreme = replace(given, y=given.y * 1e25)
        with pytest.raises(FloatingPointError, match="extreme values in y and sample_weight"):
            fitting(extreme)

    def test_a_network_that_diverges_leaves_the_others_in_peace(self):
        found = searched(degrees=(1.0, 1e30), max_epochs=5)
        assert np.isfinite(found.loss[:, 0]).all()
        assert np.isinf(found.loss[:, 1]).all()
        for model in range(2):
            assert len(records(found, 2 * model)) == 5
            assert len(records(found, 2 * model + 1)) == 1

    @pytest.mark.parametrize("in_training", [True, False])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_network_that_was_good_before_it_diverged_is_not_kept(self, value, in_training):
        loss = SpoiltLoss([1], value, in_training)
        found = searched(loss=loss, max_epochs=6)
        assert np.isfinite(found.loss).tolist() == [[True, False], [True, True]]
        assert [len(records(found, net)) for net in range(4)] == [6, 3, 6, 6]

    def test_the_epoch_named_is_that_of_the_divergence(self):
        with pytest.raises(FloatingPointError, match="diverged by epoch 3:"):
            searched(loss=SpoiltLoss([0, 1, 2, 3], np.nan, True), max_epochs=6)

    @pytest.mark.parametrize("step", [61, 63])  # 3 an epoch
    @pytest.mark.parametrize("of_gradient", [False, True])
    def test_training_for_good_raises_if_one_network_diverges(self, step, of_gradient):
        """Also in the last step, after which no loss is taken."""
        with pytest.raises(FloatingPointError, match="diverged by epoch 21:"):
            trained(loss=SpoiltSteps(2, step, of_gradient), most_epochs=1)

    @pytest.mark.parametrize("of_gradient", [False, True])
    def test_also_if_others_have_left(self, of_gradient):
        loss = SpoiltSteps(0, 67, of_gradient)
        with pytest.raises(FloatingPointError, match="diverged by epoch 23:"):
            trained(loss=loss, target=[0, np.inf, np.inf, np.inf], most_epochs=4)


@contextlib.contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def assert_same(first, second):
    """Two searches found the same."""
    for part in ("loss", "n_epochs", "target", "rows", "real", "history"):
        mine, other = getattr(first, part), getattr(second, part)
        assert mine.dtype == other.dtype, part
        np.testing.assert_array_equal(mine, other, err_msg=part)


def assert_same_tensors(first, second):
    """Two trainings gave the same parameters and buffers."""
    for mine, other in zip(first, second, strict=True):
        assert mine.keys() == other.keys()
        for name, tensor in mine.items():
            assert tensor.dtype == other[name].dtype == torch.float32, name
            assert torch.equal(tensor, other[name]), name


EVERY_SHAPE = [
    pytest.param(hypernet(generation=way, dropout=dropout, spectral_norm=norm, noise=noise), id=way)
    for way, dropout, norm, noise in [
        ("chunk", 0.0, False, 0.0),
        ("component", 0.2, True, 0.3),
        ("once", 0.5, False, 0.0),
        ("none", 0.0, False, 0.0),
    ]
]


class TestManners:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("shape", EVERY_SHAPE)
    def test_a_seed_gives_the_same_networks_to_the_bit_and_another_others(self, shape, device):
        given, degrees = trial(device=device), (0.0, 1.0, np.inf)
        first, again, other = (
            searched(given, shape, degrees, seed=seed, max_epochs=3) for seed in (1, 1, 2)
        )
        assert_same(first, again)
        assert not np.array_equal(first.history, other.history)
        first, again, other = (
            trained(given, shape, degrees, seed=seed, most_epochs=3) for seed in (1, 1, 2)
        )
        assert_same_tensors(first, again)
        for name, tensor in first[0].items():
            assert not torch.equal(tensor, other[0][name])

    @pytest.mark.parametrize("shape", EVERY_SHAPE)
    def test_the_state_of_the_process_is_left_as_it_was(self, shape):
        def state():
            return (
                torch.get_rng_state().tolist(),
                np.random.get_state()[1].tolist(),  # noqa: NPY002
                torch.get_num_threads(),
                torch.get_default_dtype(),
                torch.is_grad_enabled(),
                torch.is_inference_mode_enabled(),
                torch.are_deterministic_algorithms_enabled(),
                torch.get_float32_matmul_precision(),
            )

        before = state()
        searched(shape=shape, max_epochs=2)
        trained(shape=shape, most_epochs=2)
        assert state() == before

    def test_what_is_given_is_left_as_it_was(self):
        given, shape = trial(n_last=1), hypernet()
        fit, stop = (rows_of(given.arm, mask) for mask in parted(given.arm))
        data, target, model = given.data(), np.array([0, 9, 0.5, 0], "f4"), np.array([0, 0, 1, 1])
        profiles, scale = sharing_of(shape, (0.0, np.inf), None, 2)
        start = start_of(shape, (0.0, np.inf))
        before = copy.deepcopy((data, profiles, scale, fit, stop, target, model, start))
        search(shape, data, profiles, scale, fit, stop, SQUARED, schedule(), 0)
        train(shape, data, model, start, target, 3, fit, SQUARED, schedule(), 0)
        for name in ("x", "view", "y", "weight"):
            assert torch.equal(getattr(data, name), getattr(before[0], name))
        assert profiles == before[1]
        assert torch.equal(scale, before[2])
        for rows, original in zip((fit, stop), before[3:5], strict=True):
            for name in ("index", "real", "counts"):
                np.testing.assert_array_equal(getattr(rows, name), getattr(original, name))
        np.testing.assert_array_equal(target, before[5])
        np.testing.assert_array_equal(model, before[6])
        assert_same_tensors(start, before[7])

    @pytest.mark.parametrize(
        "mode",
        [
            pytest.param(torch.no_grad, id="no_grad"),
            pytest.param(torch.inference_mode, id="inference_mode"),
            pytest.param(lambda: default_dtype(torch.float64), id="float64"),
            pytest.param(lambda: torch.device("meta"), id="default_device"),
        ],
    )
    @pytest.mark.parametrize("shape", EVERY_SHAPE[::3])
    def test_modes_of_the_process_change_nothing(self, mode, shape):
        degrees = (0.0, 1.0, np.inf)
        found = searched(shape=shape, degrees=degrees, max_epochs=3, patience=1)
        how = {"target": [np.inf, 0, 0, 0, np.inf, np.inf], "most_epochs": 3}
        weights = trained(shape=shape, degrees=degrees, **how)
        with mode():
            inside = searched(shape=shape, degrees=degrees, max_epochs=3, patience=1)
            others = trained(shape=shape, degrees=degrees, **how)
        assert_same(found, inside)
        assert_same_tensors(weights, others)

    @pytest.mark.parametrize("fitting", [searched, trained])
    @pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad])
    def test_an_interrupt_comes_through_and_leaves_the_process_as_it_was(self, mode, fitting):
        calls = []

        def interrupted(output, y):
            calls.append(1)
            if len(calls) == 6:
                raise KeyboardInterrupt
            return SQUARED(output, y)

        with mode():
            before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            with pytest.raises(KeyboardInterrupt):
                fitting(loss=interrupted)
            assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
        assert len(calls) == 6

    @pytest.mark.parametrize("fitting", [searched, trained])
    @pytest.mark.parametrize("verbose", [False, True])
    def test_a_bar_is_shown_only_if_asked_for(self, verbose, fitting, capsys):
        with bars(verbose):
            fitting(degrees=[1.0])
        shown = capsys.readouterr()
        assert shown.out == ""
        end = " 4/4 " if fitting is searched else "/24 "
        assert ("HyperCATE" in shown.err and end in shown.err) == verbose


class TestLearning:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("way", ["chunk", "component", "once", "none"])
    def test_effects_that_vary_are_learnt(self, way, device):
        """From all rows, as closely as was best on the stop rows of a search."""
        shape, given = hypernet(generation=way), heterogeneous(device=device)
        settings = {"degrees": [3.0], "learning_rate": 0.02, "batch_size": 64}
        found = searched(given, shape, max_epochs=80, **settings)
        assert (found.loss < 0.15).all()
        how = {"target": found.target.ravel(), "most_epochs": 2 * found.n_epochs.max()}
        weights = trained(given, shape, **how, **settings)
        x = torch.as_tensor(given.x, dtype=torch.float32)
        tau = torch.stack([shape.net(t, x).diff(dim=0)[0] for t in weights_of(shape, weights)])
        assert ((tau.mean(0) - 2 * x[:, 1]).square().mean() / 4).item() < 0.05

    def test_what_a_model_alone_reads_is_learnt(self):
        """The effect varies with it."""
        rng = np.random.default_rng(1)
        given = heterogeneous()
        view = given.x[:, 1:2] + np.zeros((2, 1, 1))
        view[1] = -view[1]
        given = replace(given, x=np.stack([given.x[:, 0], rng.normal(size=200)], 1), view=view)
        shape = hypernet()
        weights = weights_of(
            shape, trained(given, shape, [3.0], most_epochs=80, learning_rate=0.02, batch_size=64)
        )
        inputs = torch.as_tensor(given.inputs(), dtype=torch.float32)
        for theta, x, sign in zip(weights, inputs, (1, -1), strict=True):
            tau = shape.net(theta, x).diff(dim=0)[0]
            assert ((tau - 2 * sign * x[:, 2]).square().mean() / 4).item() < 0.05

    def test_at_degree_0_a_constant_effect_is(self):
        shape, given = hypernet(n_arms=3), trial((40, 30, 30))
        weights = weights_of(
            shape, trained(given, shape, [0.0], most_epochs=60, learning_rate=0.02)
        )
        x = torch.as_tensor(given.x, dtype=torch.float32)
        outcomes = shape.net(weights.flatten(0, 1), x).view(2, 3, -1)
        tau = (outcomes[:, 1:] - outcomes[:, :1]).mean(0)
        torch.testing.assert_close(
            tau, torch.tensor([[2.0], [4.0]]).expand(2, 100), rtol=0, atol=0.3
        )

    @pytest.mark.parametrize("way", ["chunk", "none"])
    def test_an_input_of_factor_0_is_not_looked_at(self, way):
        given, shape = trial(), hypernet(generation=way)
        x = given.x.copy()
        x[:, 1] = 1e3 - x[:, 1]
        factors = [[1.0, 0.0, 1.0], [1.0, 0.5, 1.0]]
        first, second = (
            searched(g, shape, (1.0, 1.0), factors) for g in (given, replace(given, x=x))
        )
        for net in (0, 2):
            np.testing.assert_allclose(
                records(first, net), records(second, net), rtol=1e-4, atol=1e-6
            )
        assert not np.allclose(first.loss[:, 1], second.loss[:, 1], rtol=0.1)

    def test_candidates_are_of_models_in_the_order_documented(self):
        """A search's first network of each model is told nothing, its second all."""
        given = trial(n_models=3)
        factors = [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
        found = searched(
            given,
            degrees=(0.0, 1.0),
            input_scale=factors,
            n_models=3,
            max_epochs=60,
            learning_rate=0.02,
        )
        assert found.loss.shape == found.n_epochs.shape == (3, 2)
        assert (found.loss[:, 0] > 2 * found.loss[:, 1]).all()

    def test_profiles_and_factors_of_inputs_are_those_of_the_networks(self):
        degrees = (0.0, 0.5, 2.0)
        factors = [[1.0, 2.0, 3.0], [0.0, 0.5, 0.25], [1.0, 1.0, 1.0]]
        _, buffers = trained(degrees=degrees, input_scale=factors, most_epochs=1)
        scale = buffers["departure"][:, 5 * 6] / buffers["departure"][1, 5 * 6]
        torch.testing.assert_close(scale, torch.tensor([0.0, 1, 4, 0, 1, 4]))
        first = buffers["scale"][:, : 3 * 6].view(6, 3, 6)
        assert torch.equal(first, torch.tensor(2 * factors)[:, :, None].expand(6, 3, 6))
        assert (buffers["scale"][:, 3 * 6 :] == 1).all()

    def test_weight_decay_shrinks_weights(self):
        small, large = (
            trained(weight_decay=decay, most_epochs=20)[0]["common"].square().mean()
            for decay in (0.0, 10.0)
        )
        assert large < 0.7 * small
