"""What scikit-learn keeps to itself and this package needs, in one place, with fallbacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

try:
    from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "this version of scikit-learn has no sklearn.utils._param_validation, with which HyperCATE "
        "checks its parameters: install scikit-learn>=1.6,<2"
    ) from error

try:
    from sklearn.utils.validation import _num_samples as num_samples
except ImportError:  # pragma: no cover

    def num_samples(X: Any) -> int:
        """Rows of X."""
        return len(X) if isinstance(X, list | tuple | pd.DataFrame) else np.asarray(X).shape[0]


try:
    from sklearn.utils import _safe_indexing as rows_of
except ImportError:  # pragma: no cover

    def rows_of(X: Any, rows: np.ndarray) -> Any:
        """Some rows of X, by position."""
        return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]


__all__ = ["HasMethods", "Interval", "StrOptions", "num_samples", "rows_of"]
