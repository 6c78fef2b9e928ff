"""Numbers by which rows are known again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def fingerprints(x: np.ndarray) -> np.ndarray:
    """One number for each row of encoded covariates, the same for the same covariates.

    Parameters
    ----------
    x : ndarray of float32, shape (n, n_inputs)

    Returns
    -------
    ndarray of uint64, shape (n,)
    """
    return combined((np.ascontiguousarray(x) + np.float32(0)).view(np.uint32).T)  # -0 becomes 0


def combined(columns: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """One number for each row of some columns of bit patterns or codes: uint64, shape (n,)."""
    code = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        code = (code ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        code ^= code >> np.uint64(29)
    return code
