"""The training loop: what it minimises, who learns from whom, when networks stop, and manners."""

import contextlib
import copy
import re
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate import training
from hypercate.batching import lay_out
from hypercate.device import resolve_device
from hypercate.families import by_family, families_of
from hypercate.hypernet.hypernetwork import HyperNet
from hypercate.learners import TLearner
from hypercate.outcome_net import OutcomeNet
from hypercate.training import Data, Schedule, _minibatches, _step, factual_loss, train

quick = settings(max_examples=25, deadline=None, derandomize=True)
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
SQUARED = TLearner("continuous", 0.0, 1.0).loss
LOGISTIC = TLearner("binary", 0.0, 1.0).loss


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
        "validation_fraction": 0.25,
        "patience": 100,
    }
    return Schedule(**defaults | changed)


def adam(learning_rate=0.01):
    return partial(torch.optim.AdamW, lr=learning_rate, weight_decay=0.01, fused=True)


def trial(counts=(30, 14), *, effect=lambda x, arm: 2 * arm, device="cpu", binary=False):
    """Rows in mixed order, y = x0 + effect + noise; no two outcomes alike but binary ones."""
    rng = np.random.default_rng(0)
    arm = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = rng.normal(size=(len(arm), 3))
    y = x[:, 0] + effect(x, arm) + 0.1 * rng.normal(size=len(arm))
    return data_of(x, y > 1 if binary else y, np.ones(len(arm)), arm, device)


def data_of(x, y, weight, arm, device="cpu"):
    tensors = (
        torch.as_tensor(np.asarray(v), dtype=torch.float32, device=device) for v in (x, y, weight)
    )
    return Data(*tensors, np.asarray(arm))


def weighted(data, weight):
    return data_of(data.x.cpu(), data.y.cpu(), weight, data.arm, data.x.device)


def subset(data, rows):
    x, y, weight = (getattr(data, name).cpu()[rows] for name in ("x", "y", "weight"))
    return data_of(x, y, weight, data.arm[rows], data.x.device)


def fitted(
    data=None,
    shape=None,
    degrees=(0.0, 1.0),
    input_scale=None,
    n_members=2,
    loss=SQUARED,
    seed=0,
    verbose=False,
    **changed,
):
    if input_scale is None:
        input_scale = [[1.0, 1.0, 1.0]] * len(degrees)
    return train(
        shape or hypernet(),
        data or trial(),
        torch.tensor(degrees, dtype=torch.float32, device="cpu"),
        torch.tensor(input_scale, dtype=torch.float32, device="cpu"),
        n_members,
        loss,
        schedule(**changed),
        seed,
        verbose,
    )


class Recorder:
    """A loss that notes whose outcomes each network was shown: (calls, nets, slots) of rows."""

    def __init__(self, data):
        self.order = np.argsort(data.y.cpu().numpy())
        self.sorted = data.y.cpu().numpy()[self.order]
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


def double(tensors):
    return {name: tensor.cpu().double() for name, tensor in tensors.items()}


def slow_loss(shape, params, buffers, data, rows, loss):
    """Weighted mean over each network's rows, one at a time by its own arm's network."""
    theta = shape.generate(double(params), double(buffers))
    x, y, weight = (getattr(data, name).cpu().double() for name in ("x", "y", "weight"))
    means = []
    for of_arms, of_net in zip(theta, rows, strict=True):
        total = sum(
            weight[row] * loss(shape.net(of_arms[[data.arm[row]]], x[[row]])[0, 0], y[row])
            for row in of_net
        )
        means.append(total / sum(weight[row] for row in of_net))
    return torch.stack(means)


def minibatch_loss(shape, params, buffers, data, loss, n_steps=1, step=0):
    """Loss of each network on one minibatch of `data`, its gradients, and its rows."""
    device = data.x.device
    families = families_of(shape, params, buffers, adam())
    layout = lay_out(np.bincount(data.arm), n_steps, device)
    rows = torch.as_tensor(np.argsort(data.arm, kind="stable"), device=device)[layout.slots[step]]
    nets = torch.cat([family.nets for family in families])
    losses = factual_loss(
        shape.net,
        torch.cat([family.weights(family.params) for family in families]),
        data,
        loss,
        rows.expand(len(nets), -1),
        layout.filled[step],
        layout,
    )
    losses.sum().backward()
    gradients = {name: torch.zeros_like(tensor) for name, tensor in params.items()}
    for family in families:
        for name, param in family.params.items():
            gradients[name][family.nets] = param.grad
    return losses.detach()[nets.argsort()], gradients, rows[layout.filled[step] == 1].tolist()


