"""What a fit tells of itself: by bars, if asked for, and through the logger of the package."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from small import tiny, trial

from hypercate import HyperCATE
from hypercate.progress import bars, counted, stage
from hypercate.threads import mapped

SMALL = trial(n=60)[:3]


def shown(err):
    """Stages with a bar, in the order of their beginning, and how each ended: done, of how many."""
    found = {}
    for line in re.split("[\r\n]", err):
        if match := re.match(r"HyperCATE: ([\w ]+): .* (\d+)/(\d+) \[", line):
            found[match[1]] = int(match[2]), int(match[3])
    return found


def fit_of(capfd, *data, **parameters):
    tiny(verbose=True, **parameters).fit(*data)
    out, err = capfd.readouterr()
    assert out == ""
    return shown(err)


def of_times():
    X, _, arm = SMALL
    rng = np.random.default_rng(0)
    time = rng.exponential(2 + arm)
    return X, time, arm, rng.random(60) < 0.7


class TestBars:
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_every_long_step_has_one_that_ends_at_its_total(self, n_jobs, capfd):
        found = fit_of(capfd, *SMALL, n_jobs=n_jobs, sharing="auto", inputs="boosted")
        assert list(found) == [
            "propensities", "boosted trees", "search", "fit", "emitted networks", "second stage",
            "calibration",
        ]  # fmt: skip
        assert found["boosted trees"] == (15, 15)
        for name, (done, total) in found.items():
            assert done == total or name == "fit", name  # which may be done before

    def test_models_that_are_supplied_have_them_too(self, capfd):
        found = fit_of(
            capfd, *SMALL, inputs="raw", learner="dr", sharing="auto",
            model_propensity=LogisticRegression(), model_outcome=LinearRegression(),
        )  # fmt: skip
        assert found["propensities"] == (6, 6)
        assert found["mean outcomes"] == (15, 15)

    def test_and_censoring(self, capfd):
        X, time, arm, event = of_times()
        est = HyperCATE(outcome="time", horizon=2.0, effort="instant", verbose=True, random_state=0)
        est.fit(X, time, arm, event=event)
        found = shown(capfd.readouterr().err)
        assert list(found) == ["censoring", "propensities", "emitted networks", "calibration"]
        assert found["censoring"] == (15, 15)

    def test_levels_of_a_column_of_many(self, capfd):
        X, y, arm = trial(n=360)[:3]
        X = np.column_stack([X.astype(object), np.tile([f"street {i}" for i in range(60)], 6)])
        assert fit_of(capfd, X, y, arm)["means of levels"] == (15, 15)

    def test_each_of_two_fits_at_once_has_its_own(self, capfd):
        with ThreadPoolExecutor(2) as threads:
            loud, silent = (
                threads.submit(tiny(verbose=verbose, inputs="raw").fit, *SMALL)
                for verbose in (True, False)
            )
            loud.result(), silent.result()
        assert len(re.findall(r"HyperCATE: propensities: +0%", capfd.readouterr().err)) == 1

    def test_none_is_left_open_by_an_error(self, capfd):
        def fails(item):
            if item == 2:
                raise RuntimeError("stop")

        with bars(True), pytest.raises(RuntimeError, match="stop"):
            mapped(fails, range(5), 1, "steps")
        assert shown(capfd.readouterr().err)["steps"] == (2, 5)
        with stage("steps", 1, "step") as bar:
            bar.update()
        assert capfd.readouterr() == ("", "")


class TestLog:
    def test_tells_the_stages_and_what_was_chosen(self, caplog):
        with caplog.at_level(logging.INFO, "hypercate"):
            est = tiny(sharing="auto", inputs="auto").fit(*SMALL)
        assert {record.name for record in caplog.records} == {"hypercate"}
        assert {record.levelname for record in caplog.records} == {"INFO"}
        text = "\n".join(caplog.messages)
        assert "fit: 60 rows, 4 inputs, 2 arms, outcome continuous; 5 models" in text
        assert "propensities: up to 6 fits" in text
        (taken,) = re.findall("networks of the arms, .* models: (.*)", text)
        assert sum(map(int, re.findall(r"\((\d+)\)", taken))) == 5
        for chosen in est.sharing_["chosen"]:
            assert chosen in taken
        weight = re.search("weight of emitted networks: ([0-9.]+)", text)[1]
        (kept,) = re.findall("weight of effects by networks ([0-9.]+)", text)
        assert 0 <= float(weight) <= 1
        assert 0 <= float(kept) <= 1

    def test_figures_and_times_are_details(self, caplog):
        with caplog.at_level(logging.DEBUG, "hypercate"):
            tiny(learner="r", inputs="raw").fit(*SMALL)
        details = [record for record in caplog.records if record.levelname == "DEBUG"]
        text = "\n".join(record.getMessage() for record in details)
        assert re.search(r"search: done after [0-9.]+ s", text)
        assert "loss of moderate and raw on the models' validation rows: [" in text
        assert "networks of the effects" in caplog.text

    def test_further_rows_and_arms(self, caplog):
        X, y, arm = SMALL
        est = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
        with caplog.at_level(logging.INFO, "hypercate"):
            est.partial_fit(X[:10], y[:10], arm[:10])
            est.add_arm(X[:20], y[:20], [7] * 20)
        assert "partial_fit: 10 rows of 2 arms" in caplog.messages
        assert "add_arm: 7 (20)" in caplog.messages

    def test_nothing_is_printed_unless_asked_for(self, capfd):
        assert all(isinstance(each, logging.NullHandler) for each in
                   logging.getLogger("hypercate").handlers)  # fmt: skip
        tiny(inputs="raw").fit(*SMALL)
        assert capfd.readouterr() == ("", "")

    def test_counts_in_words(self):
        assert counted(["a", "b", "b"]) == "b (2), a (1)"
