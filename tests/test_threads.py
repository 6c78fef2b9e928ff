"""Fits that overlap in threads: the process is left as it was, and each is what it is alone."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
from small import tiny, trial
from threadpoolctl import threadpool_info, threadpool_limits

from hypercate import estimator
from hypercate.nuisance import propensity
from hypercate.nuisance.views import model_views
from hypercate.threads import Shared, set_own_threads
from hypercate.train import search
from hypercate.train.device import threads_for


def of_a_new_thread(function):
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(function).result()


def state():
    """What overlapping fits could leave behind, seen from this thread and from a new one."""
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    threads = torch.get_num_threads(), of_a_new_thread(torch.get_num_threads)
    return threads, blas, list(warnings.filters)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    with threadpool_limits(2, "blas"):
        yield
    torch.set_num_threads(before)


class Meeting:
    """Two threads that meet inside a step of a fit, so that the first in is also the first out."""

    def __init__(self):
        self.first_in, self.first_out = threading.Event(), threading.Event()
        self.both_in = threading.Barrier(2)

    def around(self, enter):
        """The same context manager, left by the first that entered while the other is inside."""
        order, lock = [], threading.Lock()

        @contextmanager
        def held(*arguments):
            with enter(*arguments):
                with lock:
                    first = not order
                    order.append(threading.get_ident())
                self.first_in.set()
                self.both_in.wait(60)
                yield
                if not first:
                    assert self.first_out.wait(60)
            if first:
                self.first_out.set()

        return held


@pytest.mark.usefixtures("three_threads")
class TestOverlappingFits:
    studies = tuple(trial(150, seed=seed)[:3] for seed in (0, 1))

    def alone(self):
        return [tiny(random_state=k).fit(*self.studies[k]) for k in (0, 1)]

    def together(self, first_in=None):
        """Both fits; with an event, the second starts after it."""
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(tiny(random_state=0).fit, *self.studies[0])
            assert first_in is None or first_in.wait(60)
            second = threads.submit(tiny(random_state=1).fit, *self.studies[1])
            return first.result(120), second.result(120)

    def assert_same(self, found, expected):
        for one, other, (X, _, _) in zip(found, expected, self.studies, strict=True):
            np.testing.assert_array_equal(one.predict_outcomes(X), other.predict_outcomes(X))
            evidence = one.fitted_.evidence, other.fitted_.evidence
            for name in ("propensity", "outcomes"):
                np.testing.assert_array_equal(*(getattr(part, name) for part in evidence))

    def test_each_is_what_it_is_alone_and_the_threads_are_left_as_they_were(self):
        expected, before = self.alone(), state()
        self.assert_same(self.together(), expected)
        assert state() == before

    def test_also_where_the_first_to_train_is_the_first_to_be_done(self, monkeypatch):
        expected, before = self.alone(), state()
        meeting = Meeting()
        searching = meeting.around(threads_for)
        inside = threading.local()

        def once(work):
            if getattr(inside, "was", False):
                return threads_for(work)
            inside.was = True
            return searching(work)

        monkeypatch.setattr(search, "threads_for", once)
        self.assert_same(self.together(meeting.first_in), expected)
        assert state() == before

    def test_also_where_the_first_to_fit_propensities_is_the_first_to_be_done(self, monkeypatch):
        expected, before = self.alone(), state()
        growing = propensity._GROWING
        meeting = Meeting()
        held = meeting.around(lambda: growing)

        class Growing(threading.local):
            def __enter__(self):
                self.own = held()
                self.own.__enter__()

            def __exit__(self, *error):
                return self.own.__exit__(*error)

        monkeypatch.setattr(propensity, "_GROWING", Growing())
        self.assert_same(self.together(meeting.first_in), expected)
        assert state() == before


@pytest.mark.usefixtures("three_threads")
class TestOwnThreads:
    def test_those_of_other_threads_are_left(self):
        set_own_threads(1)
        assert torch.get_num_threads() == 1
        assert of_a_new_thread(torch.get_num_threads) == 3

        def inside():
            set_own_threads(2)
            return torch.get_num_threads()

        assert of_a_new_thread(inside) == 2
        assert torch.get_num_threads() == 1
        assert of_a_new_thread(torch.get_num_threads) == 3

    def test_a_thread_that_starts_while_another_trains_has_the_users_number(self):
        with threads_for(1):
            assert of_a_new_thread(torch.get_num_threads) == 3


class TestShared:
    def test_it_is_made_by_the_first_and_undone_by_the_last(self):
        seen = []

        @contextmanager
        def setting():
            seen.append("made")
            yield
            seen.append("undone")

        shared = Shared(setting)
        for _ in range(2):
            with shared, shared:
                assert seen == ["made"]
            assert seen == ["made", "undone"]
            seen.clear()

    def test_an_error_undoes_it_too(self):
        def fails():
            with Shared(warnings.catch_warnings):
                warnings.simplefilter("ignore")
                raise KeyError("fails")

        with pytest.raises(KeyError, match="fails"):
            fails()
        with pytest.warns(UserWarning, match="heard"):
            warnings.warn("heard", stacklevel=1)


@pytest.mark.usefixtures("three_threads")
class TestNumberOfThreads:
    def used(self, n_jobs, monkeypatch):
        """Torch's threads and those of trees, seen in a fit."""
        seen = []

        def grown(study, folds, need_trees, seed, n_threads):
            seen.append((torch.get_num_threads(), n_threads))
            return model_views(study, folds, need_trees, seed, n_threads)

        monkeypatch.setattr(estimator, "model_views", grown)
        tiny(n_jobs=n_jobs).fit(*trial(60)[:3])
        return seen

    @pytest.mark.parametrize(("n_jobs", "n_threads"), [(None, 3), (1, 1), (2, 2)])
    def test_is_what_is_asked_for_while_it_fits(self, n_jobs, n_threads, monkeypatch):
        before = state()
        assert self.used(n_jobs, monkeypatch) == [(n_threads, n_threads)]
        assert state() == before

    def test_all_processors(self, monkeypatch):
        n_all = joblib.cpu_count()
        assert self.used(-1, monkeypatch) == [(n_all, n_all)]

    def test_is_put_back_after_an_error(self, monkeypatch):
        def fails(*_):
            raise RuntimeError("no trees")

        monkeypatch.setattr(estimator, "model_views", fails)
        before = state()
        with pytest.raises(RuntimeError, match="no trees"):
            tiny(n_jobs=1).fit(*trial(60)[:3])
        assert state() == before

    def test_changes_no_result(self):
        X, y, arm, _ = trial(100)
        one, two = (tiny(n_jobs=n, inputs="auto").fit(X, y, arm) for n in (1, 2))
        np.testing.assert_allclose(one.predict(X), two.predict(X), rtol=1e-4, atol=1e-4)