def started(shape, n=3, device="cpu"):
    """The last has arms that share nothing."""
    generator = torch.Generator().manual_seed(0)
    degrees = torch.linspace(0.5, 2, n, dtype=torch.float32)
    degrees[-1] = torch.inf
    tensors = shape.init(degrees, torch.ones(n, 3), generator)
    return tuple({k: v.to(device) for k, v in part.items()} for part in tensors)


class TestFactualLoss:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("binary", [False, True])
    @pytest.mark.parametrize("way", ["chunk", "component", "once", "none"])
    @pytest.mark.parametrize("counts", [(21, 3, 9), (4, 90, 5)])  # one group, and two
    def test_is_the_mean_over_rows_by_their_own_arms_network(self, counts, way, binary, device):
        shape = hypernet(n_arms=3, generation=way)
        loss = LOGISTIC if binary else SQUARED
        data = trial(counts, device=device, binary=binary)
        data = weighted(data, np.random.default_rng(1).exponential(size=sum(counts)))
        params, buffers = started(shape, device=device)
        for step in range(2):
            losses, gradients, rows = minibatch_loss(shape, params, buffers, data, loss, 2, step)
            slow_params = {k: v.requires_grad_() for k, v in double(params).items()}
            slow = slow_loss(shape, slow_params, buffers, data, [rows] * 3, loss)
            slow.sum().backward()
            torch.testing.assert_close(losses.cpu().double(), slow.detach(), rtol=1e-5, atol=1e-6)
            for name, gradient in gradients.items():
                torch.testing.assert_close(
                    gradient.cpu().double(), slow_params[name].grad, rtol=1e-4, atol=1e-5
                )

    @quick
    @given(st.integers(0, 10**6), st.sampled_from([SQUARED, LOGISTIC]))
    def test_a_weight_of_0_leaves_a_row_out_and_of_2_doubles_it(self, seed, loss):
        shape, data = hypernet(), trial((9, 8), binary=loss is LOGISTIC)
        params, buffers = started(shape)
        times = np.random.default_rng(seed).permutation(np.arange(17) % 3)
        by_weight, gradients, _ = minibatch_loss(
            shape, params, buffers, weighted(data, times), loss
        )
        repeated = subset(data, np.repeat(np.arange(17), times))
        by_rows, others, _ = minibatch_loss(shape, params, buffers, repeated, loss)
        torch.testing.assert_close(by_weight, by_rows, rtol=1e-5, atol=1e-6)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, others[name], rtol=1e-4, atol=1e-5)

    def test_rows_of_weight_0_change_nothing_in_training(self):
        data = trial()
        ignored = np.arange(44) % 4 == 0
        data = weighted(data, np.where(ignored, 0, 1))
        x, y = data.x.clone(), data.y.clone()
        x[ignored], y[ignored] = 50, -50
        first, second = fitted(data), fitted(Data(x, y, data.weight, data.arm))
        np.testing.assert_array_equal(first.history, second.history)

    def test_only_the_ratio_of_weights_counts(self):
        data = trial()
        weight = np.random.default_rng(1).exponential(size=44).astype(np.float32)
        assert_same(fitted(weighted(data, weight)), fitted(weighted(data, 8 * weight)))

    def test_rows_in_another_order_are_learnt_as_well(self):
        data = trial((60, 40))
        first = fitted(data, max_epochs=40).validation_loss
        second = fitted(subset(data, np.arange(100)[::-1].copy()), max_epochs=40).validation_loss
        np.testing.assert_allclose(first.mean(), second.mean(), rtol=0.6)


class TestWhoLearnsFromWhom:
    def test_without_a_generator_an_arm_ignores_the_other_arms_rows(self):
        shape, data = hypernet(generation="none"), trial()
        y = data.y.clone()
        y[torch.as_tensor(data.arm == 0)] += 3
        other = Data(data.x, y, data.weight, data.arm)
        first, second = (
            fitted(d, shape, max_epochs=1, degrees=[np.inf]).params["own"] for d in (data, other)
        )
        assert torch.equal(first[:, 1], second[:, 1])
        assert not torch.equal(first[:, 0], second[:, 0])

    @pytest.mark.parametrize("beside", [(), (1.0,)])
    @pytest.mark.parametrize("way", ["chunk", "component", "once"])
    def test_so_do_independent_arms_whoever_is_trained_beside_them(self, way, beside):
        shape, data = hypernet(generation=way, n_arms=3), trial((30, 14, 12))
        y = data.y.clone()
        y[torch.as_tensor(data.arm == 0)] += 3
        other = Data(data.x, y, data.weight, data.arm)
        degrees = [*beside, np.inf]
        first, second = (
            shape.generate(trained.params, trained.buffers)
            for trained in (fitted(d, shape, degrees, max_epochs=1) for d in (data, other))
        )
        same = (first == second).all(dim=-1)
        independent = torch.tensor(np.isinf(2 * degrees))
        assert same[independent].tolist() == [[False, True, True]] * 2
        assert not same[~independent].any()

    def test_independent_arms_learn_as_well_as_arms_without_a_generator(self):
        data = heterogeneous()
        losses = [
            fitted(
                data, hypernet(generation=way), [np.inf], max_epochs=60, batch_size=64, seed=seed
            ).validation_loss
            for way in ("chunk", "none")
            for seed in range(3)
        ]
        independent, none = np.mean(losses[:3]), np.mean(losses[3:])
        assert independent < 0.5
        assert 0.7 < independent / none < 1.4

    @pytest.mark.parametrize("way", ["none", "chunk"])
    def test_an_arm_without_weight_moves_only_with_a_generator(self, way):
        shape, data = hypernet(generation=way), trial()
        data = weighted(data, data.arm == 0)
        early, late = (
            fitted(data, shape, degrees=[1.0], max_epochs=epochs, weight_decay=0)
            for epochs in (1, 6)
        )
        moved = shape.generate(early.params, early.buffers) != shape.generate(
            late.params, late.buffers
        )
        assert moved[:, 0].any(dim=-1).all()
        assert moved[:, 1].any() == (way == "chunk")


