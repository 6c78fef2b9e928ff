"""Where the arithmetic runs."""

from __future__ import annotations

import torch


def resolve_device(device: str | torch.device) -> torch.device:
    """The device to use.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes a GPU if there is one; anything else is torch's name of a device.

    Raises
    ------
    ValueError
        If there is no such device on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.zeros(1, device=resolved).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"device={device!r} is not to be had on this machine ({error}); "
            "use device='cpu' or device='auto'"
        ) from error
    return resolved
