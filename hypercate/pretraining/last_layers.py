"""Every arm's last layer in closed form: a ridge regression whose arms share by their prior.

With features phi(x), coefficients of arm k are those that all arms share plus the arm's own,

    y = phi(x)' (s + d_k) + noise     s_f ~ N(0, 1 / shared_f)     d_kf ~ N(0, 1 / own_f)

in units of the noise's variance: a hierarchical linear model (Lindley & Smith, 1972, "Bayes
estimates for the linear model", JRSS B 34:1-41). An arm of few rows stays at what all share, and
one of many rows goes its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LastLayers:
    """The posterior of the coefficients, in units of the noise's variance.

    Attributes
    ----------
    coef : Tensor, shape (b, n_arms, n_features)
        Posterior mean of every arm's coefficients.
    shared : Tensor, shape (b, n_features)
        Posterior mean of what they share.
    spread : Tensor, shape (b, n_features, n_features)
        Posterior covariance of what they share.
    own_spread : Tensor, shape (b, n_arms, n_features, n_features)
        Of an arm's coefficients, given what they share.
    pull : Tensor, shape (b, n_arms, n_features, n_features)
        What an arm's coefficients are moved by, a unit of what they share each.
    """

    coef: Tensor
    shared: Tensor
    spread: Tensor
    own_spread: Tensor
    pull: Tensor

    def leverage(self, features: Tensor) -> Tensor:
        """Posterior variance of every arm's outcome at rows (b, n, n_features): (b, n, n_arms)."""
        covariance = self.own_spread + self.pull @ self.spread[:, None] @ self.pull.mT
        return ((features[:, None] @ covariance) * features[:, None]).sum(-1).mT

    def effect_variance(self, features: Tensor) -> Tensor:
        """Posterior variance of every arm's effect against the first: (b, n, n_arms - 1)."""
        apart = self.pull[:, 1:] - self.pull[:, :1]
        covariance = (
            self.own_spread[:, 1:]
            + self.own_spread[:, :1]
            + apart @ self.spread[:, None] @ apart.mT
        )
        return ((features[:, None] @ covariance) * features[:, None]).sum(-1).mT.clamp(min=0)

    def draw(self, n_draws: int, generator: torch.Generator) -> Tensor:
        """Coefficients drawn from the posterior, less their mean.

        Returns
        -------
        Tensor, shape (n_draws, b, n_arms, n_features)
        """
        b, n_arms, n_features = self.coef.shape

        def normal(*shape: int) -> Tensor:
            drawn = torch.randn(
                n_draws, *shape, 1,
                generator=generator, device=generator.device, dtype=torch.float32,
            )  # fmt: skip
            return drawn.to(self.coef)

        shared = _root(self.spread) @ normal(b, n_features)
        own = _root(self.own_spread) @ normal(b, n_arms, n_features)
        return (self.pull @ shared[:, :, None] + own).squeeze(-1)


def solve_last_layers(
    features: Tensor, weight: Tensor, y: Tensor, shared: Tensor, own: Tensor
) -> LastLayers:
    """Solve the ridge regression of studies of the same shape.

    Parameters
    ----------
    features : Tensor, shape (b, n, n_features)
    weight : Tensor, shape (b, n, n_arms)
        Of each row in its own arm, 0 in the others.
    y : Tensor, shape (b, n), or (b, n, n_arms)
    shared, own : Tensor, shape (b, n_features)
        Precisions of what arms share and of what they do not, above 0.

    Returns
    -------
    LastLayers
    """
    weighted = (weight[..., None] * features[:, :, None]).permute(0, 2, 3, 1)
    gram = weighted @ features[:, None]
    y = y.mT[..., None] if y.ndim == 3 else y[:, None, :, None]
    moment = (weighted @ y).squeeze(-1)
    own_spread = torch.linalg.inv(gram + torch.diag_embed(own)[:, None])
    pull = own_spread * own[:, None, None]
    within = pull.mT @ gram  # (1 / gram + 1 / own) ** -1, free of cancellation
    precision = torch.diag_embed(shared) + (within + within.mT).sum(1) / 2
    spread = torch.linalg.inv(precision)
    mean = spread @ (pull.mT @ moment[..., None]).sum(1)
    coef = (own_spread @ moment[..., None] + pull @ mean[:, None]).squeeze(-1)
    return LastLayers(coef, mean.squeeze(-1), spread, own_spread, pull)


def _root(covariance: Tensor) -> Tensor:
    """A matrix whose product with its own transpose is the covariance."""
    values, vectors = torch.linalg.eigh((covariance + covariance.mT) / 2)
    return vectors * values.clamp(min=0).sqrt()[..., None, :]
