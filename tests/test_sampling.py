"""Samples that stand for more rows than memory holds."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypercate import HyperCATE, sample_rows


def rows(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "site": rng.choice(["a", "b", "c"], n)})
    frame["arm"] = rng.choice(["new", "old", "older"], n, p=[0.02, 0.38, 0.6])
    frame["clinic"] = rng.integers(0, 60, n)
    frame["w"] = rng.integers(0, 4, n)
    frame["y"] = frame["x"] * (frame["arm"] == "new") + rng.normal(size=n)
    return frame


def cut(frame, size):
    return [frame.iloc[first : first + size] for first in range(0, len(frame), size)]


class TestWhichRows:
    @settings(derandomize=True, deadline=None, max_examples=25)
    @given(
        st.integers(60, 3000),
        st.integers(50, 2999),
        st.sampled_from([None, "w"]),
        st.sampled_from([None, "clinic"]),
    )
    def test_they_do_not_depend_on_how_rows_are_cut(self, size, most, weight, groups):
        options = {"max_rows": most, "weight": weight, "groups": groups, "random_state": 7}
        whole = sample_rows([ROWS], None, **options)
        parts = sample_rows(cut(ROWS, size), None, **options)
        pd.testing.assert_frame_equal(whole.rows, parts.rows)
        pd.testing.assert_series_equal(whole.weight, parts.weight)
        pd.testing.assert_frame_equal(whole.counts, parts.counts)

    @settings(derandomize=True, deadline=None, max_examples=25)
    @given(st.integers(400, 3000), st.integers(3, 3500))
    def test_arms_have_as_many_places_as_they_can_fill(self, size, most):
        sample = sample_rows(cut(ROWS, size), "arm", max_rows=most, random_state=1)
        counts = ROWS["arm"].value_counts()
        places = next(c for c in range(3000, 0, -1) if counts.clip(upper=c).sum() <= most)
        expected = counts.clip(upper=places)
        assert sample.counts["rows"].to_dict() == counts.to_dict()
        assert sample.counts["sampled"].to_dict() == expected.to_dict()
        assert sample.rows["arm"].value_counts().to_dict() == expected.to_dict()

    def test_they_keep_their_order_columns_and_positions(self):
        sample = sample_rows(cut(ROWS, 321), "arm", max_rows=500, random_state=0)
        assert sample.rows.index.is_monotonic_increasing
        pd.testing.assert_frame_equal(sample.rows, ROWS.loc[sample.rows.index])

    def test_all_rows_are_as_probable_within_their_arm(self):
        times = np.zeros(len(ROWS))
        for seed in range(200):
            sample = sample_rows(cut(ROWS, 700), "arm", max_rows=600, random_state=seed)
            times[sample.rows.index] += 1
        old = times[ROWS["arm"] == "older"]
        share = old.mean() / 200
        assert old.var() == pytest.approx(200 * share * (1 - share), rel=0.15)
        first, last = old[: len(old) // 2].mean(), old[len(old) // 2 :].mean()
        assert first == pytest.approx(last, rel=0.05)

    def test_clusters_are_whole(self):
        sample = sample_rows(cut(ROWS, 100), "arm", max_rows=900, groups="clinic", random_state=0)
        kept = ROWS["clinic"].isin(sample.rows["clinic"])
        assert 600 < len(sample.rows) <= 900
        assert list(sample.rows.index) == list(ROWS.index[kept])

    def test_another_seed_is_another_sample(self):
        one, other, again = (
            sample_rows([ROWS], "arm", max_rows=900, groups=groups, random_state=seed)
            for groups, seed in (("clinic", 0), ("clinic", 1), ("clinic", 0))
        )
        assert set(one.rows["clinic"]) != set(other.rows["clinic"])
        pd.testing.assert_frame_equal(one.rows, again.rows)


class TestWeights:
    @pytest.mark.parametrize("groups", [None, "clinic"])
    @pytest.mark.parametrize("weight", [None, "w"])
    def test_arms_weigh_as_much_as_all_their_rows(self, weight, groups):
        sample = sample_rows(
            cut(ROWS, 100), "arm", max_rows=900, weight=weight, groups=groups, random_state=0
        )
        each = ROWS[weight] if weight else pd.Series(1, ROWS.index)
        total = each.groupby(ROWS["arm"]).sum().astype(float)
        by_arm = sample.weight.groupby(sample.rows["arm"]).sum()
        pd.testing.assert_series_equal(by_arm, total, check_names=False)
        assert sample.counts["weight"].to_dict() == pytest.approx(total.to_dict())
        assert (sample.weight > 0).all()

    def test_means_are_those_of_all_rows(self):
        means = [
            np.average(sample.rows["x"], weights=sample.weight)
            for sample in (
                sample_rows([ROWS], "arm", max_rows=600, weight="w", random_state=seed)
                for seed in range(100)
            )
        ]
        true = np.average(ROWS["x"], weights=ROWS["w"])
        assert np.mean(means) == pytest.approx(true, abs=4 * np.std(means) / 10)

    def test_all_rows_keep_their_weights(self):
        sample = sample_rows(cut(ROWS, 100), "arm", weight="w", random_state=0)
        kept = ROWS[ROWS["w"] > 0]
        pd.testing.assert_frame_equal(sample.rows, kept)
        np.testing.assert_array_equal(sample.weight, kept["w"])


class TestBlocks:
    @pytest.mark.parametrize("kind", [pl.from_pandas, pa.Table.from_pandas,
                                      pa.RecordBatch.from_pandas])  # fmt: skip
    def test_any_library_gives_the_same_rows(self, kind):
        expected = sample_rows(cut(ROWS, 400), "arm", max_rows=300, random_state=0)
        found = sample_rows(map(kind, cut(ROWS, 400)), "arm", max_rows=300, random_state=0)
        pd.testing.assert_frame_equal(found.rows, expected.rows, check_dtype=False)

    def test_categories_of_blocks_are_joined(self):
        parts = [part.astype({"site": "category"}) for part in cut(ROWS.sort_values("site"), 400)]
        sample = sample_rows(parts, "arm", max_rows=300, random_state=0)
        assert isinstance(sample.rows["site"].dtype, pd.CategoricalDtype)
        assert set(sample.rows["site"]) == {"a", "b", "c"}

    def test_a_fit_of_the_sample_has_the_effects_of_all(self):
        sample = sample_rows(cut(rows(20_000), 1000), "arm", max_rows=2000, random_state=0)
        est = HyperCATE(control="old", effort="instant", random_state=0)
        est.fit(sample.rows[["x", "site"]], sample.rows["y"], sample.rows["arm"],
                sample_weight=sample.weight)  # fmt: skip
        X = rows(500, seed=1)[["x", "site"]]
        effect = est.effect(X, T1="new")
        assert np.corrcoef(effect, X["x"])[0, 1] > 0.9
        ate = est.ate_inference().summary_frame().loc["new"]
        assert ate["ci_lower"] < 0 < ate["ci_upper"]
        assert ate["stderr"] < 0.15


class TestRefused:
    @pytest.mark.parametrize(
        ("blocks", "options", "message"),
        [
            (lambda: [ROWS.drop(columns="arm")], {}, "from 0 on have no column 'arm'"),
            (lambda: [ROWS[:9], ROWS[9:].drop(columns="x")], {}, "from 9 on have other columns"),
            (lambda: [ROWS[:9], ROWS.loc[9:, ::-1]], {}, "columns in another order"),
            (lambda: [ROWS[:9], ROWS[9:].assign(arm=None)], {}, "'arm' is missing in row 9"),
            (lambda: [ROWS.assign(clinic=np.nan)], {"groups": "clinic"}, "missing in row 0"),
            (lambda: [ROWS.assign(w=-1)], {"weight": "w"}, "negative"),
            (lambda: [ROWS.assign(w=0)], {"weight": "w"}, "no rows, or none of positive weight"),
            (lambda: [], {}, "there are no rows"),
            (lambda: [ROWS[:0]], {}, "there are no rows"),
            (lambda: [ROWS], {"max_rows": 1}, "max_rows must be a whole number"),
            (lambda: [ROWS], {"max_rows": 5.0}, "max_rows must be a whole number"),
            (lambda: [ROWS], {"max_rows": 9, "groups": "clinic"}, "more than max_rows=9 rows"),
        ],
    )
    def test_a_clear_error(self, blocks, options, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            sample_rows(blocks(), "arm", **{"max_rows": 100, "random_state": 0} | options)

    def test_arrays_are_no_frames(self):
        with pytest.raises(TypeError, match="blocks must be frames with named columns"):
            sample_rows([np.zeros((3, 2))], "arm")

    def test_an_arm_of_which_no_cluster_was_drawn_is_told(self):
        frame = ROWS.assign(arm=np.where(ROWS["clinic"] == 3, "new", "old"))
        with pytest.raises(ValueError, match="no cluster of arm 'new' is in the sample"):
            sample_rows([frame], "arm", max_rows=300, groups="clinic", random_state=0)


ROWS = rows()
