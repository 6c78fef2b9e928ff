"""Fits repeat, copies answer alike, and neither a fit nor its failure leaves traces."""

import copy
import pickle
import re
import struct

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from small import PERTURBED, global_state, mixed_frame, tiny, trial, two_arms

from hypercate import assemble, estimator
from hypercate.learners import TLearner
from hypercate.train import fitting


@pytest.fixture(scope="module")
def two():
    return two_arms()


@pytest.fixture
def odd_threads():
    """A number of threads that no one but this test would set."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    yield
    torch.set_num_threads(threads)


def answers(est, X):
    """Everything that depends on how sure the fit is."""
    return {
        "draws": est.sample_effects(X, 9),
        "interval": est.effect_interval(X),
        "outcome": est.predict_outcome_interval(X, alpha=0.3),
        "individual": est.individual_effect_interval(X, alpha=0.3),
        "independent": est.individual_effect_interval(X, alpha=0.3, dependence="independent"),
        "averages": np.array(
            [est.ate(), est.ate(X), est.att(), *est.ate_interval(), *est.att_interval()]
        ),
        "groups": est.gate_inference(np.arange(len(est.fitted_.evidence.used)) % 2).summary_frame(),
        "heterogeneity": est.heterogeneity_test(),
        "rejected": est.reject(X, 0.3),
        "level": est.calibration_.level,
        "numbers": [est.calibration_.scale, est.calibration_.shrinkage, est.calibration_.dof],
    }


class TestReproducibility:
    def test_a_seed_repeats_a_fit_to_the_bit(self):
        X, y, arm, _ = trial(n_arms=3)
        settings = {"hypernet_dropout": 0.1, "hypernet_noise": 0.3, "sharing": "auto"}
        first, again = (tiny(**settings).fit(X, y, arm) for _ in range(2))
        np.testing.assert_array_equal(first.predict(X), again.predict(X))
        np.testing.assert_array_equal(first.sample_effects(X), again.sample_effects(X))
        pd.testing.assert_frame_equal(first.history_, again.history_)
        pd.testing.assert_frame_equal(first.sharing_, again.sharing_)
        for name, answer in answers(again, X).items():
            np.testing.assert_array_equal(answer, answers(first, X)[name], err_msg=name)

    def test_without_a_seed_fits_differ_even_from_one_global_seed(self):
        X, y, arm, _ = trial()
        effects = []
        for _ in range(2):
            np.random.seed(0)  # noqa: NPY002
            torch.manual_seed(0)
            effects.append(tiny(random_state=None).fit(X, y, arm).predict(X))
        assert not np.array_equal(*effects)

    def test_a_random_state_goes_on_from_fit_to_fit_and_can_be_repeated(self):
        X, y, arm, _ = trial()

        def two_fits():
            est = tiny(random_state=np.random.RandomState(3))
            return [est.fit(X, y, arm).predict(X) for _ in range(2)]

        first, second = two_fits()
        np.testing.assert_array_equal(two_fits(), [first, second])
        assert not np.array_equal(first, second)

    def test_fitting_again_equals_a_fresh_fit(self):
        X, y, arm, _ = trial()
        frame, outcome, labels, _ = mixed_frame(100)
        est = tiny().fit(frame, outcome, labels).fit(X, y, arm)
        fresh = tiny().fit(X, y, arm)
        assert vars(est).keys() == vars(fresh).keys()
        np.testing.assert_array_equal(est.predict(X), fresh.predict(X))
        np.testing.assert_array_equal(est.sample_effects(X), fresh.sample_effects(X))

    @pytest.mark.parametrize("random_state", [None, 0])
    def test_the_state_of_the_process_is_left_alone(self, random_state, odd_threads):
        X, y, arm, _ = trial(n=60)
        before = global_state()
        settings = {"inputs": "raw", **PERTURBED}
        est = tiny(random_state=random_state, **settings)
        est.fit(X, y, arm)
        est.predict(X)
        est.effect_inference(X).summary_frame()
        est.ate_interval(X)
        est.score(X, y, arm)
        assert global_state() == before

    def test_the_state_of_the_process_is_left_alone_when_a_fit_fails(self, odd_threads):
        X, y, arm, _ = trial(n=60)
        before = global_state()
        with pytest.raises(FloatingPointError):
            tiny(learning_rate=1e30, max_epochs=50, inputs="raw").fit(X, y, arm)
        with pytest.raises(ValueError, match="y is missing"):
            tiny().fit(X, np.where(arm, np.nan, y), arm)
        assert global_state() == before

    def test_the_process_own_dtype_changes_nothing(self):
        X, y, arm, _ = trial(n=60)
        settings = PERTURBED | {"uncertainty": "both"}
        expected = tiny(**settings).fit(X, y, arm).sample_effects(X)
        torch.set_default_dtype(torch.float64)
        try:
            draws = tiny(**settings).fit(X, y, arm).sample_effects(X)
            assert torch.get_default_dtype() == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)
        np.testing.assert_array_equal(draws, expected)

    def test_the_process_own_device_changes_nothing(self):
        X, y, arm, _ = trial(n=60)
        expected = tiny(device="cpu").fit(X, y, arm).sample_effects(X)
        with torch.device("meta"):
            draws = tiny(device="cpu").fit(X, y, arm).sample_effects(X)
        np.testing.assert_array_equal(draws, expected)

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_a_fit_works_where_gradients_are_off(self, mode):
        X, y, arm, _ = trial(n=60)
        with mode():
            est = tiny().fit(X, y, arm)
        expected = tiny().fit(X, y, arm).predict(X)
        np.testing.assert_array_equal(est.predict(X), expected)
        np.testing.assert_array_equal(est.fit(X, y, arm).predict(X), expected)


class TestCopies:
    @pytest.fixture(scope="class")
    @staticmethod
    def perturbed():
        frame, y, arm, _ = mixed_frame(100)
        return tiny(**PERTURBED, uncertainty="both").fit(frame, y, arm), frame, y, arm

    @pytest.mark.parametrize(
        "copied",
        [
            copy.deepcopy,
            copy.copy,
            *(
                lambda est, protocol=protocol: pickle.loads(pickle.dumps(est, protocol))
                for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
            ),
        ],
    )
    def test_copies_answer_to_the_bit(self, copied, perturbed):
        est, frame, y, arm = perturbed
        other = copied(est)
        assert other.get_params() == est.get_params()
        np.testing.assert_array_equal(other.predict(frame), est.predict(frame))
        for name, answer in answers(est, frame).items():
            np.testing.assert_array_equal(answers(other, frame)[name], answer, err_msg=name)
        assert other.score(frame, y, arm) == est.score(frame, y, arm)
        pd.testing.assert_frame_equal(other.history_, est.history_)

    def test_a_deep_copy_is_on_its_own(self, two):
        est, X, y, arm = two
        before = est.predict(X)
        other = copy.deepcopy(est).set_params(random_state=9)
        other.fit(X, -y, arm)
        np.testing.assert_array_equal(est.predict(X), before)

    def test_a_clone_is_unfitted_and_fits_to_the_same_bits(self, two):
        est, X, y, arm = two
        other = clone(est)
        assert not hasattr(other, "arms_")
        np.testing.assert_array_equal(other.fit(X, y, arm).predict(X), est.predict(X))
        for name, answer in answers(est, X).items():
            np.testing.assert_array_equal(answers(other, X)[name], answer, err_msg=name)

    def test_no_number_of_a_rows_covariates_is_in_the_pickle(self):
        """Outcomes and propensities of the rows are, for averages and outcomes' intervals."""
        X, y, arm, _ = trial(n=200)
        frame = pd.DataFrame(X, columns=list("abcd"))
        frame.iloc[::7, 0] = np.nan
        est = tiny(inputs="boosted").fit(frame, y, arm)
        data = pickle.dumps(est)

        def found(values):
            return [
                (value, code)
                for value in values
                for code in ("<d", ">d", "<f", ">f")
                if struct.pack(code, value) in data
            ]

        assert len(found([est.learning_rate])) == 1
        assert len(found(est.history_["train_loss"])) == len(est.history_)
        assert not found(X.ravel())
        encoded = est.fitted_.features.transform(frame)
        continuous = [len(np.unique(column)) > 100 for column in encoded.T]
        assert sum(continuous) == 4
        values = np.setdiff1d(encoded[:, continuous], 0)
        assert not found(values)
        trees = [text for view in est.fitted_.networks.views for text in view.boosted.trees.models]
        trees.append(est.fitted_.propensity.views.trees)
        lines = re.findall(r"^threshold=(.*)$", "\n".join(trees), re.MULTILINE)
        thresholds = np.array(" ".join(lines).split(), dtype=float)
        assert len(thresholds) > 1000
        assert not np.isclose(thresholds[:, None], values, rtol=0, atol=1e-7).any()

    def test_no_string_of_a_single_row_is_in_the_pickle_among_many(self):
        X, y, arm, _ = trial(n=200)
        frame = pd.DataFrame(X, columns=list("abcd"))
        frame["id"] = [f"patient-{7919 * i}-" for i in range(len(frame))]
        with pytest.warns(UserWarning, match="'id' has 200 levels, of which 200 "):
            est = tiny().fit(frame, y, arm)
        data = pickle.dumps(est)
        assert not [name for name in frame["id"] if name.encode() in data]

    @pytest.mark.parametrize("inputs", ["raw", "boosted"])
    def test_the_pickle_grows_by_some_numbers_a_row_and_arm_whatever_the_covariates(self, inputs):
        """Trees of little data may be smaller, but not by much."""
        sizes = []
        for n in (100, 3000):
            frame, y, arm, _ = mixed_frame(n)
            sizes.append(len(pickle.dumps(tiny(inputs=inputs).fit(frame, y, arm))))
        a_row = 8 * (4 + 3 * 3) + 8 + 16  # four numbers, three an arm, and two fingerprints
        trees = 0 if inputs == "raw" else 0.1 * sizes[0]
        assert 0 < sizes[1] - sizes[0] < 2900 * a_row + trees


