"""SHAP values of the effect, one value for each column of X before encoding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.columns import read_column
from hypercate.inspection.columns import ROWS_AT_ONCE, Columns, arms_of, effects_at

INSTALL_HINT = 'pip install "hypercate[explain]"'
MOST_BACKGROUND = 100


def shap_values(
    est: Any,
    X: Any,
    background: Any = None,
    *,
    T0: Any = None,
    T1: Any = None,
    max_evals: int = 100,
) -> Any:
    """How much each column moves a row's predicted effect from the mean of a background.

    Shapley values (Lundberg & Lee, 2017, "A unified approach to interpreting model predictions",
    NeurIPS), by the shap library: the change in the effect when a column of a background row is
    replaced by the row's own value, averaged over the orders in which columns can be replaced.
    Columns are those of X before encoding, including strings and missing values. The values explain
    the model, not the world: if columns are correlated, the credit goes to those that the model
    uses.

    Parameters
    ----------
    est : HyperCATE
        Fitted, or loaded from a file, with or without evidence.
    X : DataFrame or array-like, shape (n, n_features)
        Rows to explain. Each row takes ``max_evals`` times as many predictions as the background
        has rows.
    background : DataFrame or array-like, shape (m, n_features), optional
        Rows that represent the usual case; by default X. If there are more than 100, 100 evenly
        spaced rows are used.
    T0, T1 : label or dose, optional
        As in ``est.effect``: by default every other arm against control.
    max_evals : int, default=100
        Number of sets of columns that are replaced for a row. Values are exact if there are at most
        this many sets, 2 ** n_features; otherwise they are means over
        ``max_evals // (2 n_features + 1)`` random orders, at least one, each with its reverse
        (Mitchell et al., 2022, "Sampling permutations for Shapley value estimation", JMLR 23).

    Returns
    -------
    shap.Explanation
        ``values`` (n, n_features), or (n, n_features, n_effects) for several effects;
        ``base_values`` is the mean effect over the background; adding a row's values to it gives
        the row's effect. ``display_data`` holds the rows as given, and ``data`` the same rows as
        numbers, with levels replaced by their position, for the colours of shap's plots.

    Raises
    ------
    ImportError
        If shap is not installed.
    NotFittedError
        If est is not fitted.
    TypeError, ValueError
        If ``predict`` would refuse X or background, if max_evals is not an integer of at least 1,
        if T0 or T1 differs by row, or if est is a model of several outcomes.

    Examples
    --------
    >>> from hypercate.inspection import shap_values
    >>> explanation = shap_values(est, X.head(20), background=X)
    >>> explanation.values.shape
    (20, 2)
    >>> effect = explanation.base_values + explanation.values.sum(axis=1)
    >>> bool(np.allclose(effect, est.predict(X.head(20)), atol=1e-4))
    True
    """
    if isinstance(max_evals, bool) or not isinstance(max_evals, Integral):
        raise TypeError(f"max_evals={max_evals!r} must be an integer")
    if max_evals < 1:
        raise ValueError(f"max_evals={max_evals} must be at least 1")
    try:
        import shap
    except ModuleNotFoundError as error:
        raise ImportError(f"SHAP values need shap: {INSTALL_HINT}") from error
    rows = Columns.of(est, X)
    usual = rows if background is None else Columns.of(est, background)
    arms = arms_of(est, T0, T1)
    n, m, n_columns = len(rows.x), len(usual.x), rows.frame.shape[1]
    encoded, outputs = np.concatenate([rows.x, usual.x]), np.arange(rows.x.shape[1])

    def effects(source: np.ndarray) -> np.ndarray:
        """Of rows each of whose columns is that of the row of `encoded` with the given number."""
        row = source.astype(np.int64)[:, rows.column_of]
        found = [
            effects_at(est, encoded[row[start : start + ROWS_AT_ONCE], outputs], T0, T1)
            for start in range(0, len(row), ROWS_AT_ONCE)
        ]
        joined = np.concatenate(found)
        return joined[:, 0] if len(arms) == 1 else joined

    sources = np.repeat(np.arange(n + m, dtype=float)[:, None], n_columns, axis=1)
    shown = np.unique(np.linspace(0, m - 1, min(m, MOST_BACKGROUND)).astype(int))
    masker = _of_background(shap.maskers.Masker, sources[n:][shown])
    exact = 2**n_columns <= max_evals
    kind = shap.explainers.Exact if exact else shap.explainers.Permutation
    evals = max(int(max_evals), 2 * n_columns + 1)
    with _numpy_as_before():
        seed = {} if exact else {"seed": 0}
        found = kind(effects, masker, **seed)(sources[:n], max_evals=evals, silent=True)
    return shap.Explanation(
        values=found.values,
        base_values=found.base_values,
        data=_numbers(rows.frame),
        display_data=rows.frame.to_numpy(object),
        feature_names=[str(label) for label in rows.frame.columns],
        output_names=None if len(arms) == 1 else [str(arm) for arm in arms],
    )


@contextmanager
def _numpy_as_before() -> Iterator[None]:
    """Numpy's global generator, which shap seeds, is left as it was."""
    before = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _of_background(masker: Any, background: np.ndarray) -> Any:
    """A masker of shap that puts a row's values into the rows of the background.

    That of shap itself does the same by compiled code, which takes half a minute to compile.
    """

    class Background(masker):
        shape = background.shape
        immutable_outputs = True

        def __call__(self, mask: np.ndarray, row: np.ndarray) -> tuple[np.ndarray]:
            return (np.where(mask, row, background),)

    return Background()


def _numbers(frame: pd.DataFrame) -> np.ndarray:
    """Values as numbers, levels as their places among the levels; NaN for missing."""
    columns = []
    for label, column in frame.items():
        values = read_column(column, str(label))
        if isinstance(values, pd.Categorical):
            values = np.where(values.codes < 0, np.nan, values.codes)
        columns.append(np.asarray(values, dtype=float))
    return np.column_stack(columns)
