"""Tables for papers."""

import numpy as np
import pandas as pd
import pytest

from hypercate import HyperCATE
from hypercate.inference.averages import AverageInference
from hypercate.inference.tables import for_paper, latex, markdown
from hypercate.sensitivity import sensitivity


def averages(index, stderr=(0.1, 0.5)):
    return AverageInference(
        np.array([1.0, -0.25]), np.array(stderr), np.full(2, np.inf), index, "Averages", 100
    )


class TestMarkdown:
    def test_each_estimate_has_its_interval_and_p_value(self):
        text = averages(pd.Index(["a|b", "c"], name="arm")).to_markdown(alpha=0.1)
        assert text.splitlines() == [
            "| arm | estimate (90 % CI) | p |",
            "| --- | --- | --- |",
            "| a\\|b | 1 (0.836 to 1.16) | < 0.001 |",
            "| c | -0.25 (-1.07 to 0.572) | 0.617 |",
        ]

    def test_levels_of_the_index_are_columns(self):
        index = pd.MultiIndex.from_tuples(
            [("north", "drug"), ("south", "drug")], names=["site", None]
        )
        table = for_paper(averages(index).summary_frame(), 0.05)
        assert table.columns.tolist() == ["site", "row", "estimate (95 % CI)", "p"]

    def test_what_is_not_available_is_said_so(self):
        text = averages(pd.RangeIndex(2), stderr=(np.nan, 0.5)).to_markdown()
        assert "| 0 | 1 | not available |" in text


class TestLatex:
    def test_marks_are_escaped_and_lines_closed(self):
        text = averages(pd.Index(["a_b", "50 %"], name="arm")).to_latex()
        assert "a\\_b & 1 (0.804 to 1.2) & < 0.001 \\\\" in text
        assert "50 \\% &" in text
        assert text.startswith(
            "\\begin{tabular}{lrr}\n\\toprule\narm & estimate (95 \\% CI) & p \\\\"
        )
        assert text.endswith("\\bottomrule\n\\end{tabular}")

    @pytest.mark.parametrize("write", [markdown, latex])
    def test_a_row_for_each_estimate(self, write):
        frame = averages(pd.Index(["a", "b"])).summary_frame()
        lines = write(for_paper(frame, 0.05)).splitlines()
        assert sum("to" in line and "(" in line for line in lines) == 2


class TestOthers:
    def test_outcomes_and_bounds_have_tables_too(self):
        rng = np.random.default_rng(501)
        X, arm = rng.normal(size=(120, 2)), rng.integers(2, size=120)
        y = pd.DataFrame({"weight": X[:, 0] + arm, "height": X[:, 1] - arm})
        est = HyperCATE(effort="instant", random_state=0, device="cpu").fit(X, y, arm)
        lines = est.ate_inference().to_markdown().splitlines()
        assert lines[0].startswith("| outcome | arm | estimate (95 % CI) | p |")
        assert [line.split(" | ")[0] for line in lines[2:]] == ["| weight", "| height"]
        assert est.ate_inference().to_latex().count(" to ") == 2
        bounds = sensitivity(est.of("weight")).to_markdown()
        assert bounds.splitlines()[0] == "| arm | estimate (95 % CI) |"
