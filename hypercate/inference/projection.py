"""Best linear projection: doubly robust scores of the effect, regressed on covariates.

Its coefficients show how the effect varies with the covariates, whatever its true form (Semenova &
Chernozhukov, 2021, "Debiased machine learning of conditional average treatment effects and other
causal functions", Econometrics Journal 24:264-289; as in R's grf). Variances are those of the
leave-one-cluster-out jackknife, in closed form (HC3 where a row is a cluster of its own: MacKinnon
& White, 1985, Journal of Econometrics 29:305-325; CR3: Bell & McCaffrey, 2002, Survey Methodology
28:169-181).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hypercate.evidence import Evidence
from hypercate.inference.averages import AverageInference
from hypercate.inference.groups import difference, other_arms, scores_of

_TITLE = "Best linear projection of the effect"


def best_linear_projection(
    fit: Evidence, design: pd.DataFrame, control: int = 0, arms: Sequence[Any] | None = None
) -> AverageInference:
    """Coefficients of the effect of every other arm against `control`.

    Parameters
    ----------
    fit : Evidence
    design : DataFrame of float64, shape (n, p)
        Covariates, a constant among them.
    control, arms
        As in `hypercate.inference.averages.average_effect`.

    Returns
    -------
    AverageInference
        A row for each term; with several other arms for each arm and term.

    Raises
    ------
    ValueError
        If there are fewer clusters than terms, or a term is a combination of others.
    """
    n_clusters = int(fit.cluster.max()) + 1
    root = np.sqrt(fit.weight)[:, None]
    q, r = np.linalg.qr(root * design.to_numpy())
    _check_rank(design, r, n_clusters)
    scores = root * difference(scores_of(fit), control)
    coef = np.linalg.solve(r, q.T @ scores)
    left = scores - q @ (q.T @ scores)
    influence = np.linalg.solve(r, _left_out(q, left, fit.cluster).reshape(len(r), -1))
    variance = np.square(influence.reshape(*coef.shape, n_clusters)).sum(axis=2)
    index = pd.Index(design.columns, name="term")
    others = other_arms(fit, control, arms)
    if len(others) > 1:
        index = pd.MultiIndex.from_product([others, index])
    return AverageInference(
        coef.T.ravel(),
        np.sqrt(variance).T.ravel(),
        np.full(coef.size, float(n_clusters - len(r))),
        index,
        _TITLE,
        len(fit.y),
    )


def _left_out(q: np.ndarray, left: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """``Q_g' (I - Q_g Q_g')^-1 e_g`` of every cluster: (p, n_effects, n_clusters)."""
    n_clusters = int(cluster.max()) + 1
    if n_clusters == len(cluster):
        fitted = np.square(q).sum(axis=1, keepdims=True)
        each = np.empty((q.shape[1], left.shape[1], n_clusters))
        each[:, :, cluster] = np.einsum("np,nk->pkn", q, left / np.maximum(1 - fitted, 1e-12))
        return each
    gram = np.zeros((n_clusters, q.shape[1], q.shape[1]))
    np.add.at(gram, cluster, q[:, :, None] * q[:, None, :])
    moment = np.zeros((n_clusters, q.shape[1], left.shape[1]))
    np.add.at(moment, cluster, q[:, :, None] * left[:, None, :])
    # Q'(I - Q Q')^-1 = (I - Q'Q)^-1 Q', so that only p x p matrices are inverted
    apart = (1 + 1e-12) * np.eye(q.shape[1]) - gram
    return np.linalg.solve(apart, moment).transpose(1, 2, 0)


def _check_rank(design: pd.DataFrame, r: np.ndarray, n_clusters: int) -> None:
    if n_clusters <= design.shape[1]:
        raise ValueError(
            f"{design.shape[1]} terms need more rows or clusters than this, not {n_clusters}"
        )
    size = np.linalg.norm(r, axis=0)
    alike = np.abs(np.diag(r)) <= 1e-10 * np.maximum(size, 1e-300)
    if alike.any():
        raise ValueError(
            f"covariate {design.columns[int(alike.argmax())]!r} is constant, or a combination of "
            "those before it: leave it out"
        )
