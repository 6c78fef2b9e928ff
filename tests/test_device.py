"""Where the arithmetic runs."""

import pytest
import torch

from hypercate.device import resolve_device

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