@pytest.fixture(scope="module")
def seen():
    data = trial((40, 24))
    recorder = Recorder(data)
    fitted(data, n_members=3, loss=recorder, batch_size=16)
    return data, np.array(recorder.trained), np.array(recorder.held)


class TestRowsSeen:
    def test_a_network_never_trains_on_what_it_holds_out(self, seen):
        data, trained, held = seen
        for net in range(6):
            held_rows, trained_rows = set(held[:, net].flat), set(trained[:, net].flat)
            assert held_rows.isdisjoint(trained_rows)
            assert held_rows | trained_rows == set(range(64))
            assert np.bincount(data.arm[list(held_rows)]).tolist() == [10, 6]

    def test_every_epoch_is_a_pass_over_the_training_rows(self, seen):
        _, trained, held = seen
        by_epoch = trained.reshape(len(held), -1, *trained.shape[1:])
        assert by_epoch.shape[:2] == (4, 3)  # 48 rows in batches of 16
        for of_epoch in by_epoch:
            for net in range(6):
                assert set(of_epoch[:, net].flat) == set(trained[:, net].flat)
        assert not np.array_equal(by_epoch[0], by_epoch[1])

    def test_degrees_of_a_member_see_the_same_rows_and_members_others(self, seen):
        _, trained, held = seen
        for part in (trained, held):
            np.testing.assert_array_equal(part[:, 0::2], part[:, 1::2])
        assert set(held[0, 0]).isdisjoint(held[0, 2])
        assert set(held[0, 2]).isdisjoint(held[0, 4])

    def test_every_validation_is_on_the_same_rows(self, seen):
        held = np.sort(seen[2], axis=2)
        assert (held == held[:1]).all()

    def test_the_rows_held_out_are_told(self, seen):
        data, _, held = seen
        trained = fitted(data, n_members=3, batch_size=16)
        assert trained.held_rows.shape == (3, 16)
        assert trained.held_rows.dtype == np.int64
        for member, rows in enumerate(trained.held_rows):
            assert set(rows) == set(held[:, 2 * member].flat)
            assert len(set(rows)) == 16

    @pytest.mark.parametrize(("most", "n_parts"), [(16, 1), (15, 2), (8, 2)])
    def test_a_large_fold_is_judged_by_an_equal_share_of_every_arm(
        self, most, n_parts, monkeypatch
    ):
        monkeypatch.setattr(training, "_MOST_VALIDATED", most)
        data = trial((40, 24))
        recorder = Recorder(data)
        trained = fitted(data, n_members=3, loss=recorder)
        assert trained.held_rows.shape == (3, 16)
        held = np.array(recorder.held)
        for member, rows in enumerate(trained.held_rows):
            judged = set(held[0, 2 * member])
            assert judged <= set(rows)
            assert all(set(of_net) == judged for of_net in held[:, 2 * member])
            counts = np.bincount(data.arm[list(judged)]) / (np.array([10, 6]) / n_parts)
            assert (np.abs(counts - 1) < n_parts / 6).all()
            assert len(judged) <= most + 1

    def test_validation_is_the_mean_over_the_part_that_is_judged(self, monkeypatch):
        monkeypatch.setattr(training, "_MOST_VALIDATED", 8)
        data = weighted(trial((40, 24)), np.random.default_rng(1).exponential(size=64))
        recorder, shape = Recorder(data), hypernet()
        trained = fitted(data, shape, loss=recorder, max_epochs=1)
        judged = [set(of_net) for of_net in np.array(recorder.held)[0]]
        slow = slow_loss(shape, trained.params, trained.buffers, data, judged, SQUARED)
        np.testing.assert_allclose(trained.validation_loss.ravel(), slow, rtol=1e-4)

    def test_an_epoch_is_at_most_32_minibatches(self):
        data = trial((80, 20))
        recorder = Recorder(data)
        fitted(data, n_members=1, loss=recorder, batch_size=2, max_epochs=3)
        assert (len(recorder.trained), len(recorder.held)) == (3 * 32, 3)
        assert len(set(np.array(recorder.trained).flat)) == 75

    @quick
    @given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 4), st.data())
    def test_each_pass_meets_every_row_once(self, counts, n_members, draw):
        device = resolve_device("auto")
        n_steps = draw.draw(st.integers(1, max(counts)))
        arm = np.repeat(np.arange(len(counts)), counts)
        zeros = np.zeros(len(arm))
        data = data_of(np.zeros((len(arm), 1)), zeros, zeros, arm, device)
        layout = lay_out(np.array(counts), n_steps, device)
        generator = torch.Generator(device).manual_seed(0)
        train_rows = np.tile(np.arange(len(arm)), (n_members, 1))
        minibatches = _minibatches(data, train_rows, layout, generator)
        slot_arm = arm[layout.slots[0].cpu().numpy()]
        for _ in range(2):
            met = []
            for _ in range(n_steps):
                rows, filled = next(minibatches)
                met.append(rows[:, filled == 1].cpu().numpy())
                assert (arm[rows.cpu().numpy()] == slot_arm).all()
            met = np.concatenate(met, axis=1)
            np.testing.assert_array_equal(np.sort(met, axis=1), train_rows)

    @pytest.mark.parametrize("batch_size", [1, 3, 10**9])
    def test_any_batch_size_trains_any_number_of_arms(self, batch_size):
        data = trial((9, 9, 9, 9))
        trained = fitted(data, hypernet(n_arms=4), batch_size=batch_size)
        assert np.isfinite(trained.validation_loss).all()


