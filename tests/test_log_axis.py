"""Logarithmic axes are labelled in decimals that can be read."""

import importlib
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from hypercate.benchmark import report  # noqa: E402
from hypercate.log_axis import decimal, label_decimals  # noqa: E402

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def labelled(low, high):
    """Axes whose x and y both go from low to high."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    label_decimals(axes.xaxis)
    label_decimals(axes.yaxis)
    return axes


def shown(axis):
    """Labels inside the limits of the drawn axis: texts, values and boxes, major and minor."""
    axis.figure.canvas.draw()
    low, high = axis.get_view_interval()
    ticks = [tick for which in (False, True) for tick in axis_ticks(axis, which)]
    inside = [tick for tick in ticks if low <= tick.get_loc() <= high and tick.label1.get_text()]
    return [(tick.label1.get_text(), tick.get_loc(), tick.label1) for tick in inside]


def axis_ticks(axis, minor):
    return axis.get_minor_ticks() if minor else axis.get_major_ticks()


class TestLabels:
    @pytest.mark.parametrize(
        ("low", "high", "texts"),
        [
            (0.15, 45, ["0.3", "1", "3", "10", "30"]),
            (700, 1.2e6, ["1,000", "10,000", "100,000", "1,000,000"]),
            (0.105, 0.75, ["0.2", "0.3", "0.4", "0.6"]),
            (0.0004, 9, ["0.001", "0.01", "0.1", "1"]),
        ],
    )
    def test_they_are_round_numbers(self, low, high, texts):
        axes = labelled(low, high)
        for axis in (axes.xaxis, axes.yaxis):
            assert [text for text, *_ in shown(axis)] == texts

    @settings(derandomize=True, deadline=None, max_examples=20)
    @given(st.floats(-5, 3), st.floats(0.05, 8))
    def test_there_are_enough_and_none_overlaps_or_has_a_power(self, start, decades):
        axes = labelled(10**start, 10 ** (start + decades))
        for axis in (axes.xaxis, axes.yaxis):
            labels = shown(axis)
            assert 3 <= len(labels) <= 9
            for text, value, _ in labels:
                assert float(text.replace(",", "")) == pytest.approx(value, rel=1e-3)
                assert "e" not in text
                assert "$" not in text
            boxes = [label.get_window_extent() for *_, label in labels]
            assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))

    @pytest.mark.parametrize(
        ("value", "text"),
        [(0.1, "0.1"), (3e-5, "0.00003"), (1e6, "1,000,000"), (30, "30"), (0.25, "0.25")],
    )
    def test_a_number_is_written_out(self, value, text):
        assert decimal(value) == text


class TestPictures:
    @pytest.fixture
    def saved(self, monkeypatch):
        """The figures that are saved."""
        figures, save = [], Figure.savefig

        def keep(figure, *arguments, **options):
            figures.append(figure)
            save(figure, *arguments, **options)

        monkeypatch.setattr(Figure, "savefig", keep)
        return figures

    def test_errors_of_a_benchmark_are_plain_decimals(self, saved, tmp_path):
        errors = np.geomspace(0.2, 40, 9)
        table = pd.DataFrame({"dataset": "ihdp", "replication": range(1, 10), "error": np.nan})
        table = table.assign(learner="HyperCATE", pehe_out=errors, pehe_in=errors, effect_sd=1.0)
        table = table.assign(ate_error_out=errors, fit_seconds=1.0, predict_seconds=1.0)
        report.draw(table, "IHDP", tmp_path / "ihdp.png")
        (axes,) = saved[0].axes
        assert [text for text, *_ in shown(axes.xaxis)] == ["0.3", "1", "3", "10", "30"]

    def test_time_memory_and_error_of_the_speed_picture_are_too(self, saved, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(BENCHMARKS)
        speed = importlib.import_module("speed")
        speed.draw_growth(speed.read(BENCHMARKS / "results/speed.csv"), tmp_path / "speed.png")
        for axes in saved[0].axes:
            for axis in (axes.xaxis, axes.yaxis):
                labels = shown(axis)
                assert len(labels) >= 3
                for text, value, _ in labels:
                    assert float(text.replace(",", "")) == pytest.approx(value)
                boxes = [label.get_window_extent() for *_, label in labels]
                assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
