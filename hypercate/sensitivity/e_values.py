"""E-values: how strong an unmeasured confounder must be, as a risk ratio, to explain a ratio."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hypercate.inference.averages import AverageInference


def e_value(inference: AverageInference, alpha: float = 0.05) -> pd.DataFrame:
    """Smallest risk ratio, with treatment and outcome, of a confounder that explains a ratio away.

    Parameters
    ----------
    inference : AverageInference
        Ratios of average outcomes, as ``est.ate_inference(scale="ratio")`` gives them for binary
        outcomes, counts and positive ones.
    alpha : float in (0, 1), default=0.05
        The intervals have level 1 - alpha.

    Returns
    -------
    DataFrame
        With the index of the averages and columns ``ratio, ci_lower, ci_upper``, ``e_value``, the
        E-value of the ratio, and ``e_value_ci``, the E-value of the end of its interval that is
        nearer to 1, which is 1 if the interval contains 1. With r the ratio, or one divided by it
        if it is below 1, the E-value is ``r + sqrt(r (r - 1))`` (VanderWeele & Ding, 2017,
        "Sensitivity analysis in observational research: introducing the E-value", Annals of
        Internal Medicine 167:268-274).

    Raises
    ------
    TypeError
        If inference is something else.
    ValueError
        If it holds differences or odds ratios, or if alpha is not inside (0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from hypercate import HyperCATE
    >>> from hypercate.sensitivity import e_value
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 3))
    >>> arm = rng.integers(2, size=300)
    >>> y = (rng.random(300) < 0.3 + 0.3 * arm).astype(int)
    >>> est = HyperCATE(effort="instant", random_state=0).fit(X, y, arm)
    >>> bool(e_value(est.ate_inference(scale="ratio"))["e_value"].iloc[0] > 2)
    True
    """
    if not isinstance(inference, AverageInference):
        raise TypeError(
            f"inference is a {type(inference).__name__}: pass est.ate_inference(scale='ratio')"
        )
    if inference.scale.name != "ratio":
        raise ValueError(
            f"an E-value needs a ratio, but these averages have scale={inference.scale.name!r}: "
            "pass est.ate_inference(scale='ratio'), or use sensitivity(est) for differences"
        )
    lower, upper = inference.interval(alpha)
    ratio = inference.point_estimate
    nearer = np.where(ratio >= 1, np.maximum(lower, 1.0), np.minimum(upper, 1.0))
    columns = {
        "ratio": ratio,
        "ci_lower": lower,
        "ci_upper": upper,
        "e_value": _of(ratio),
        "e_value_ci": _of(nearer),
    }
    return pd.DataFrame(columns, index=inference.index)


def _of(ratio: np.ndarray) -> np.ndarray:
    above = np.where(ratio >= 1, ratio, 1 / ratio)
    return above + np.sqrt(above * (above - 1))