def heterogeneous(device="cpu"):
    """The effect varies, so that networks whose arms differ by a constant fall behind."""
    return trial((120, 80), effect=lambda x, arm: 2 * arm * x[:, 1], device=device)


def records(trained, net):
    return trained.history[trained.history[:, 0] == net][:, 1:]


@pytest.fixture(scope="module", params=["chunk", "none"])
def stopped(request):
    patience = 3
    trained = fitted(
        trial((40, 24)),
        hypernet(generation=request.param),
        degrees=[1.0],  # alone, so that a network leaves for its own sake
        n_members=6,
        max_epochs=100,
        patience=patience,
        learning_rate=0.05,
    )
    return trained, patience


def race(trained, member, n_candidates, max_epochs=40):
    """Least held-out loss so far at every epoch, which stays once a network left; and when."""
    nets = [records(trained, n_candidates * member + i)[:, 2] for i in range(n_candidates)]
    padded = [np.pad(held, (0, max_epochs - len(held)), "edge") for held in nets]
    return np.minimum.accumulate(padded, axis=1), [len(held) for held in nets]


class TestStopping:
    def test_the_best_epoch_of_its_own_fold_is_kept(self, stopped):
        trained, _ = stopped
        for net in range(6):
            epoch, _, validation = records(trained, net).T
            best, at = trained.validation_loss.flat[net], trained.best_epoch.flat[net]
            assert best == pytest.approx(validation.min(), rel=1e-6)
            assert epoch[validation.argmin()] == at

    def test_a_network_leaves_when_its_patience_is_over(self, stopped):
        trained, patience = stopped
        last = [records(trained, net)[-1, 0] for net in range(6)]
        assert len(set(last)) > 1
        for net in range(6):
            epoch = records(trained, net)[:, 0]
            np.testing.assert_array_equal(epoch, np.arange(len(epoch)))
            assert last[net] == trained.best_epoch.flat[net] + patience
        assert max(last) < 99

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("norm", [False, True])
    @pytest.mark.parametrize("way", ["chunk", "none"])
    def test_kept_weights_give_the_loss_that_was_reported(self, way, norm, device):
        shape = hypernet(generation=way, spectral_norm=norm)
        data = trial((40, 24), device=device)
        recorder = Recorder(data)
        trained = fitted(data, shape, loss=recorder, max_epochs=60, patience=3, learning_rate=0.05)
        assert trained.best_epoch.min() < trained.history[:, 1].max()
        rows = [sorted(set(of_net)) for of_net in recorder.held[0]]
        slow = slow_loss(shape, trained.params, trained.buffers, data, rows, SQUARED)
        np.testing.assert_allclose(slow, trained.validation_loss.ravel(), rtol=1e-3)

    @pytest.mark.parametrize("way", ["chunk", "none"])
    def test_networks_go_on_alike_when_others_have_left(self, way):
        settings = {"shape": hypernet(generation=way), "degrees": [1.0], "n_members": 6}
        settings["learning_rate"] = 0.03
        data = trial((40, 24))
        short, long = (fitted(data, **settings, patience=p, max_epochs=20) for p in (2, 100))
        lengths = [len(records(short, net)) for net in range(6)]
        assert min(lengths) < max(lengths)
        for net, length in enumerate(lengths):
            np.testing.assert_allclose(
                records(short, net), records(long, net)[:length], rtol=1e-3, atol=1e-5
            )

    @pytest.mark.parametrize("norm", [False, True])
    def test_leaving_moves_no_state_of_those_that_stay(self, norm):
        device = resolve_device("auto")
        shape, data = hypernet(spectral_norm=norm), trial(device=device)
        layout = lay_out(np.bincount(data.arm), 1, device)
        rows = torch.as_tensor(np.argsort(data.arm, kind="stable"), device=device)
        rows = rows[layout.slots[0]]
        going = torch.tensor([True, False, True, True], device=device)

        def step(families, n):
            generator = torch.Generator(device).manual_seed(0)
            for _ in range(n):
                arguments = (layout.filled[0], layout, generator)
                shown = rows.expand(sum(len(family.nets) for family in families), -1)
                _step(families, data, SQUARED, shown, *arguments)

        families = families_of(shape, *started(shape, 4, device), adam(0.03))
        assert [family.nets.tolist() for family in families] == [[0, 1, 2], [3]]
        step(families, 5)
        less = copy.deepcopy(families)
        for family, of_family in by_family(less, going):
            family.keep(of_family)
        assert [family.nets.tolist() for family in less] == [[0, 2], [3]]
        for n_more in (0, 10):
            step(families, n_more)
            step(less, n_more)
            for nets, fewer in zip(families, less, strict=True):
                self.assert_alike(nets, fewer, going[nets.nets])

    def assert_alike(self, nets, fewer, going):
        assert fewer.n_steps == nets.n_steps
        for name, param in nets.params.items():
            mine = {"weight": fewer.params[name], "average": fewer.average[name]}
            theirs = {"weight": param, "average": nets.average[name]}
            mine |= fewer.optimizer.state[fewer.params[name]]
            theirs |= nets.optimizer.state[param]
            assert (
                mine.keys()
                == theirs.keys()
                == {"weight", "average", "step", "exp_avg", "exp_avg_sq"}
            )
            for key, tensor in theirs.items():
                expected = tensor if key == "step" else tensor[going]
                torch.testing.assert_close(mine[key], expected, rtol=1e-3, atol=1e-5)
        for name, tensor in nets.buffers.items():
            torch.testing.assert_close(fewer.buffers[name], tensor[going], rtol=1e-3, atol=1e-4)

    def test_networks_far_behind_their_members_best_leave_after_a_head_start(self):
        degrees = (0.03, 0.1, 0.2, 0.3, 0.5, 3.0)
        trained = fitted(heterogeneous(), degrees=degrees, max_epochs=40, batch_size=64)
        for member in range(2):
            least, lengths = race(trained, member, 6)
            allowed = (1 + 10 / np.arange(1, 41)) * least.min(axis=0)
            for of_net, n in zip(least, lengths, strict=True):
                assert (of_net[: n - 1] <= allowed[: n - 1]).all()
                assert n == 40 or of_net[n - 1] > allowed[n - 1]
            assert lengths[0] < 40
            assert max(lengths) == 40
            assert len(set(lengths)) >= 3

    def test_networks_whose_arms_share_do_not_race_against_independent_ones(self):
        degrees = (0.0, 0.03, 0.2, np.inf)
        settings = {"max_epochs": 40, "batch_size": 64, "learning_rate": 0.02}
        trained = fitted(heterogeneous(), degrees=degrees, **settings)
        would_have_left = 0
        for member in range(2):
            least, lengths = race(trained, member, 4)
            head_start = 1 + 10 / np.arange(1, 41)
            allowed = head_start * least[:3].min(axis=0)
            assert lengths[0] == lengths[3] == 40
            for of_net, n in zip(least[1:3], lengths[1:3], strict=True):
                assert (of_net[: n - 1] <= allowed[: n - 1]).all()
                assert n == 40 or of_net[n - 1] > allowed[n - 1]
                would_have_left += (of_net[: n - 1] > (head_start * least[3])[: n - 1]).any()
        assert would_have_left > 0

    def test_independent_arms_race_against_all(self):
        degrees = (0.0, 1.0, np.inf)
        trained = fitted(trial((120, 6)), degrees=degrees, max_epochs=40, batch_size=64)
        left = 0
        for member in range(2):
            least, lengths = race(trained, member, 3)
            allowed = (1 + 10 / np.arange(1, 41)) * least.min(axis=0)
            n = lengths[2]
            assert (least[2, : n - 1] <= allowed[: n - 1]).all()
            assert n == 40 or least[2, n - 1] > allowed[n - 1]
            left += n < 40
        assert left > 0

    def test_independent_arms_alone_stay(self):
        trained = fitted(heterogeneous(), degrees=[np.inf], max_epochs=20, batch_size=64)
        assert [len(records(trained, net)) for net in range(2)] == [20, 20]

    def test_arms_that_differ_by_a_constant_stay_to_be_beaten(self):
        trained = fitted(heterogeneous(), degrees=(0.0, 3.0), max_epochs=40, batch_size=64)
        assert (trained.validation_loss[:, 0] > 1.25 * trained.validation_loss[:, 1]).all()
        assert all(len(records(trained, net)) == 40 for net in range(4))

    def test_networks_of_like_loss_stay(self):
        noise = np.random.default_rng(1).normal(scale=3, size=64)
        data = trial((40, 24), effect=lambda x, arm: noise)
        trained = fitted(data, degrees=(1.0, 1.1), max_epochs=40)
        ratio = trained.validation_loss.max(1) / trained.validation_loss.min(1)
        assert (ratio < 1 + 10 / 40).all()
        assert all(len(records(trained, net)) == 40 for net in range(4))


