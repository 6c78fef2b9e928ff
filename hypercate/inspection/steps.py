"""Networks between two arms, generated from points between their embeddings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from hypercate.inspection.trained import TrainedMembers, fitted_of_arms
from hypercate.train.device import resolve_device


def along_step(est: Any, X: Any, T0: Any, T1: Any, n_steps: int = 11) -> pd.DataFrame:
    """Mean outcomes along the straight line from one arm's embedding to another's.

    With e_0 and e_1 the inputs of the generator for the two arms, it generates a network at every
    step s from

        e(s) = (1 - s) e_0 + s e_1, rescaled to the norm that all embeddings have

    If the generator has learned what arms have in common, the outcomes move smoothly from one arm
    to the other; if it has memorised each arm, they jump, or leave the range between the two. The
    straight line is that of Goodfellow, Vinyals & Saxe (2015, "Qualitatively characterizing neural
    network optimization problems", ICLR), here between embeddings instead of weights. A point
    between two labels is not a treatment; it represents one only if arms are described
    (``fit(..., arm_features=)``).

    Parameters
    ----------
    est : HyperCATE
        Fitted, or loaded from a file.
    X : DataFrame or array-like, shape (n, n_features)
        At least one row, over which outcomes are averaged.
    T0, T1 : label
        The arms at the start and the end of the line; they may be arms that no row received.
    n_steps : int, default=11
        Number of steps, at least two, including both ends.

    Returns
    -------
    DataFrame, shape (n_steps, 3)
        ``step`` from 0 (T0) to 1 (T1); ``outcome``, its mean over rows and members, in units of y
        or as a probability; ``sd``, the standard deviation of the members' mean outcomes at this
        step, NaN if there is only one member. Only the trained networks of the arms are used, in
        those members whose arms share a generator, without emitted networks, a second stage,
        networks of effects or what `partial_fit` learned: the two ends differ from
        ``predict_outcomes`` if the prediction uses any of these.

    Raises
    ------
    NotFittedError
        If est is not fitted.
    TypeError, ValueError
        If ``predict_outcomes`` would refuse X or X has no rows, if T0 or T1 is not an arm or was
        added after the fit, if both are the same, if n_steps is not a whole number of at least 2,
        if nothing was trained, or if arms share a generator in no member.

    Examples
    --------
    >>> from hypercate.inspection import along_step
    >>> along_step(est, X, "control", "drug", n_steps=3)["step"].tolist()
    [0.0, 0.5, 1.0]
    """
    fitted = fitted_of_arms(est)
    ends = [fitted.conditions.position(T0, "T0"), fitted.conditions.position(T1, "T1")]
    if ends[0] == ends[1]:
        raise ValueError(f"T0 and T1 are the same arm, {T0!r}: there is no step between them")
    whole = isinstance(n_steps, int | np.integer) and not isinstance(n_steps, bool)
    if not whole or n_steps < 2:
        raise ValueError(f"n_steps={n_steps!r} must be a whole number of at least 2")
    x = fitted.features.transform(X)
    if not len(x):
        raise ValueError("X has no rows over which outcomes could be averaged")
    members = TrainedMembers.of(fitted).sharing()
    for label, end in zip((T0, T1), ends, strict=True):
        if end >= members.hypernet.n_arms:
            raise ValueError(
                f"arm {label!r} was added after the fit and has no embedding, so that no step "
                "leads to it"
            )
    if not len(members.member):
        raise ValueError(
            "no member's arms share a generator (they are independent, est.sharing_, or the model "
            'has generation="none"), so nothing lies between two arms'
        )
    step = np.linspace(0, 1, int(n_steps))
    networks = fitted.networks
    between = replace(
        networks,
        net=members.hypernet.net.of(members.hypernet.output),
        theta=_generated_between(members, ends, step),
        model=np.arange(len(members.member)),
        location=networks.location[members.member],
        scale=networks.scale[members.member],
        views=tuple(networks.views[m] for m in members.member),
        stages=(),
        effects=None,
        n_members=len(members.member),
        correction=None,
    )
    outcome = pd.DataFrame(between.by_model(x, resolve_device(est.device)).mean(axis=1))
    return pd.DataFrame({"step": step, "outcome": outcome.mean(), "sd": outcome.std()})


@torch.no_grad()
def _generated_between(members: TrainedMembers, ends: list[int], step: np.ndarray) -> np.ndarray:
    """Weights (m, n_steps, n_weights) of networks on the way between two arms."""
    start, end = (members.conditioning()[:, [arm]] for arm in ends)
    share = torch.tensor(step[:, None], dtype=torch.float32, device="cpu")
    told = (1 - share) * start + share * end
    hypernet = replace(members.hypernet, n_arms=len(step), arm_codes=(), n_context=0)
    return hypernet.generate({**members.params, "arms": told}, members.buffers).numpy()
