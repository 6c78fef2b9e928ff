"""What networks read beside the covariates, and what second stages add: of all models at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hypercate.nuisance.boosted import BoostedView
from hypercate.nuisance.levels import LevelMeans
from hypercate.nuisance.tree_text import TreeText
from hypercate.nuisance.views import JointView, View
from hypercate.second_stage import SecondStage, mean_by_share


@dataclass(frozen=True, eq=False)
class Levels:
    """Means of the levels of one input, by each of m models.

    Attributes
    ----------
    input : int
        The encoded covariate.
    place : slice
        Of the view.
    means : ndarray of float32, shape (m, n_codes + 1, n_conditions)
    """

    input: int
    place: slice
    means: np.ndarray


@dataclass(frozen=True, eq=False)
class Inputs:
    """The views of m models.

    Attributes
    ----------
    n_last : int
        Inputs of a view.
    levels : tuple of Levels
    model, place, trees : ndarray of int64, shape (b,)
        Models and places of inputs that are predictions of trees, and which of the forest's models
        these are.
    location, scale : ndarray of float64, shape (b,)
        ``(sum of the trees - location) / scale`` is the input.
    """

    n_last: int
    levels: tuple[Levels, ...]
    model: np.ndarray
    place: np.ndarray
    trees: np.ndarray
    location: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, views: list[View | JointView], n_last: int, texts: list[TreeText]) -> Inputs:
        """From the models' views, whose trees are put at the end of some texts."""
        each = [view.each if isinstance(view, JointView) else (view,) for view in views]
        of_levels = [
            [own.levels for own in own_views if own.levels is not None] for own_views in each
        ]
        levels, start = _levels(of_levels)
        boosted: list[tuple[int, int, int, float, float]] = []
        for m, own_views in enumerate(each):
            place = start
            for view in own_views:
                for text, unit in _standardised(view.boosted):
                    boosted.append((m, place, len(texts), *unit))
                    texts.append(text)
                    place += 1
        where = np.array([own[:3] for own in boosted], dtype=np.int64).reshape(-1, 3)
        units = np.array([own[3:] for own in boosted], dtype=np.float64).reshape(-1, 2)
        return cls(n_last, levels, where[:, 0], where[:, 1], where[:, 2], units[:, 0], units[:, 1])

    def at(self, x: np.ndarray, sums: np.ndarray, n_models: int) -> np.ndarray | None:
        """Views (m, n, n_last) at encoded rows where trees have some sums (n, g); None of none."""
        if not self.levels and not len(self.trees):
            return None
        view = np.zeros((n_models, len(x), self.n_last), dtype=np.float32)
        for own in self.levels:
            view[..., own.place] = own.means[:, x[:, own.input].astype(np.int64)]
        standard = (sums[:, self.trees] - self.location) / self.scale
        view[self.model, :, self.place] = standard.T
        return view


def _levels(of_models: list[list[LevelMeans]]) -> tuple[tuple[Levels, ...], int]:
    """Tables of all models, and where they end."""
    levels, start = [], 0
    for of_outcome in zip(*of_models, strict=True):
        for j, encoded in enumerate(of_outcome[0].inputs.tolist()):
            means = np.stack([own.means[j] for own in of_outcome]).astype(np.float32)
            place = slice(start, start + means.shape[2])
            levels.append(Levels(encoded, place, means))
            start = place.stop
    return tuple(levels), start


def _standardised(boosted: BoostedView | None) -> list[tuple[TreeText, tuple[float, float]]]:
    """Texts of the trees of a view, each with its location and scale."""
    if boosted is None:
        return []
    trees = boosted.trees
    location = (boosted.location - trees.location) / trees.scale
    scale = boosted.scale / trees.scale
    return list(zip(trees.models, zip(location.tolist(), scale.tolist(), strict=True), strict=True))


@dataclass(frozen=True, eq=False)
class Shifts:
    """What the second stages of m models add to the outcomes.

    Attributes
    ----------
    share : ndarray of float64, shape (m, n_arms)
    level : ndarray of float64, shape (m, n_arms)
        Effects that are the same for all rows.
    coef : ndarray of float64, shape (g, m * n_arms)
        Weights of sums of trees in the effects.
    """

    share: np.ndarray
    level: np.ndarray
    coef: np.ndarray

    @classmethod
    def of(cls, stages: list[SecondStage], texts: list[TreeText]) -> Shifts | None:
        """From the models' stages, whose trees are put at the end of some texts."""
        if not any(stage.parts for stage in stages):
            return None
        share = np.array([stage.share for stage in stages])
        level, columns = np.zeros(share.shape), []
        for m, stage in enumerate(stages):
            for part in stage.parts:
                level[m, : len(part.level)] += part.factor * part.level
                for k, text in enumerate(part.models):
                    if text:
                        columns.append((len(texts), m * share.shape[1] + k, part.factor))
                        texts.append(text)
        coef = np.zeros((len(texts), share.size))
        for trees, column, factor in columns:
            coef[trees, column] = factor
        return cls(share, level, coef)

    def at(self, sums: np.ndarray) -> np.ndarray:
        """What is added where trees have some sums (n, g): float64, shape (m, n_arms, n)."""
        of_trees = (sums @ self.coef).T.reshape(*self.share.shape, len(sums))
        effects = self.level[..., None] + of_trees
        share = self.share[..., None]
        return np.where(share > 0, effects - mean_by_share(effects, share), 0.0)