class TestGeneratorInTraining:
    @pytest.mark.parametrize("perturbed", [{}, {"dropout": 0.5}, {"noise": 1.0}], ids=str)
    def test_perturbations_are_for_training_and_never_for_validation(self, perturbed):
        """Weights that hardly move give the same loss at every epoch, unless it is perturbed."""
        trained = fitted(
            shape=hypernet(**perturbed),
            degrees=[3.0],
            n_members=3,
            learning_rate=1e-12,
            weight_decay=0,
            batch_size=10**9,
        )
        for net in range(3):
            _, train_loss, validation = records(trained, net).T
            assert np.ptp(validation) < 1e-5
            assert (np.ptp(train_loss) > 1e-3) == bool(perturbed)

    def test_noise_fades_as_training_goes_on(self):
        """So that how far its draws spread depends on when training stops."""
        shape, data = hypernet(noise=0.5), heterogeneous()
        layout = lay_out(np.bincount(data.arm), 1, torch.device("cpu"))
        rows = torch.as_tensor(np.argsort(data.arm, kind="stable"))[layout.slots[0]].expand(16, -1)
        families = families_of(shape, *started(shape, n=16), adam(0.02))
        nets = families[0]
        generator = torch.Generator().manual_seed(0)

        def effects(draw):
            theta = shape.generate(nets.average, nets.buffers, draw).flatten(0, 1)
            return shape.net(theta, data.x).view(15, 2, -1).diff(dim=1)

        spreads = []
        for steps in (50, 400):
            while nets.n_steps < steps:
                _step(families, data, SQUARED, rows, layout.filled[0], layout, generator)
            moved = effects(shape.draw(15, generator)) - effects({})
            spreads.append(moved.square().mean().sqrt().item())
        assert 0 < spreads[1] < 0.5 * spreads[0]

    @pytest.mark.parametrize("device", DEVICES)
    def test_spectral_norms_stay_at_1_while_weights_move(self, device):
        shape = hypernet(spectral_norm=True, hidden=(16, 16), generation="component", noise=0.3)
        start, end = (
            fitted(
                trial(device=device),
                shape,
                degrees=[1.0],
                n_members=4,
                max_epochs=epochs,
                learning_rate=0.05,
            )
            for epochs in (1, 40)
        )
        for name in ("arm_matrix", "piece_matrix", "noise_matrix", "matrix1", "heads"):
            moved = (end.params[name] - start.params[name]).norm() / start.params[name].norm()
            assert moved > 0.1, name
            used = shape.matrix(end.params, end.buffers, name).double()
            norms = torch.linalg.matrix_norm(used, 2)
            assert norms.max() < 1.05, name
            assert norms.min() > 1 - 1e-5, name


