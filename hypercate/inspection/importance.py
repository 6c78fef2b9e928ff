"""Which columns the predicted effect depends on, by permuting them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from hypercate.answers.arguments import draw_seed
from hypercate.inspection.columns import ROWS_AT_ONCE, Columns, arms_of, effects_at, rounding


def effect_importance(
    est: Any,
    X: Any,
    columns: Sequence | Mapping | None = None,
    *,
    n_repeats: int = 5,
    T0: Any = None,
    T1: Any = None,
    random_state: Any = 0,
) -> pd.DataFrame:
    """How much the predicted effect changes if a column is permuted.

    This shows what the model's effects depend on, not what causes them: if two columns carry the
    same information, the model may use either, and a column that the model did not find has
    importance 0 even if it modifies the effect. If columns are correlated, permuting one of them
    also creates rows that cannot occur; permute such columns together, as a group.

    With tau the effects, tau' the effects after column j was permuted, and means over rows (and
    over effects, if there are several),

        importance_j = sqrt(mean (tau' - tau)^2) / sqrt(mean (tau - mean tau)^2)

    It is 0 for a column that the effects do not depend on, and about 1.4 for a column that alone
    determines them. Permutation importance is due to Breiman (2001, "Random forests", Machine
    Learning 45:5-32). If columns are independent, half the square of the importance estimates
    Sobol's total effect index (Jansen, 1999, "Analysis of variance designs for model output",
    Computer Physics Communications 117:35-43). The squares need not add up to 2, because an
    interaction counts in each of its columns.

    Parameters
    ----------
    est : HyperCATE
        Fitted, or loaded from a file, with or without evidence.
    X : DataFrame or array-like, shape (n, n_features)
        At least two rows, among which values are permuted.
    columns : sequence, or mapping of name to sequence, optional
        Columns of X, or groups of columns that are permuted together; by default every column of X
        before encoding, so that a column of strings is one column. Those of an array are named
        ``"x0"``, ``"x1"``.
    n_repeats : int, default=5
        Number of permutations of each column or group.
    T0, T1 : label or dose, optional
        As in ``est.effect``: by default every other arm against control, together.
    random_state : int, RandomState instance or None, default=0

    Returns
    -------
    DataFrame
        One row for each column or group, the largest first: ``importance``, the mean over
        permutations, and ``std``, their standard deviation; all 0 if effects do not differ between
        rows.

    Raises
    ------
    NotFittedError
        If est is not fitted.
    TypeError
        If n_repeats is not an integer, or columns is one name.
    ValueError
        If a column is unknown, if X has fewer than two rows, if n_repeats is below 1, if T0 or T1
        differs by row, or if est is a model of several outcomes.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hypercate import HyperCATE
    >>> from hypercate.inspection import effect_importance
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(300, 2)), columns=["age", "height"])
    >>> arm = rng.integers(2, size=300)
    >>> y = X["height"] + arm * X["age"] + 0.3 * rng.normal(size=300)
    >>> est = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
    >>> effect_importance(est, X).index.tolist()
    ['age', 'height']
    """
    if isinstance(n_repeats, bool) or not isinstance(n_repeats, Integral):
        raise TypeError(f"n_repeats={n_repeats!r} must be an integer")
    if n_repeats < 1:
        raise ValueError(f"n_repeats={n_repeats} must be at least 1")
    rows = Columns.of(est, X)
    arms_of(est, T0, T1)
    groups, n = rows.groups(columns), len(rows.x)
    if n < 2:
        raise ValueError(f"X has {n} row, but permuting a column needs at least two")
    effects = effects_at(est, rows.x, T0, T1)
    outputs = [group for group in groups.values() for _ in range(n_repeats)]
    order = _permuted(len(outputs), n, draw_seed(random_state))
    changes = []
    per_block = max(1, ROWS_AT_ONCE // n)
    for start in range(0, len(outputs), per_block):
        some = outputs[start : start + per_block]
        x = np.tile(rows.x, (len(some), 1, 1))
        for copy, own, rank in zip(x, some, order[start:], strict=False):
            copy[:, own] = rows.x[np.ix_(rank, own)]
        moved = effects_at(est, x.reshape(-1, x.shape[2]), T0, T1)
        changes.append(moved.reshape(len(some), n, -1) - effects)
    unit = np.sqrt(effects.var(axis=0).mean())
    if unit <= rounding(est):
        unit = np.inf
    found = np.sqrt(np.square(np.concatenate(changes)).mean(axis=(1, 2))) / unit
    found = found.reshape(len(groups), n_repeats)
    index = pd.Index(list(groups), name="column", tupleize_cols=False)
    table = pd.DataFrame({"importance": found.mean(axis=1), "std": found.std(axis=1)}, index=index)
    return table.sort_values("importance", ascending=False, kind="stable")


def _permuted(times: int, n: int, seed: int) -> np.ndarray:
    """Orders of n rows, (times, n)."""
    return np.random.default_rng(seed).permuted(np.tile(np.arange(n), (times, 1)), axis=1)
