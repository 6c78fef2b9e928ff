"""How the predicted effect depends on one column, with the others unchanged."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.checks import listed
from hypercate.encoding.columns import CategoryColumn, NumberColumn, read_column
from hypercate.inference.effects import EffectInference
from hypercate.inference.jackknife import root_sum_of_squares
from hypercate.inspection.columns import ROWS_AT_ONCE, Columns, arms_of, encode_values

N_GRID = 21
KINDS = ("average", "individual")
_INNER = (0.05, 0.95)  # quantiles between which a grid of numbers lies


@dataclass(frozen=True, repr=False, eq=False)
class EffectDependence(EffectInference):
    """Mean effect of the rows at each value of a column; `print` shows a table.

    Attributes
    ----------
    point_estimate, stderr : ndarray, shape (n_values,) or (n_values, n_effects)
        Mean over the rows, and its standard error.
    dof : float
        Degrees of freedom of Student's t, whose quantiles intervals use.
    bound : float
        Largest absolute value that an effect can have.
    index : Index, shape (n_values,)
        The values, with the column's name.
    arms : list
        Label of the arm of each effect.
    individual : ndarray, shape (n, n_values) or (n, n_values, n_effects), or None
        The curve of each row, if it was asked for.
    numeric : bool
        Whether the values are more than two numbers, so that a line through them makes sense.
    n_rows : int
        Number of rows that are averaged over.

    Examples
    --------
    >>> from hypercate.inspection import effect_dependence
    >>> found = effect_dependence(est, X, "site", kind="individual")
    >>> found.index.tolist(), found.individual.shape
    (['north', 'south'], (300, 2))
    """

    individual: np.ndarray | None = None
    numeric: bool = True
    n_rows: int = 0

    def _shown(self, alpha: float) -> pd.DataFrame:
        return self.summary_frame(alpha)

    def _heading(self, alpha: float) -> tuple[str, str]:
        title = f"Mean effect by {self.index.name}, other columns as they are"
        return title, f"{self.n_rows} rows, {self._facts(alpha)}"


def effect_dependence(
    est: Any,
    X: Any,
    column: Hashable,
    *,
    grid: Any = None,
    kind: str = "average",
    T0: Any = None,
    T1: Any = None,
) -> EffectDependence:
    """Partial dependence of the effect on a column, with intervals, and the curve of each row.

    For each value v, the column is set to v in all rows, the other columns stay unchanged, and the
    effects are averaged (Friedman, 2001, "Greedy function approximation", Annals of Statistics
    29:1189-1232). Before averaging, they are individual conditional expectations (Goldstein et al.,
    2015, "Peeking inside the black box", JCGS 24:44-65). If columns are correlated, some of the
    resulting rows are unlike any row that was observed.

    Parameters
    ----------
    est : HyperCATE
        Fitted, or loaded from a file, with or without evidence.
    X : DataFrame or array-like, shape (n, n_features)
        Rows to average over.
    column : label
        Column of X; those of an array are ``"x0"``, ``"x1"`` and so on.
    grid : array-like, shape (n_values,), optional
        Values of the column. By default, for numbers, all values if there are 21 or fewer, and
        otherwise 21 quantiles from 5 to 95 %; for strings and categories, all levels in X. Rows
        where the column is missing are set to these values too.
    kind : {"average", "individual"}, default="average"
        ``"individual"`` also keeps the curve of each row.
    T0, T1 : label or dose, optional
        As in ``est.effect``: by default every other arm against control.

    Returns
    -------
    EffectDependence
        ``interval(alpha)`` gives intervals of the mean curve for these rows: they describe how
        wrong the model may be, not how much another sample of rows would differ. Deviations are
        averaged over the rows before they are squared, so that errors common to all rows remain and
        others cancel (`hypercate.inference.jackknife`).

    Raises
    ------
    NotFittedError
        If est is not fitted.
    TypeError
        If grid holds values of another kind than the column.
    ValueError
        If the column is unknown, if grid is empty, not one-dimensional or holds a level that did
        not occur in the fit, if kind is neither of the two, if T0 or T1 differs by row, or if est
        is a model of several outcomes.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hypercate import HyperCATE
    >>> from hypercate.inspection import effect_dependence
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(300, 2)), columns=["age", "height"])
    >>> arm = rng.integers(2, size=300)
    >>> y = X["height"] + arm * X["age"] + 0.3 * rng.normal(size=300)
    >>> est = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
    >>> curve = effect_dependence(est, X, "age", grid=[-1, 0, 1])
    >>> bool((np.diff(curve.point_estimate) > 0.5).all())
    True
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} must be one of {', '.join(map(repr, KINDS))}")
    rows = Columns.of(est, X)
    arms, place = arms_of(est, T0, T1), rows.position(column)
    encoder = rows.features.columns[place]
    values = _default_grid(rows.frame.iloc[:, place], encoder) if grid is None else _read(grid)
    if isinstance(encoder, CategoryColumn):
        _check_levels(encoder, values)
        values = pd.Series(pd.Categorical(values))
    at, own = encode_values(encoder, values), rows.column_of == place
    n, mean, deviations, individual = len(rows.x), [], [], []
    per_block = max(1, ROWS_AT_ONCE // n)
    for start in range(0, len(at), per_block):
        some = at[start : start + per_block]
        x = np.tile(rows.x, (len(some), 1, 1))
        x[:, :, own] = some[:, None]
        effects, off = est._deviations(x.reshape(-1, x.shape[2]), None, T0, T1)
        effects = effects.reshape(len(some), n, *effects.shape[1:])
        mean.append(effects.mean(axis=1))
        deviations.append(off.reshape(len(off), *effects.shape).mean(axis=2))
        if kind == "individual":
            individual.append(effects)
    return EffectDependence(
        point_estimate=np.concatenate(mean),
        stderr=root_sum_of_squares(np.concatenate(deviations, axis=1), axis=0),
        dof=est.calibration_.dof,
        bound=est._largest_effect(),
        index=pd.Index(list(values), name=column),
        arms=arms,
        individual=np.concatenate(individual).swapaxes(0, 1) if individual else None,
        numeric=isinstance(encoder, NumberColumn) and len(values) > 2,
        n_rows=n,
    )


def _default_grid(column: pd.Series, encoder: NumberColumn | CategoryColumn) -> pd.Series:
    values = read_column(column, encoder.name)
    if isinstance(values, pd.Categorical):
        values = values.remove_unused_categories()
        levels = pd.Series(values.categories, dtype=object)
        return levels if len(levels) else pd.Series([None], dtype=object)
    distinct = np.unique(values[~np.isnan(values.astype(float))])
    if not len(distinct):
        raise ValueError(f"column {encoder.name!r} is missing in every row of X: pass a grid")
    if len(distinct) > N_GRID:
        present = values[~np.isnan(values)]
        distinct = np.unique(np.quantile(present, np.linspace(*_INNER, N_GRID)))
    return pd.Series(distinct)


def _read(grid: Any) -> pd.Series:
    values = pd.Series(grid) if isinstance(grid, pd.Categorical) else pd.Series(np.asarray(grid))
    if values.empty:
        raise ValueError("grid is empty: pass at least one value")
    return values


def _check_levels(encoder: CategoryColumn, values: pd.Series) -> None:
    """Refuse levels that the fit did not meet, at which nothing is known."""
    codes = encoder.source(pd.Categorical(values))
    unknown = values[(codes == encoder.n_codes) & values.notna()]
    if len(unknown):
        raise ValueError(
            f"column {encoder.name!r} had no level {str(unknown.iloc[0])!r} in fit: its levels are "
            f"{listed(map(repr, encoder.levels))}"
        )
