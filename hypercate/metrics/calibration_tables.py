"""Predicted effects against estimates from scores, as a table that prints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from hypercate.inference.effects import check_alpha
from hypercate.metrics.scores import ScoreInference

_TITLES = (
    "Calibration error, with its interval at 0.95",
    "Predicted effects and estimates by the scores, with intervals at 0.95",
)
_NUMBER = "{:.4g}".format


@dataclass(frozen=True, repr=False, eq=False)
class CalibrationTable:
    """Predicted effects against estimates from scores, in bins; `print` shows it.

    Attributes
    ----------
    bins : DataFrame
        ``arm``, ``bin``, ``rows``, the mean ``predicted`` effect, the ``estimate`` of the effect
        by the scores, and the ``stderr`` of this estimate.
    errors : DataFrame, indexed by arm
        ``error``: the calibration error, without the part that chance adds; ``squared``: its
        square, which can be below 0; and ``squared_stderr``: the standard error of the square.
    line : ScoreInference
        Best linear predictor of the effect by the predicted effect: the ``mean effect`` where the
        prediction is at its mean, and the ``slope``, which is 1 if predictions are calibrated, and
        0 if they say nothing about who gains more.

    Examples
    --------
    >>> from hypercate.metrics import calibration_table
    >>> table = calibration_table([2.0, 2.0, 0.0, 0.0], [1.0, 2.0, 0.0, 1.0], n_bins=2)
    >>> table.summary_frame()["estimate"].tolist()
    [0.5, 1.5]
    >>> table.interval()["ci_lower"].tolist()
    [0.0]
    """

    bins: pd.DataFrame
    errors: pd.DataFrame
    line: ScoreInference

    def interval(self, alpha: float = 0.05) -> pd.DataFrame:
        """Interval of level 1 - alpha of the calibration error: the root of that of its square."""
        check_alpha(alpha)
        half = stats.norm.isf(alpha / 2) * self.errors["squared_stderr"]
        squared = self.errors["squared"]
        return pd.DataFrame(
            {
                "ci_lower": np.sqrt(np.maximum(squared - half, 0)),
                "ci_upper": np.sqrt(np.maximum(squared + half, 0)),
            }
        )

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """The bins, with intervals of level 1 - alpha for their estimates."""
        check_alpha(alpha)
        half = stats.norm.isf(alpha / 2) * self.bins["stderr"]
        return self.bins.assign(
            ci_lower=self.bins["estimate"] - half, ci_upper=self.bins["estimate"] + half
        )

    def _errors(self) -> pd.DataFrame:
        return self.errors[["error"]].join(self.interval())

    def __str__(self) -> str:
        return "\n\n".join(
            [
                f"{_TITLES[0]}\n{self._errors().to_string(float_format=_NUMBER)}",
                f"{_TITLES[1]}\n"
                + self.summary_frame().to_string(index=False, float_format=_NUMBER),
                str(self.line),
            ]
        )

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        errors = self._errors().to_html(float_format=_NUMBER, border=0)
        bins = self.summary_frame().to_html(index=False, float_format=_NUMBER, border=0)
        titles = [f"<p><b>{title}</b></p>" for title in _TITLES]
        return "\n".join([titles[0], errors, titles[1], bins, self.line._repr_html_()])
