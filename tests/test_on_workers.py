"""Predictions, refuters, searches and benchmarks on workers say what they say in one process."""

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from joblib.parallel import ThreadingBackend
from served import fitted
from sklearn.model_selection import GridSearchCV
from small import tiny, trial
from threadpoolctl import threadpool_info

from hypercate import HyperCATE
from hypercate.benchmark import harness
from hypercate.interop.dask import predict
from hypercate.interop.workers import Sent
from hypercate.sensitivity import leave_out, refute
from hypercate.threads import at_once

INSTANT = {"effort": "instant", "random_state": 0, "device": "cpu"}
BACKENDS = ["threading", "loky", "dask"]


@pytest.fixture(scope="module")
def client():
    """Of a cluster of one process that does two things at once."""
    distributed = pytest.importorskip("distributed", reason="a cluster of Dask is started")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Of joblib, in use while the test runs."""
    options = {} if request.param == "dask" else {"n_jobs": 2}
    if request.param == "dask":
        request.getfixturevalue("client")
    with joblib.parallel_config(backend=request.param, **options):
        yield request.param


@pytest.fixture(scope="module")
def study():
    X, y, arm, _ = trial(100)
    return pd.DataFrame(X, columns=list("abcd")), y, arm


def count_loads():
    """Run on a worker: from now on count how often a model is unpacked there."""
    Sent.loads = 0

    def counted(self, state):
        Sent.loads += 1
        self.__dict__.update(state)

    Sent.__setstate__ = counted


class TestCluster:
    def test_a_worker_gets_the_model_once_for_all_partitions(self, client):
        dd = pytest.importorskip("dask.dataframe", reason="frames of Dask are predicted")
        est, X = fitted("instant")
        client.run(count_loads)
        given = dd.from_pandas(X, npartitions=8, sort=False)
        found = predict(est, given, interval=0.95).compute()
        assert list(client.run(lambda: Sent.loads).values()) == [1]
        here = predict(est, given, interval=0.95).compute(scheduler="synchronous")
        pd.testing.assert_frame_equal(found, here, check_exact=True)
        np.testing.assert_allclose(found["effect_drug"], est.predict(X)[:, 0], atol=1e-5)


class AllAtOnce(ThreadingBackend):
    """As Ray's backend: it cannot say which call is done first."""

    supports_retrieve_callback = False


def seen(_):
    """Threads that a call may use."""
    return {torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())}


class TestBackends:
    def test_refuters_and_covariates_left_out(self, backend, study):
        X, y, arm = study
        est = HyperCATE(**INSTANT).fit(X, y, arm)

        def tables(**options):
            yield refute(est, X, y, arm, refuters=["placebo treatment"], **options)
            yield leave_out(est, X, y, arm, ["a", "c"], **options)

        there = list(tables())
        with joblib.parallel_config(backend="sequential"):
            here = list(tables(n_jobs=1))
        for own, other in zip(there, here, strict=True):
            pd.testing.assert_frame_equal(own, other, check_exact=True)

    def test_each_of_several_calls_has_one_thread(self, backend):
        before = torch.get_num_threads()
        assert at_once(seen, range(3), None) == [{1}] * 3
        assert torch.get_num_threads() == before

    def test_searches(self, backend, study):
        X, y, arm = study
        choices = {"learning_rate": [0.005, 0.02]}
        with sklearn.config_context(enable_metadata_routing=True):
            there, here = (
                GridSearchCV(tiny(inputs="raw", n_jobs=1), choices, cv=2, n_jobs=n_jobs)
                for n_jobs in (None, 1)
            )
            there.fit(X, y, treatment=arm)
            with joblib.parallel_config(backend="sequential"):
                here.fit(X, y, treatment=arm)
        np.testing.assert_array_equal(*(s.cv_results_["mean_test_score"] for s in (there, here)))
        np.testing.assert_array_equal(there.predict(X), here.predict(X))

    def test_benchmarks(self, backend, tmp_path):
        self.check(tmp_path)

    def test_benchmarks_of_backends_that_give_all_results_at_once(self, tmp_path):
        with joblib.parallel_config(backend=AllAtOnce(), n_jobs=2):
            self.check(tmp_path)

    @staticmethod
    def check(folder):
        tasks = [
            harness.Task("simulated", None, None, replication, learner, rows=60, design="smooth")
            for replication in (1, 2, 3)
            for learner in ("true ATE", "zero effect")
        ]
        found = harness.run(tasks, folder / "there.csv")
        with joblib.parallel_config(backend="sequential"):
            expected = harness.run(tasks, folder / "here.csv", 1)
        assert expected["error"].isna().all()
        seconds = ["fit_seconds", "predict_seconds"]
        pd.testing.assert_frame_equal(
            *(
                table.drop(columns=seconds).sort_values(harness.KEY, ignore_index=True)
                for table in (found, expected)
            ),
            check_exact=True,
        )
