"""The value of a policy, which is a rule for who gets which arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hypercate.encoding.checks import as_labels, as_vector, check_rows, codes_of
from hypercate.encoding.conditions import read_arms
from hypercate.encoding.frames import as_pandas
from hypercate.metrics.costs import read_costs
from hypercate.metrics.scores import Scored, ScoreInference, position_of, read_scores


def policy_value(
    policy: Any,
    scores: Any,
    *,
    baseline: Any = None,
    costs: Any = None,
    sample_weight: Any = None,
    groups: Any = None,
) -> ScoreInference:
    """Mean outcome if everyone got the arm that a policy chooses, minus its costs, by AIPW.

    It is the mean of the scores of the chosen arms (Dudik, Langford & Li, 2011, "Doubly robust
    policy evaluation and learning", ICML; Athey & Wager, 2021, "Policy learning with observational
    data", Econometrica 89:133-161). The policy must not have been chosen on these rows, or its
    value is too high: choose it on other rows, or pass for each row the choice of a policy that did
    not see the row.

    Parameters
    ----------
    policy : array-like, shape (n,); frame or dict of several of these
        Label of the arm that each row is to get. A single label means that arm for everyone.
    scores : DataFrame or array-like, shape (n, K)
        Doubly robust scores of every arm, such as from `aipw_scores` or
        ``HyperCATE.scores_frame``. The arms of an array are labelled 0 to K - 1.
    baseline : label or array-like, shape (n,), optional
        A policy to compare with: values are then gains over this baseline.
    costs : dict, Series, array-like or frame, optional
        Costs of each arm, or of each row and arm, in units of the outcome: see
        `hypercate.policy.best_arm`.
    sample_weight : array-like, shape (n,), optional
        Weights of a sampling design; rows of weight 0 need no scores.
    groups : array-like, shape (n,), optional
        Clusters; standard errors then treat rows of a cluster as dependent.

    Returns
    -------
    ScoreInference
        One row per policy.

    Raises
    ------
    TypeError, ValueError
        If the data cannot be used, such as a policy whose label is not one of the arms; the message
        names the argument, arm or row.

    Examples
    --------
    >>> from hypercate.metrics import aipw_scores, policy_value
    >>> scores = aipw_scores([1, 0, 3, 2], ["b", "a", "b", "a"])
    >>> policy_value(["b", "a", "b", "b"], scores, baseline="a").point_estimate.tolist()
    [0.25]
    """
    policies = _policies(policy)
    columns = {name: values for name, values in policies.items() if _is_column(values)}
    named = {str(name): values for name, values in columns.items()}
    if _is_column(baseline):
        named["baseline"] = baseline
    rows, _, _ = read_scores(scores, None, sample_weight, groups, **_apart(named))
    if len(rows.arms) == 1:
        raise ValueError(
            "scores has one value per row: the value of a policy needs a column for each arm, also "
            "for control"
        )
    net = rows.values
    if costs is not None:
        net = net - read_costs(costs, rows.arms, len(rows.used))[rows.used]
    worth = np.column_stack(
        [_advised(values, rows, net, name) for name, values in policies.items()]
    )
    title = "Value of a policy"
    if baseline is not None:
        worth = worth - _advised(baseline, rows, net, "baseline")[:, None]
        title = "What a policy gains over the baseline"
    mean = rows.mean(worth)
    stderr, dof = rows.spread(worth - mean)
    return ScoreInference(
        mean,
        stderr,
        np.full(len(mean), dof),
        pd.Index(list(policies), name="policy"),
        title + ("" if costs is None else ", less costs"),
        len(worth),
    )


def _policies(policy: Any) -> dict[Any, Any]:
    """Policies by name."""
    if isinstance(policy, Mapping):
        return dict(policy)
    policy = as_pandas(policy, "policy")
    if isinstance(policy, pd.DataFrame):
        return {name: policy[name] for name in policy.columns}
    if not _is_column(policy):
        return {f"everyone {policy}": policy}
    name = policy.name if isinstance(policy, pd.Series) and policy.name is not None else "policy"
    return {name: policy}


def _is_column(values: Any) -> bool:
    return values is not None and not np.isscalar(values) and np.ndim(values) > 0


def _apart(named: dict[str, Any]) -> dict[str, Any]:
    """Names of policies as messages call them, apart from names of arguments."""
    return {f"policy {name!r}" if name != "baseline" else name: v for name, v in named.items()}


def _advised(policy: Any, rows: Scored, net: np.ndarray, name: Any) -> np.ndarray:
    """Score of the arm that each row is to get."""
    if not _is_column(policy):
        return net[:, position_of(policy, rows.arms, "the policy")]
    check_rows(len(rows.used), None, "scores", **{f"policy {name!r}": policy})
    vector = as_vector(policy, "policy")
    labels = as_labels(vector, "policy")
    labels = read_arms(labels, "policy") if labels.dtype.kind == "f" else labels
    code = codes_of(labels, {arm: k for k, arm in enumerate(rows.arms)}, "policy", "the arms")
    return net[np.arange(len(net)), code[rows.used]]
