"""Where the arithmetic runs."""

import numpy as np
import pytest
import torch
from no_float64 import DEVICE, WithoutFloat64
from small import PERTURBED, tiny, trial

from hypercate.train.device import WORK_FOR_THREADS, resolve_device, threads_for

GPU = torch.cuda.is_available()


class TestResolveDevice:
    def test_auto_takes_a_gpu_if_there_is_one(self):
        assert resolve_device("auto").type == ("cuda" if GPU else "cpu")

    @pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), resolve_device("auto")])
    def test_a_device_at_hand_is_used(self, device):
        resolved = resolve_device(device)
        assert resolved == torch.device(device)
        assert torch.ones(2, device=resolved).sum().item() == 2

    @pytest.mark.parametrize(
        "device", ["gpu", "banana", "", "cuda:99", torch.device("cuda:99"), "hpu", "meta"]
    )
    def test_a_device_that_is_not_there_is_refused_by_name(self, device):
        with pytest.raises(ValueError, match=r"device=.*'cpu'") as refusal:
            resolve_device(device)
        assert repr(device) in str(refusal.value)

    @pytest.mark.skipif(GPU, reason="there is a GPU")
    def test_a_gpu_without_a_gpu_is_refused(self):
        with pytest.raises(ValueError, match="device='cuda' is not to be had on this machine"):
            resolve_device("cuda")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
class TestThreadsFor:
    @pytest.mark.parametrize(("work", "n_threads"), [(1, 1), (WORK_FOR_THREADS, 2)])
    def test_little_work_is_done_by_one_thread(self, work, n_threads):
        with threads_for(work):
            assert torch.get_num_threads() == n_threads
        assert torch.get_num_threads() == 2

    def test_an_error_leaves_the_threads_as_they_were(self):
        with pytest.raises(KeyboardInterrupt), threads_for(1):
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2


class TestDevicesWithoutFloat64:
    def test_the_simulated_device_refuses_float64_and_numpy(self):
        with WithoutFloat64():
            single = torch.ones(2, device=DEVICE) * 3
            assert single.device == DEVICE
            np.testing.assert_array_equal(single.cpu().double().numpy(), [3, 3])
            with pytest.raises(TypeError, match="has no float64"):
                single[:1].double()
            with pytest.raises(TypeError, match="has no float64"):
                torch.as_tensor(np.ones(2), device=DEVICE)
            with pytest.raises(TypeError, match="device tensor to numpy"):
                single.numpy()

    @pytest.mark.parametrize("binary", [False, True], ids=["continuous", "binary"])
    @pytest.mark.parametrize(
        "parameters",
        [
            {"sharing": "auto", "inputs": "auto"},
            {**PERTURBED, "uncertainty": "both", "inputs": "boosted", "sharing": "weak"},
        ],
        ids=["default", "perturbed"],
    )
    def test_a_fit_and_its_answers_are_those_of_the_cpu_to_the_bit(self, parameters, binary):
        X, y, arm, _ = trial(120, 3)
        y = y > 2 if binary else y
        weight = np.random.default_rng(0).uniform(0.5, 2, len(y))

        def answers(device):
            est = tiny(device=device, **parameters).fit(X, y, arm, sample_weight=weight)
            return [
                est.predict_outcomes(X),
                *est.effect_interval(X),
                *est.predict_outcome_interval(X, alpha=0.3),
                est.sample_effects(X, 3),
                est.ate(),
                est.ate(X + 1),
            ]

        with WithoutFloat64() as device:
            found = answers(DEVICE)
        assert device.n_tensors > 1000
        for one, other in zip(found, answers("cpu"), strict=True):
            np.testing.assert_array_equal(one, other)
