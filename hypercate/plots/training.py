"""A plot of the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from hypercate.log_axis import label_decimals
from hypercate.plots.style import colour_of, new_axes, title_and_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOSSES = {
    "continuous": "squared error (standardised outcome)",
    "binary": "cross-entropy",
    "count": "Poisson deviance",
    "positive": "gamma deviance",
    "time": "squared error (standardised pseudo-outcome)",
    "survival": "squared error (standardised pseudo-outcome)",
}


def plot_history(estimator: Any, *, ax: Axes | None = None) -> Axes:
    """Loss of each member's network during training, and the epoch whose weights it kept.

    Parameters
    ----------
    estimator : HyperCATE
        Fitted.
    ax : Axes, optional

    Returns
    -------
    Axes
        With two lines per member, the loss on the rows that it trains on and on its validation
        rows, and a dot at the minimum of the latter.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If it was fitted without training, or has several outcomes.

    Examples
    --------
    >>> from hypercate.plots import plot_history
    >>> plot_history(est).get_xlabel()
    'epoch'
    """
    check_is_fitted(estimator, "history_")
    history = estimator.history_
    if "outcome" in history.index.names:
        raise ValueError(
            "the networks of several outcomes were trained together: draw the history of one, "
            f"which is that of all, by plot_history(est.of({estimator.outcomes_[0]!r}))"
        )
    if history.empty:
        raise ValueError("this fit trained no networks, so there is no history to draw")
    ax = new_axes(ax)
    for place, (member, epochs) in enumerate(history.groupby("member")):
        colour = colour_of(ax, place)
        best = epochs.loc[epochs["validation_loss"].idxmin()]
        ax.plot(epochs["epoch"], epochs["train_loss"], color=colour, lw=0.9, ls=":")
        ax.plot(
            epochs["epoch"],
            epochs["validation_loss"],
            color=colour,
            lw=1.4,
            label=f"member {member}",
        )
        ax.plot(best["epoch"], best["validation_loss"], "o", color=colour, ms=5)
    ax.set(xlabel="epoch", ylabel=_LOSSES[estimator.outcome_], yscale="log")
    label_decimals(ax.yaxis)
    title_and_legend(ax, "Loss: training (dotted), validation (solid), its lowest (dot)")
    return ax
