"""Average effects of groups of rows, training rows or others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hypercate.answers.averages import Averages
from hypercate.encoding import as_pandas, check_rows, index_of
from hypercate.encoding.checks import as_series
from hypercate.encoding.fingerprints import combined, fingerprints
from hypercate.evidence import Evidence
from hypercate.inference import averages
from hypercate.inference.averages import AverageInference
from hypercate.outcomes.reading import read_outcome


class GroupAverages(Averages):
    """Averages within groups (GATE)."""

    def gate(
        self, groups: Any, X: Any = None, y: Any = None, treatment: Any = None, *, T0: Any = None
    ) -> pd.Series:
        """Average effect in each group of rows.

        Parameters
        ----------
        groups : array-like, shape (n,) or (n, n_columns)
            Label of each row of the frame that was fitted, or of X; with several columns, each
            combination of labels is a group.
        X : DataFrame or array-like, shape (n, n_features), optional
            Rows that were not in the fit, with their outcomes and arms. Averages are then over
            these rows, by the outcomes and propensities of the model, which did not see them.
        y, treatment : array-like, shape (n,), optional
            Outcome and arm of each row of X; required with X.
        T0 : label, optional
            The arm compared with; control by default.

        Returns
        -------
        Series
            Indexed by group; with several other arms, by group and arm.

        Examples
        --------
        >>> effect = est.gate(X["site"])
        >>> effect.index.tolist(), bool(effect["north"] > effect["south"])
        (['north', 'south'], True)
        """
        inference = self.gate_inference(groups, X, y, treatment, T0=T0)
        return pd.Series(inference.point_estimate, inference.index, name="effect")

    def gate_interval(
        self,
        groups: Any,
        X: Any = None,
        y: Any = None,
        treatment: Any = None,
        *,
        T0: Any = None,
        alpha: float = 0.05,
    ) -> tuple[pd.Series, pd.Series]:
        """Confidence intervals of `gate`.

        Parameters
        ----------
        groups, X, y, treatment, T0
            As in `gate`.
        alpha : float in (0, 1), default=0.05

        Returns
        -------
        lower, upper : Series

        Examples
        --------
        >>> lower, upper = est.gate_interval(X["site"])
        >>> bool(lower["north"] > upper["south"])
        True
        """
        inference = self.gate_inference(groups, X, y, treatment, T0=T0)
        lower, upper = inference.interval(alpha)
        return (
            pd.Series(lower, inference.index, name="lower"),
            pd.Series(upper, inference.index, name="upper"),
        )

    def gate_inference(
        self, groups: Any, X: Any = None, y: Any = None, treatment: Any = None, *, T0: Any = None
    ) -> AverageInference:
        """Average effects of groups with standard errors, by cross-fitted AIPW.

        Parameters
        ----------
        groups, X, y, treatment, T0
            As in `gate`.

        Returns
        -------
        AverageInference

        Raises
        ------
        ValueError
            If a label is missing, if a group has fewer than two rows of an arm, if groups is a
            Series or frame that has the index labels of the rows in another order, or if X holds
            training rows.

        Examples
        --------
        >>> old = X["age"].gt(50).rename("old")
        >>> est.gate_inference(pd.concat([X["site"], old], axis=1)).summary_frame().index.tolist()
        ['north, False', 'north, True', 'south, False', 'south, True']
        """
        control = self._control_received(T0)
        if X is None:
            if y is not None or treatment is not None:
                raise TypeError("y and treatment are of the rows of X, so X is needed too")
            evidence = self._evidence()
            check_rows(len(evidence.used), evidence.index_hash, groups=groups)
        else:
            evidence = self._evidence_of_others(X, y, treatment)
            check_rows(len(evidence.used), index_of(X), groups=groups)
        labels = crossed(groups)[evidence.used]
        found = averages.group_effects(evidence, labels, control, self._received)
        return self._noted(found, evidence) if X is None else found

    def _evidence_of_others(
        self, X: Any, y: Any, treatment: Any, call: str = "gate(groups, X, y, treatment)"
    ) -> Evidence:
        """Of rows that were not fitted, which all models judge."""
        if y is None or treatment is None:
            raise TypeError(f"y and treatment of the rows of X are needed too: {call}")
        x, fitted = self._encode(X), self.fitted_
        check_rows(len(x), index_of(X), y=y, treatment=treatment)
        arm = fitted.conditions.positions_received(treatment, call)
        mark = fingerprints(x)
        marks = np.column_stack([mark, combined([mark, arm])])
        if (
            fitted.evidence is not None
            and fitted.evidence.times_among(marks[:, 1], with_arm=True) is not None
        ):
            raise ValueError(
                "these rows are among those that the model was fitted to: averages by models that "
                "did not see the row are those without X, y and treatment"
            )
        rows = np.arange(len(x))
        return Evidence(
            arm=arm,
            y=fitted.family.encode(read_outcome(y)),
            weight=np.ones(len(x)),
            cluster=rows,
            propensity=fitted.propensities(x),
            row=rows,
            model=np.zeros(len(x), dtype=np.int64),
            outcomes=self._outcomes_of_all_models(x),
            used=np.ones(len(x), dtype=bool),
            fingerprint=marks,
        )


def crossed(groups: Any) -> pd.Series:
    """Labels of groups: those of one column as they are, of several columns their combinations."""
    frame = as_pandas(groups, "groups")
    if isinstance(frame, np.ndarray) and frame.ndim == 2:
        frame = pd.DataFrame(frame)
    if not isinstance(frame, pd.DataFrame) or frame.shape[1] == 1:
        column = frame.iloc[:, 0] if isinstance(frame, pd.DataFrame) else frame
        return as_series(column, "groups").reset_index(drop=True)
    frame = frame.reset_index(drop=True)
    missing = frame.isna()
    if missing.any(axis=None):
        column = missing.any().idxmax()
        raise ValueError(
            f"groups column {column!r} has {missing[column].sum()} missing labels, the first at "
            f"row {missing[column].to_numpy().argmax()}: give those rows their own group"
        )
    by = frame.groupby(list(frame.columns), sort=True, observed=True)
    names = [", ".join(map(str, key)) for key in by.groups]
    codes = by.ngroup().to_numpy()
    return pd.Series(
        pd.Categorical.from_codes(codes, names, ordered=True),
        name=", ".join(map(str, frame.columns)),
    )