class TestFailedFits:
    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    @pytest.mark.parametrize("call", [1, 2, 5])
    def test_an_interrupt_in_training_leaves_the_estimator_as_it_was(
        self, error, call, monkeypatch
    ):
        X, y, arm, _ = trial(n=60)
        calls = []

        def interrupted(self, output, target):
            calls.append(None)
            if len(calls) == call:
                raise error
            return loss(self, output, target)

        loss = TLearner.loss
        unfitted, est = tiny(), tiny().fit(X, y, arm)
        effects, names = est.predict(X), set(vars(unfitted))
        before, state = dict(vars(est)), global_state()
        monkeypatch.setattr(TLearner, "loss", interrupted)
        for model in (unfitted, est):
            calls.clear()
            with pytest.raises(error):
                model.fit(X[:, :2], -y, 1 - arm)
        monkeypatch.undo()
        assert set(vars(unfitted)) == names
        assert vars(est).keys() == before.keys()
        assert all(value is before[name] for name, value in vars(est).items())
        np.testing.assert_array_equal(est.predict(X), effects)
        assert global_state() == state
        np.testing.assert_array_equal(unfitted.fit(X, y, arm).predict(X), effects)

    @pytest.mark.parametrize(
        ("where", "step"),
        [
            *((estimator, step) for step in ("read_studies", "fit_assignment", "model_views")),
            *((estimator, step) for step in ("fit_ensemble", "assemble", "warn_of_poor_support")),
            *((fitting, step) for step in ("search", "train")),
            *((assemble, step) for step in ("Evidence", "calibrate")),
        ],
        ids=lambda value: getattr(value, "__name__", value),
    )
    def test_an_interrupt_at_any_step_leaves_every_answer_as_it_was(self, where, step, monkeypatch):
        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        X, y, arm, _ = trial(n=60)
        unfitted, est = tiny(), tiny().fit(X, y, arm)
        before, names, expected = dict(vars(est)), set(vars(unfitted)), answers(est, X)
        state = global_state()
        with monkeypatch.context() as patched:
            patched.setattr(where, step, interrupted)
            for model in (unfitted, est):
                with pytest.raises(KeyboardInterrupt):
                    model.fit(X[:, :2], -y, arm.astype(str))
        assert global_state() == state
        assert set(vars(unfitted)) == names
        assert not hasattr(unfitted, "fitted_")
        assert vars(est).keys() == before.keys()
        assert all(value is before[name] for name, value in vars(est).items())
        for name, answer in answers(est, X).items():
            np.testing.assert_array_equal(answer, expected[name], err_msg=name)

    def test_parameters_changed_after_a_fit_wait_for_the_next(self):
        X, y, arm, _ = trial(n=60)
        est = tiny(hypernet_dropout=0.2).fit(X, y, arm)
        before = answers(est, X)
        est.set_params(uncertainty="dropout", calibrate=False, hypernet_dropout=0.5)
        for name, answer in answers(est, X).items():
            np.testing.assert_array_equal(answer, before[name], err_msg=name)
        assert not np.array_equal(est.fit(X, y, arm).sample_effects(X, 9), before["draws"])

    def test_divergence_says_when_and_what_to_try(self):
        X, y, arm, _ = trial(n=60)
        est = tiny().fit(X, y, arm)
        before = est.predict(X)
        est.set_params(learning_rate=1e30, max_epochs=50)
        with pytest.raises(FloatingPointError, match=r"diverged by epoch \d+.*learning_rate"):
            est.fit(X, y, arm)
        np.testing.assert_array_equal(est.predict(X), before)
