"""How similar arms are: in their embeddings, and in what is predicted for them."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from hypercate.fitted import Fitted
from hypercate.inspection.trained import TrainedMembers, fitted_of_arms
from hypercate.train.device import resolve_device

_HEADINGS = (
    "Embeddings of the arms: cosine similarity, mean over members whose arms share",
    "Outcomes of the arms without their mean level: distance in standard deviations",
)
_NUMBER = "{:.2f}".format
_ROUNDING = 1e-6  # of float32 networks, in the unit of the outcome


@dataclass(frozen=True, repr=False, eq=False)
class ArmSimilarity:
    """How similar arms are; `print` shows both tables.

    Attributes
    ----------
    embedding : DataFrame, shape (n_arms, n_arms)
        Cosine similarity of the arms' embeddings, from -1 to 1; NaN if arms share in no member, and
        for arms that were added after the fit, which have no embedding.
    function : DataFrame, shape (n_arms, n_arms)
        Distance between the arms' potential outcomes after their mean level is removed, in standard
        deviations of these outcomes: 0 for arms that differ by a constant, and about 1.4 for arms
        whose outcomes vary equally but are uncorrelated.

    Examples
    --------
    >>> from hypercate.inspection import arm_similarity
    >>> similarity = arm_similarity(est, X)
    >>> similarity.embedding.index.tolist(), similarity.function.shape
    (['control', 'drug'], (2, 2))
    """

    embedding: pd.DataFrame
    function: pd.DataFrame

    def __str__(self) -> str:
        tables = (table.to_string(float_format=_NUMBER) for table in self._tables())
        return "\n\n".join(
            f"{heading}\n{table}" for heading, table in zip(_HEADINGS, tables, strict=True)
        )

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        tables = (table.to_html(float_format=_NUMBER, border=0) for table in self._tables())
        return "\n".join(
            f"<p><b>{html.escape(heading)}</b></p>\n{table}"
            for heading, table in zip(_HEADINGS, tables, strict=True)
        )

    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self.embedding, self.function


def arm_similarity(est: Any, X: Any) -> ArmSimilarity:
    """How similar every pair of arms is, by the generator's embeddings and by the prediction.

    Two arms are near in embedding space if their embeddings, which the generator reads, are
    similar. They are near in function space if their predicted outcomes rise and fall together over
    the rows, for whatever reason. Function space is what matters for effects: the effect of one arm
    against another differs between rows only if the two arms are at a distance. The direction of an
    embedding has no meaning across members, so similarities are averaged, and not embeddings.

    With e_k the embedding of arm k, rescaled to a constant norm as the generator reads it (Ortiz,
    Guttag & Dalca, 2024, "Magnitude invariant parametrizations improve hypernetwork learning"), and
    c_k the outcomes of arm k less their mean over the rows::

        embedding_jk = <e_j, e_k> / (|e_j| |e_k|)
        function_jk = sqrt(mean (c_j - c_k)^2) / sqrt(mean of c^2 over rows and arms)

    The second is the L2 distance of functions over data (Benjamin, Rolnick & Kording, 2019,
    "Measuring and regularizing networks in function space", ICLR), without its constant part.

    Parameters
    ----------
    est : HyperCATE
        Fitted, or loaded from a file. Arms that no row received are compared as well.
    X : DataFrame or array-like, shape (n, n_features)
        At least two rows, over which outcomes are compared. A fitted model does not keep the
        covariates of its training rows, so rows have to be passed.

    Returns
    -------
    ArmSimilarity
        Both tables have the order of ``est.arms_``. Distances in function space are between
        predictions, including emitted networks and a second stage if these are used. For a binary
        outcome they are between probabilities, so that a constant shift of the logit gives a
        distance.

    Raises
    ------
    NotFittedError
        If est is not fitted.
    TypeError, ValueError
        If ``predict_outcomes`` would refuse X, or if X has fewer than two rows.

    Examples
    --------
    >>> from hypercate.inspection import arm_similarity
    >>> similarity = arm_similarity(est, X)
    >>> bool(similarity.function.loc["drug", "control"] > 0)
    True
    """
    fitted = fitted_of_arms(est)
    x = fitted.features.transform(X)
    if len(x) < 2:
        raise ValueError(
            f"X has {len(x)} rows, but comparing how arms' outcomes vary needs at least two"
        )
    outcomes = fitted.outcomes(x, resolve_device(est.device))
    labels = pd.Index(fitted.conditions.labels, name="arm")
    return ArmSimilarity(
        *(
            pd.DataFrame(values, index=labels, columns=labels)
            for values in (
                _embedding_similarity(fitted),
                _function_distance(outcomes, fitted.networks.scale.max()),
            )
        )
    )


def _embedding_similarity(fitted: Fitted) -> np.ndarray:
    """Mean cosine similarity (n_arms, n_arms), NaN where no member's arms share."""
    n_arms = len(fitted.conditions.labels)
    members = TrainedMembers.of(fitted).sharing() if fitted.generators else None
    if members is None or not len(members.member):
        return np.full((n_arms, n_arms), np.nan)
    told = torch.nn.functional.normalize(members.conditioning().double(), dim=-1).numpy()
    cosine = np.einsum("mjd,mkd->jk", told, told) / len(told)
    without = n_arms - len(cosine)
    similarity = ((cosine + cosine.T) / 2).clip(-1, 1)
    return np.pad(similarity, (0, without), constant_values=np.nan)


def _function_distance(outcomes: np.ndarray, unit: float) -> np.ndarray:
    """Distances (n_arms, n_arms) of outcomes (n, n_arms) whose unit is known."""
    centred = outcomes - outcomes.mean(axis=0)
    spread = np.sqrt(np.square(centred).mean())
    if spread <= _ROUNDING * unit:
        return np.zeros((outcomes.shape[1],) * 2)
    return np.stack(
        [np.sqrt(np.square(centred - own[:, None]).mean(axis=0)) / spread for own in centred.T]
    )