class TestMovingAverage:
    def test_lies_between_the_weights_visited_and_lags_behind(self):
        shape, data = hypernet(), trial()
        layout = lay_out(np.bincount(data.arm), 1, torch.device("cpu"))
        rows = torch.as_tensor(np.argsort(data.arm, kind="stable"))[layout.slots[0]].expand(3, -1)
        families = families_of(shape, *started(shape), adam(0.01))
        nets = families[0]
        generator = torch.Generator().manual_seed(0)
        visited, average = [], []
        for _ in range(300):
            _step(families, data, SQUARED, rows, layout.filled[0], layout, generator)
            visited.append(nets.params["common"].detach().clone())
            average.append(nets.average["common"].clone())
        assert (average[0] - visited[0]).abs().max() < 0.002  # the start is soon forgotten
        slack = 1e-6
        low, high = torch.stack(visited).amin(0) - slack, torch.stack(visited).amax(0) + slack
        assert ((average[-1] >= low) & (average[-1] <= high)).all()
        assert not torch.equal(average[-1], visited[-1])
        assert (average[-1] - torch.stack(visited[-50:]).mean(0)).abs().max() < 0.03


class TestDivergence:
    @pytest.mark.parametrize("rate", [1e4, 1e8, 1e30])
    def test_raises_with_the_epoch_and_what_to_try(self, rate):
        shown = re.escape(f"{rate:g}")
        message = rf"diverged by epoch [1-5]:.*smaller learning_rate \(now {shown}\)"
        with pytest.raises(FloatingPointError, match=message):
            fitted(max_epochs=5, learning_rate=rate)

    @pytest.mark.parametrize("rate", [1.0, 30.0, 100.0])
    @pytest.mark.parametrize("way", ["chunk", "none"])
    def test_an_explosion_within_the_first_epoch_is_not_passed_off_as_a_fit(self, rate, way):
        """The start's loss is about 5: no network of ten thousand times that is returned."""
        with contextlib.suppress(FloatingPointError):
            trained = fitted(shape=hypernet(generation=way), max_epochs=5, learning_rate=rate)
            assert trained.validation_loss.min(axis=1).max() < 5e4

    def test_extreme_outcomes_raise(self):
        data = trial()
        extreme = Data(data.x, data.y * 1e25, data.weight, data.arm)
        with pytest.raises(FloatingPointError, match="extreme values in y and sample_weight"):
            fitted(extreme)

    def test_a_network_that_diverges_leaves_the_others_in_peace(self):
        trained = fitted(degrees=(1.0, 1e30), max_epochs=5)
        assert np.isfinite(trained.validation_loss[:, 0]).all()
        assert np.isinf(trained.validation_loss[:, 1]).all()
        for tensor in trained.params.values():
            assert torch.isfinite(tensor[0::2]).all()
        for member in range(2):
            assert len(records(trained, 2 * member)) == 5
            assert len(records(trained, 2 * member + 1)) == 1

    @pytest.mark.parametrize("in_training", [True, False])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_network_that_was_good_before_it_diverged_is_not_kept(self, value, in_training):
        loss = SpoiltLoss([1], value, in_training)
        trained = fitted(loss=loss, max_epochs=6)
        assert np.isfinite(trained.validation_loss).tolist() == [[True, False], [True, True]]
        assert [len(records(trained, net)) for net in range(4)] == [6, 3, 6, 6]

    def test_the_epoch_named_is_that_of_the_divergence(self):
        with pytest.raises(FloatingPointError, match="diverged by epoch 3:"):
            fitted(loss=SpoiltLoss([0, 1, 2, 3], np.nan, True), max_epochs=6)


