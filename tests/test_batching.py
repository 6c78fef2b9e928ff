"""Slots of the arms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate.train.batching import lay_out

quick = settings(max_examples=60, deadline=None, derandomize=True)
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
CPU = torch.device("cpu")

# a few or many arms of any imbalance, with no more steps than rows
counts = st.lists(
    st.one_of(st.integers(1, 5), st.integers(1, 300), st.integers(2000, 6000)),
    min_size=1,
    max_size=8,
).map(np.array)
epochs = counts.flatmap(
    lambda c: st.tuples(st.just(c), st.integers(1, min(int(c.sum()), 60))),
)


def arms_of(counts):
    return np.repeat(np.arange(len(counts)), counts)


def order_of(layout, counts):
    """The arms, each once, as their slots follow one another."""
    order = np.arange(len(counts)) if layout.order is None else layout.order.numpy()
    assert sorted(order) == list(range(len(counts)))
    return order


class TestLayOut:
    @quick
    @given(epochs)
    def test_every_row_has_weight_1_once_an_epoch(self, epoch):
        layout = lay_out(*epoch, CPU)
        assert layout.n_steps == epoch[1]
        assert layout.slots.shape == layout.filled.shape
        assert set(layout.filled.unique().tolist()) <= {0.0, 1.0}
        met = layout.slots[layout.filled == 1]
        assert torch.equal(met.sort().values, torch.arange(epoch[0].sum()))

    @quick
    @given(epochs)
    def test_a_slot_holds_its_arm_also_when_it_is_empty(self, epoch):
        counts, n_steps = epoch
        layout = lay_out(counts, n_steps, CPU)
        widths = np.concatenate([[width] * n_arms for n_arms, width in layout.groups])
        slot_arm = torch.as_tensor(np.repeat(order_of(layout, counts), widths))
        arm = torch.as_tensor(arms_of(counts))[layout.slots]
        assert torch.equal(arm, slot_arm.expand(n_steps, -1))

    @quick
    @given(epochs)
    def test_no_group_is_wider_than_its_largest_arm_needs(self, epoch):
        counts, n_steps = epoch
        layout = lay_out(counts, n_steps, CPU)
        counts = counts[order_of(layout, counts)]
        first = 0
        for n_arms, width in layout.groups:
            assert width == -(-counts[first : first + n_arms].max() // n_steps)
            first += n_arms

    @quick
    @given(epochs, st.randoms(use_true_random=False))
    def test_many_arms_of_any_imbalance_in_any_order_are_few_groups(self, epoch, random):
        counts, n_steps = epoch
        counts = np.tile(counts, 20)
        random.shuffle(counts)
        groups = lay_out(counts, n_steps, CPU).groups
        largest, smallest = (-(-count // n_steps) + 16 for count in (counts.max(), counts.min()))
        assert len(groups) <= 1 + np.log2(largest / smallest)

    def test_arms_of_like_size_stay_in_their_order(self):
        assert lay_out(np.array([30, 31, 29, 30]), 3, CPU).order is None
        assert lay_out(np.array([500, 30]), 3, CPU).order is None
        assert lay_out(np.array([30, 500]), 3, CPU).order is None

    @quick
    @given(epochs)
    def test_each_arm_is_spread_evenly_over_the_steps(self, epoch):
        counts, n_steps = epoch
        layout = lay_out(counts, n_steps, CPU)
        arm = torch.as_tensor(arms_of(counts))[layout.slots]
        for k in range(len(counts)):
            rows = (layout.filled * (arm == k)).sum(1)
            assert rows.max() - rows.min() <= 1

    @quick
    @given(st.lists(st.integers(1, 12), min_size=1, max_size=8).map(np.array), st.data())
    def test_every_step_has_a_row(self, counts, data):
        n_steps = data.draw(st.integers(1, int(counts.sum())))
        assert lay_out(counts, n_steps, CPU).filled.sum(1).min() >= 1

    @pytest.mark.parametrize("counts", [[100, 100], [500, 40], [3000, 20, 300], [4000, 4000]])
    def test_few_slots_are_empty(self, counts):
        layout = lay_out(np.array(counts), max(1, sum(counts) // 128), CPU)
        assert layout.filled.mean() > 0.6

    @quick
    @given(st.integers(1, 40), st.integers(1, 20))
    def test_one_arm_alone_needs_no_other(self, count, n_steps):
        layout = lay_out(np.array([count]), min(n_steps, count), CPU)
        assert layout.groups == ((1, -(-count // min(n_steps, count))),)

    @pytest.mark.parametrize("device", DEVICES)
    def test_lies_on_the_device_whatever_the_default_dtype(self, device):
        torch.set_default_dtype(torch.float64)
        try:
            layout = lay_out(np.array([5, 3]), 2, torch.device(device))
        finally:
            torch.set_default_dtype(torch.float32)
        assert layout.slots.dtype == torch.int64
        assert layout.filled.dtype == torch.float32
        for tensor in (layout.slots, layout.filled):
            assert tensor.device.type == device
