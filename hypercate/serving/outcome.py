"""What a fitted model predicts of one outcome, folded into few products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hypercate.added.arms import AddedArms
from hypercate.finishing import Finish
from hypercate.fitted import Fitted
from hypercate.nuisance.tree_text import TreeText
from hypercate.serving.forest import Forest
from hypercate.serving.inputs import Inputs, Shifts
from hypercate.serving.nets import Nets, nets_of
from hypercate.updated.correction import Correction

_BLOCK_ELEMENTS = 2**18  # of the widest array of a block of rows


@dataclass(frozen=True, eq=False)
class CompiledOutcome:
    """Potential outcomes of the arms, or of the doses that effects compare.

    Attributes
    ----------
    nets : tuple of Nets
        Whose outputs are added.
    forest : Forest
        The trees of views and of second stages.
    inputs : Inputs
    shifts : Shifts or None
    finish : Finish
    blend : Tensor, shape (1, 1, n_doses, n_splines), or None
        How much each network counts in the outcomes of these doses.
    correction : Correction or None
        What the model learned from further rows.
    added : AddedArms or None
        Arms that it learned afterwards.
    width : int
        Numbers that a row needs at once.
    """

    nets: tuple[Nets, ...]
    forest: Forest
    inputs: Inputs
    shifts: Shifts | None
    finish: Finish
    blend: torch.Tensor | None
    correction: Correction | None
    added: AddedArms | None
    width: int

    @classmethod
    def of(cls, fitted: Fitted) -> CompiledOutcome:
        """From a fitted model: the mean of its members, and nothing of their deviations."""
        networks, n_first = fitted.networks, fitted.features.n_outputs
        blend = None
        if fitted.doses is not None:
            splines = fitted.doses.of_pair(None, None, 1, None)
            blend = torch.as_tensor(splines, dtype=torch.float64, device="cpu")[:, None]
        model = networks.model[: networks.n_members]
        texts: list[TreeText] = []
        inputs = Inputs.of(
            [networks.views[m] for m in model], networks.net.n_inputs - n_first, texts
        )
        stages = [networks.stages[m] for m in model] if networks.stages and blend is None else []
        shifts = Shifts.of(stages, texts)
        forest = Forest.of(texts, int(fitted.features.n_codes.max()) + 1)
        return cls(
            nets_of(networks.net, networks.theta[: len(model)], n_first),
            forest,
            inputs,
            shifts,
            networks.finish(model),
            blend,
            networks.correction,
            fitted.added,
            len(model) * networks.theta.shape[1] * networks.net.width + forest.width,
        )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Outcomes at encoded rows (n, n_first): float64, shape (n, n_arms or n_doses)."""
        n_rows = max(1, _BLOCK_ELEMENTS // self.width)
        blocks = [self._mean(x[start : start + n_rows]) for start in range(0, len(x), n_rows)]
        outcomes = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        if self.added is None:
            return outcomes
        return np.hstack([outcomes, self.added.outcomes(outcomes, x)])

    def _mean(self, x: np.ndarray) -> np.ndarray:
        """Mean over the models, of arms that rows received or a description told of."""
        model = self.finish.model
        sums = self.forest.predict(x) if self.forest.n_models else np.empty((len(x), 0))
        view = self.inputs.at(x, sums, len(model))
        output = torch.from_numpy(sum(nets(x, view) for nets in self.nets))
        if self.blend is not None:
            outcomes = self.finish.blended(output, self.blend)
        else:
            shift = 0.0 if self.shifts is None else self.shifts.at(sums)
            outcomes = self.finish(output, shift)
        of_models = outcomes.numpy()
        if self.correction is not None:
            of_models = self.correction.moved(of_models, model, x)
        return of_models.mean(axis=0).T