@contextlib.contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def assert_same(first, second):
    for part in ("params", "buffers"):
        for name, tensor in getattr(first, part).items():
            other = getattr(second, part)[name]
            assert tensor.dtype == other.dtype == torch.float32, name
            assert torch.equal(tensor, other), name
    for part in ("history", "validation_loss", "best_epoch", "held_rows"):
        np.testing.assert_array_equal(getattr(first, part), getattr(second, part))


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
        first, again, other = (
            fitted(trial(device=device), shape, seed=seed, max_epochs=3) for seed in (1, 1, 2)
        )
        assert_same(first, again)
        for name, tensor in first.params.items():
            assert not torch.equal(tensor, other.params[name])
        assert not np.array_equal(first.history, other.history)

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
        fitted(shape=shape, max_epochs=2)
        assert state() == before

    def test_the_data_are_left_as_they_were(self):
        data = trial()
        before = copy.deepcopy(data)
        fitted(data)
        for name in ("x", "y", "weight"):
            assert torch.equal(getattr(data, name), getattr(before, name))
        np.testing.assert_array_equal(data.arm, before.arm)

    @pytest.mark.parametrize(
        "mode",
        [
            pytest.param(torch.no_grad, id="no_grad"),
            pytest.param(torch.inference_mode, id="inference_mode"),
            pytest.param(lambda: default_dtype(torch.float64), id="float64"),
            pytest.param(lambda: torch.device("meta"), id="default_device"),
        ],
    )
    @pytest.mark.parametrize("shape", EVERY_SHAPE)
    def test_modes_of_the_process_change_nothing(self, mode, shape):
        plain = fitted(shape=shape, max_epochs=3, patience=1)
        data = trial()
        with mode():
            inside = fitted(data, shape, max_epochs=3, patience=1)
        assert_same(plain, inside)

    def test_data_made_in_inference_mode_can_be_learnt(self):
        with torch.inference_mode():
            inside = fitted(trial())
        assert_same(fitted(), inside)

    @pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad])
    def test_an_interrupt_comes_through_and_leaves_the_process_as_it_was(self, mode):
        calls = []

        def interrupted(output, y):
            calls.append(1)
            if len(calls) == 6:
                raise KeyboardInterrupt
            return SQUARED(output, y)

        with mode():
            before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            with pytest.raises(KeyboardInterrupt):
                fitted(loss=interrupted)
            assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
        assert len(calls) == 6

    @pytest.mark.parametrize("verbose", [False, True])
    def test_a_bar_is_shown_only_if_asked_for(self, verbose, capsys):
        fitted(degrees=[1.0], verbose=verbose)
        shown = capsys.readouterr()
        assert shown.out == ""
        assert ("epoch" in shown.err and "4/4" in shown.err) == verbose


