"""In which layers the arms' networks differ."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hypercate.inspection.trained import TrainedMembers, fitted_of_arms


def layer_departures(est: Any) -> pd.DataFrame:
    """How far each arm's weights depart from the mean of all arms' weights, layer by layer.

    With theta_k the weights and biases of a layer of arm k, and m their mean over the arms::

        departure_k = |theta_k - m| / |m|

    in the Euclidean norm, averaged over the members whose mean is the prediction. Zhang, Bengio &
    Singer (2022, "Are all layers created equal?", JMLR 23) advise to compare the layers of a
    network rather than all its weights at once. How far arms may depart in a layer is set by the
    degree of sharing, ``est.sharing_``: arms that differ by a constant depart only in the last
    layer, and independent arms depart by more than their mean in every layer.

    Parameters
    ----------
    est : HyperCATE
        Fitted, or loaded from a file.

    Returns
    -------
    DataFrame, shape (n_arms, n_layers)
        Rows are the arms in the order of ``est.arms_``, including those that are only described,
        but not those that were added after the fit, which have no networks. Columns are the layers
        from 1, the first, to the output layer. A value is 0 if arms do not depart, or if all
        weights of a layer are 0, and infinite if arms depart from a mean of 0. It refers to the
        trained networks of the arms, not to networks of effects, emitted networks or trees.

    Raises
    ------
    NotFittedError
        If est is not fitted.
    ValueError
        If nothing was trained (``effort="instant"``).

    Examples
    --------
    >>> from hypercate.inspection import layer_departures
    >>> layer_departures(est).index.tolist()
    ['control', 'drug']
    """
    fitted = fitted_of_arms(est)
    members = TrainedMembers.of(fitted)
    theta = members.theta().double()
    mean = theta.mean(dim=1, keepdim=True)
    table = {}
    for number, layer in enumerate(
        members.hypernet.net.of(members.hypernet.output).layers, start=1
    ):
        own = slice(layer.start, layer.stop)
        departure = (theta - mean)[..., own].norm(dim=-1)
        relative = departure / mean[..., own].norm(dim=-1)
        table[number] = relative.where(departure > 0, 0.0).mean(dim=0).numpy()
    labels = fitted.conditions.labels[: members.hypernet.n_arms]
    frame = pd.DataFrame(table, index=pd.Index(labels, name="arm"))
    return frame.rename_axis(columns="layer")
