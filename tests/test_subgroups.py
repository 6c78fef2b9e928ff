"""Averages of rows that are asked for: training rows are known again, and others are new rows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small import mixed_frame, tiny, trial

from hypercate import HyperCATE, OverlapWarning
from hypercate.encoding.fingerprints import fingerprints
from hypercate.inference.averages import average_effect, effect_on_treated

NOT_AVAILABLE = "Standard error and interval: not available"


def study(n_arms=2, n=300, seed=0):
    """A frame of four columns, clusters of two to four rows, weights of which some are 0."""
    X, y, arm, _ = trial(n, n_arms, seed)
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 2, n) * (np.arange(n) % 7 > 0)
    return pd.DataFrame(X, columns=list("abcd")), y, arm, weight, np.arange(n) // 3


@pytest.fixture(scope="module", params=[2, 3], ids=["two arms", "three arms"])
def fitted(request):
    X, y, arm, weight, groups = study(request.param)
    return tiny().fit(X, y, arm, sample_weight=weight, groups=groups), X, arm


def same(found, expected, **tolerance):
    for name in ("point_estimate", "stderr", "dof"):
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(one, other, **({"rtol": 0} | tolerance))


class TestTheTrainingRows:
    @pytest.mark.parametrize("order", ["as given", "shuffled"])
    def test_have_the_average_without_x_to_the_bit(self, fitted, order):
        est, X, arm = fitted
        rows = np.arange(len(X))
        if order == "shuffled":
            rows = np.random.default_rng(0).permutation(rows)
        T0 = est.arms_[-1].item()
        for at in ({}, {"T0": T0}):
            same(est.ate_inference(X.iloc[rows], **at), est.ate_inference(**at))
            same(est.att_inference(X.iloc[rows], arm[rows], **at), est.att_inference(**at))
        assert str(est.ate_inference(X.iloc[rows])) == str(est.ate_inference())

    def test_also_where_rows_repeat(self):
        X, y, arm, _ = trial(240, 2)
        X = np.round(X[:, :2])  # many rows alike
        est = tiny().fit(X, y, arm)
        assert len(np.unique(fingerprints(est.fitted_.features.transform(X)))) < 60
        shuffled = np.random.default_rng(0).permutation(240)
        same(est.ate_inference(X[shuffled]), est.ate_inference())
        same(est.att_inference(X[shuffled], arm[shuffled]), est.att_inference())

    def test_also_with_every_kind_of_column_read_from_another_container(self):
        frame, y, arm, _ = mixed_frame(200)
        est = tiny().fit(frame, y, arm)
        columns = frame[frame.columns[::-1]]
        same(est.ate_inference(columns.astype({"dose": float, "site": "category"})),
             est.ate_inference())  # fmt: skip


class TestSubgroups:
    def test_are_those_of_the_gate(self, fitted):
        est, X, _ = fitted
        group = np.where(X["a"] > 0.3, "old", "young")
        gate = est.gate_inference(group).summary_frame()
        for label in ("old", "young"):
            found = est.ate_inference(X[group == label])
            expected = gate.loc[[label]]
            np.testing.assert_allclose(found.summary_frame(), expected, rtol=1e-9)
            assert "of some training rows" in str(found)
            assert "New rows" not in str(found)

    def test_on_the_treated_are_those_of_a_fit_s_own_evidence(self, fitted):
        est, X, arm = fitted
        some = (X["a"] > 0).to_numpy()
        found = est.att_inference(X[some], arm[some])
        evidence = est.fitted_.evidence
        expected = effect_on_treated(evidence.repeated(some[evidence.used].astype(float)))
        same(found, expected, rtol=1e-9)
        assert (found.stderr > est.att_inference().stderr).all()

    def test_a_row_asked_for_twice_counts_twice(self):
        X, y, arm, _ = trial()
        est = tiny().fit(X, y, arm)
        group = np.arange(300) % 2 == 0
        found = est.ate_inference(X[np.append(np.flatnonzero(group), np.arange(300))])
        same(found, average_effect(replace(est.fitted_.evidence, weight=1.0 + group)), rtol=1e-9)
        same(est.ate_inference(np.tile(X, (2, 1))), est.ate_inference(), rtol=1e-9)

    def test_of_rows_alike_each_has_an_even_share(self):
        """Two cells of many rows: of each the average counts by how many are asked for."""
        X, y, arm, _ = trial(200)
        X = np.where(X[:, :1] > 0, 1.0, 0.0)
        est = tiny().fit(X, y, arm)
        ones = np.flatnonzero(X[:, 0] == 1)
        same(est.ate_inference(X[ones[:40]]), est.ate_inference(X[ones]), rtol=1e-9)

    @pytest.mark.parametrize("rows", [1, 3], ids=["one row", "rows of one arm"])
    def test_too_few_rows_have_an_estimate_without_a_standard_error(self, rows):
        X, y, arm, _ = trial()
        est = tiny().fit(X, y, arm)
        treated = np.flatnonzero(arm == 1)[:rows]
        predicted = est.fitted_.networks.by_model(
            est.fitted_.features.transform(X[treated]), "cpu"
        ).mean(axis=(0, 1))
        far = np.concatenate([X[treated], X[treated] + 1e-3])
        assert abs(est.ate(far) - est.ate(X[treated])) < 0.05  # the formula of new rows
        assert est.ate(X[treated]) != predicted[1] - predicted[0]
        for found in (est.ate_inference(X[treated]), est.att_inference(X[treated], arm[treated])):
            assert np.isfinite(found.point_estimate).all()
            for part in (found.stderr, found.dof, *found.interval()):
                assert np.isnan(part).all()
            assert NOT_AVAILABLE in str(found)
            assert ("for one row" if rows == 1 else "have 0 of arm 0") in str(found)
            assert "nan" not in str(found).lower()
        lower, upper = est.ate_interval(X[treated])
        assert np.isnan([lower, upper]).all()

    def test_rows_of_weight_0_alone_have_no_standard_error(self, fitted):
        est, X, _ = fitted
        found = est.ate_inference(X[~est.fitted_.evidence.used])
        assert np.isnan(found.stderr).all()
        assert f"{NOT_AVAILABLE} for rows of weight 0" in str(found)


class TestNewRows:
    def test_say_what_their_correction_rests_on(self, fitted):
        est, X, arm = fitted
        for rows in (X + 0.01, pd.concat([X, X.head(1) + 0.01])):
            found = est.ate_inference(rows)
            assert "of new rows" in found.estimand
            assert "valid if the rows come from that population" in str(found).replace("\n", " ")
        assert "of new rows" in est.att_inference(X + 0.01, arm).estimand

    def test_training_rows_with_another_arm_are_new_to_the_treated(self, fitted):
        est, X, arm = fitted
        other = arm.copy()
        other[1] = (arm[1] + 1) % len(est.arms_)
        assert "of new rows" in est.att_inference(X, other).estimand
        assert "of new rows" not in est.att_inference(X, arm).estimand

    def test_one_row_has_an_estimate_alone(self, fitted):
        est, X, _ = fitted
        found = est.ate_inference(X.head(1) + 0.01)
        assert np.isfinite(found.point_estimate).all()
        assert np.isnan(found.stderr).all()
        assert f"{NOT_AVAILABLE} for one row" in str(found)
        assert "1 row," in str(found)


class TestSlimModels:
    def test_refuse_before_they_predict(self, fitted, tmp_path):
        est, _, arm = fitted
        est.save(tmp_path / "slim", evidence=False)
        slim = HyperCATE.load(tmp_path / "slim")
        for call in (slim.ate, lambda X: slim.att(X, arm)):
            with pytest.raises(ValueError, match="saved without evidence"):
                call("no table")

    def test_a_loaded_model_knows_its_rows(self, fitted, tmp_path):
        est, X, arm = fitted
        est.save(tmp_path / "whole")
        loaded = HyperCATE.load(tmp_path / "whole")
        some = X[X["b"] > 0]
        same(loaded.ate_inference(some), est.ate_inference(some))
        same(loaded.att_inference(X, arm), est.att_inference())


class TestFingerprints:
    def test_tell_every_row_from_every_other(self):
        rng = np.random.default_rng(0)
        x = rng.integers(0, 3, (20_000, 12)).astype(np.float32)
        x[:, 5:] = (x[:, 5:] > 1) * 1e-3
        n = len(np.unique(x, axis=0))
        assert len(np.unique(fingerprints(x))) == n

    def test_do_not_tell_0_from_minus_0(self):
        zero = np.zeros((1, 3), np.float32)
        assert fingerprints(zero) == fingerprints(-zero)

    def test_are_of_the_row_wherever_it_stands(self):
        frame, y, arm, _ = mixed_frame(5000)
        features = tiny(max_epochs=1, inputs="raw").fit(frame, y, arm).fitted_.features
        whole = fingerprints(features.transform(frame))
        rows = np.random.default_rng(1).permutation(5000)[:777]
        np.testing.assert_array_equal(
            fingerprints(features.transform(frame.iloc[rows])), whole[rows]
        )


class TestPoorSupport:
    def test_is_told_below_every_average(self):
        rng = np.random.default_rng(0)
        X = pd.DataFrame({"age": rng.normal(size=300), "site": rng.choice(["A", "B"], 300)})
        arm = np.where(X["site"] == "A", "drug", rng.choice(["drug", "none"], 300))
        with pytest.warns(OverlapWarning):
            est = tiny(control="none").fit(X, X["age"] + rng.normal(size=300), arm)
        new = X.assign(age=X["age"] + 1)
        for found in (est.ate_inference(), est.att_inference(), est.ate_inference(new)):
            for text in (str(found), found._repr_html_()):
                flat = text.replace("\n", " ").replace("&#x27;", "'")
                assert "Poor support: arm 'none' has poor support" in flat
                assert "intervals do not include that error" in flat
                assert "arm 'drug' has poor support" not in flat

    def test_is_not_told_where_there_is_none(self, fitted):
        assert "support" not in str(fitted[0].ate_inference())


class TestPrinting:
    def test_nothing_that_a_fit_leaves_or_answers_prints_arrays(self, fitted):
        est, X, _ = fitted
        results = est.ate_inference(), est.effect_inference(X), est.calibration_
        for result in (*results, est.fitted_, est.fitted_.evidence):
            assert "array" not in repr(result)