class TestLearning:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("way", ["chunk", "component", "once", "none"])
    def test_effects_that_vary_are_learnt(self, way, device):
        shape, data = hypernet(generation=way), heterogeneous(device)
        trained = fitted(
            data, shape, degrees=[3.0], max_epochs=80, learning_rate=0.02, batch_size=64
        )
        assert (trained.validation_loss < 0.15).all()
        theta = shape.generate(trained.params, trained.buffers)
        tau = torch.stack([shape.net(t, data.x).diff(dim=0)[0] for t in theta]).mean(0)
        assert ((tau - 2 * data.x[:, 1]).square().mean() / 4).item() < 0.05

    def test_at_degree_0_a_constant_effect_is(self):
        shape, data = hypernet(n_arms=3), trial((40, 30, 30))
        trained = fitted(data, shape, degrees=[0.0], max_epochs=60, learning_rate=0.02)
        outcomes = shape.net(
            shape.generate(trained.params, trained.buffers).flatten(0, 1), data.x
        ).view(2, 3, -1)
        tau = (outcomes[:, 1:] - outcomes[:, :1]).mean(0)
        torch.testing.assert_close(
            tau, torch.tensor([[2.0], [4.0]]).expand(2, 100), rtol=0, atol=0.3
        )

    def test_degrees_and_members_are_in_the_order_documented(self):
        trained = fitted(degrees=(0.0, 0.5, 2.0), n_members=2, max_epochs=1)
        assert trained.validation_loss.shape == trained.best_epoch.shape == (2, 3)
        scale = trained.buffers["departure"][:, 0] / trained.buffers["departure"][1, 0]
        torch.testing.assert_close(scale, torch.tensor([0.0, 1, 4, 0, 1, 4]))

    @pytest.mark.parametrize("way", ["chunk", "none"])
    def test_an_input_of_factor_0_is_not_looked_at(self, way):
        data, shape = trial(), hypernet(generation=way)
        x = data.x.clone()
        x[:, 1] = 1e3 - x[:, 1]
        other = Data(x, data.y, data.weight, data.arm)
        factors = [[1.0, 0.0, 1.0], [1.0, 0.5, 1.0]]
        first, second = (fitted(d, shape, (1.0, 1.0), factors) for d in (data, other))
        of_net = first.history[:, 0] % 2 == 0, second.history[:, 0] % 2 == 0
        np.testing.assert_allclose(
            first.history[of_net[0]], second.history[of_net[1]], rtol=1e-4, atol=1e-6
        )
        assert not np.allclose(first.validation_loss[:, 1], second.validation_loss[:, 1], rtol=0.1)

    def test_factors_of_inputs_are_of_candidates_in_the_order_documented(self):
        factors = [[1.0, 2.0, 3.0], [0.0, 0.5, 0.25], [1.0, 1.0, 1.0]]
        trained = fitted(degrees=(1.0, 1.0, 1.0), input_scale=factors, n_members=2, max_epochs=1)
        first = trained.buffers["scale"][:, : 3 * 6].view(6, 3, 6)
        assert torch.equal(first, torch.tensor(2 * factors)[:, :, None].expand(6, 3, 6))
        assert (trained.buffers["scale"][:, 3 * 6 :] == 1).all()

    def test_weight_decay_shrinks_weights(self):
        small, large = (
            fitted(weight_decay=decay, max_epochs=20).params["common"].square().mean()
            for decay in (0.0, 10.0)
        )
        assert large < 0.7 * small
