"""The pre-trained generator: it reads a study and emits the networks of all its arms.

A network has one hidden layer, which the arms of a study share, and a last layer of each arm's own,
which also reads the covariates themselves. The generator emits the hidden layer, and how strongly
each last-layer coefficient is held to zero and to the other arms' (`last_layers`); the coefficients
follow in closed form. It does so in several rounds: each reads how the networks emitted so far miss
rows that their last layers were not fitted on, and moves the hidden layer.

The order of rows, columns and arms does not matter: columns and arms are read by shared networks,
pooled by means and maxima, and columns exchange messages along their correlations and interactions.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hypercate.pretraining.emitted import (
    N_ROUND_COLUMN,
    N_ROUND_STUDY,
    N_ROUND_UNIT,
    Emitted,
    solve,
)
from hypercate.pretraining.summaries import (
    N_ARM,
    N_COLUMN,
    N_PAIR,
    N_POOLED,
    N_STUDY,
    Summaries,
    summarise,
)

_N_CODES = 128  # random directions of columns, dealt by what a column looks like
_N_GROUPS = 4  # of units, each with column scales of its own
_MESSAGE = 16
_PROJECTED = 12


class Emitter(nn.Module):
    """From the rows of a study to its arms' networks.

    Parameters
    ----------
    width : int
        Of the layers that read.
    n_units : int
        Hidden units of an emitted network.
    n_rounds : int
    """

    codes: Tensor

    def __init__(self, width: int = 64, n_units: int = 64, n_rounds: int = 3) -> None:
        super().__init__()
        self.shape = {"width": width, "n_units": n_units, "n_rounds": n_rounds}
        self.arm_column = _mlp(N_COLUMN + N_ARM, width)
        self.arm = _mlp(N_ARM, width)
        self.column = _mlp(2 * width + N_POOLED, width)
        self.study = _mlp(4 * width + N_STUDY, width)
        self.values = nn.ModuleList(nn.Linear(width, N_PAIR * _MESSAGE) for _ in range(2))
        self.exchange = nn.ModuleList(_mlp(2 * width + N_PAIR * _MESSAGE, width) for _ in range(2))
        self.relevance = nn.Linear(width, _N_GROUPS)
        self.direction = nn.Linear(width, n_units)
        self.unit = nn.Parameter(torch.randn(n_units, _PROJECTED))
        self.bias = nn.Parameter(torch.randn(n_units))
        self.column_precision = nn.Linear(width, 2)
        self.level_precision = nn.Linear(width, 1)
        self.to_unit = nn.ModuleList(nn.Linear(width, _PROJECTED) for _ in range(n_rounds))
        self.of_unit = nn.ModuleList(
            _mlp(2 * _PROJECTED + N_ROUND_UNIT * (i > 0), 32, 3) for i in range(n_rounds)
        )
        later = range(n_rounds - 1)
        self.next_study = nn.ModuleList(_mlp(width + N_ROUND_STUDY, width) for _ in later)
        self.next_column = nn.ModuleList(_mlp(2 * width + N_ROUND_COLUMN, width) for _ in later)
        self.move_column = nn.ModuleList(nn.Linear(width, _PROJECTED) for _ in later)
        self.move_unit = nn.ModuleList(nn.Linear(32, _PROJECTED) for _ in later)
        self.unit_state = nn.ModuleList(_mlp(2 * _PROJECTED + N_ROUND_UNIT, 32, 32) for _ in later)
        self.move = nn.ModuleList(_Move() for _ in later)
        self.sure = _mlp(width + N_ROUND_STUDY, width, 1)
        generator = torch.Generator("cpu").manual_seed(0)
        codes = torch.randn(_N_CODES, n_units, generator=generator, device="cpu")
        self.register_buffer("codes", codes)
        for layer, start in ((self.relevance, 0.0), (self.column_precision, 3.0)):
            _start(layer, 0.02, start)
        _start(self.level_precision, 0.02)

    def forward(self, x: Tensor, weight: Tensor, y: Tensor) -> list[Emitted]:
        """Emit networks, one set a round.

        Parameters
        ----------
        x : Tensor, shape (b, n, p)
            Encoded covariates.
        weight : Tensor, shape (b, n, n_arms)
            Of each row in its own arm, of mean 1 over the rows that count; 0 in the other arms.
        y : Tensor, shape (b, n)
            Standardised outcomes.

        Returns
        -------
        list of Emitted
            The last is the best.
        """
        column, study = self._read(summarise(x, weight, y))
        p = x.shape[2]
        first = self._codes(x, weight, y) * self._relevance(column)
        first = (first + self.direction(column)) / p**0.5
        bias = self.bias.expand(len(x), -1)
        state: Tensor | None = None
        rounds: list[Emitted] = []
        for i in range(self.shape["n_rounds"]):
            unit = torch.cat(
                [self.unit.expand(len(x), -1, -1), _over(self.to_unit[i](study), bias)], -1
            )
            told = unit if state is None else torch.cat([unit, state], -1)
            log_shared, log_own, shift = self.of_unit[i](told).unbind(-1)
            bias = bias + shift
            of_column = self.column_precision(column)
            level = self.level_precision(study)
            shared = self._precision(level - 7, of_column[..., 0], log_shared + 3.5, weight)
            own = self._precision(level, of_column[..., 1] + 1, log_own + 4.5, weight)
            emitted, missed = solve(x, weight, y, first, bias, shared, own)
            if i < len(self.move):  # all but the last round
                study = study + self.next_study[i](torch.cat([study, missed.study], -1))
                column = column + self.next_column[i](
                    torch.cat([column, _over(study, column[..., 0]), missed.column], -1)
                )
                state = missed.unit
                of_unit = self.unit_state[i](torch.cat([unit, state], -1))
                moved = self.move[i](
                    first * p**0.5,
                    missed.gradient,
                    self.move_column[i](column),
                    self.move_unit[i](of_unit),
                )
                first = first + moved / p**0.5
            rounds.append(emitted)
        told = torch.cat([study, missed.study], -1).detach()
        rounds[-1] = replace(emitted, spread=self.sure(told).squeeze(-1).exp())
        return rounds

    def _read(self, told: Summaries) -> tuple[Tensor, Tensor]:
        """Columns (b, p, width) and the study (b, width)."""
        p = told.pooled.shape[1]
        arms = told.arms[:, :, None].expand(-1, -1, p, -1)
        by_arm = self.arm_column(torch.cat([told.columns, arms], -1))
        column = self.column(torch.cat([by_arm.mean(1), _spread(by_arm), told.pooled], -1))
        arm = self.arm(told.arms)
        pooled = [arm.mean(1), _spread(arm), column.mean(1), column.amax(1), told.study]
        study = self.study(torch.cat(pooled, -1))
        for values, exchange in zip(self.values, self.exchange, strict=True):
            sent = values(column).unflatten(-1, (N_PAIR, _MESSAGE)).transpose(1, 2)
            got = (told.pairs @ sent).transpose(1, 2).flatten(-2) / p**0.5
            column = column + exchange(torch.cat([column, got, _over(study, column[..., 0])], -1))
        return column, study

    def _codes(self, x: Tensor, weight: Tensor, y: Tensor) -> Tensor:
        """Random directions (b, p, n_units), dealt to columns by what they look like.

        Columns that look alike, such as indicators of half the rows, are told apart by how the
        outcome goes with them.
        """
        with_y = ((weight.sum(2) * y)[..., None] * x).mean(1)
        look = x.pow(3).mean(1) + 0.1 * x.abs().mean(1) + 1e-3 * with_y
        rank = look.argsort(dim=1).argsort(dim=1)[..., None]
        n_codes, n_units = self.codes.shape
        turned = torch.arange(n_units, device=x.device) + rank // n_codes
        return self.codes[rank % n_codes, turned % n_units]

    def _relevance(self, column: Tensor) -> Tensor:
        n_units = self.codes.shape[1]
        factor = self.relevance(column).clamp(-6, 3).exp()
        return factor.repeat_interleave(-(-n_units // _N_GROUPS), dim=-1)[..., :n_units]

    @staticmethod
    def _precision(level: Tensor, column: Tensor, unit: Tensor, weight: Tensor) -> Tensor:
        """Precisions of the intercept, the covariates and the units, bounded for float32."""
        least = 0.5 + 1e-3 * weight.sum((1, 2))[:, None]
        bounded = torch.cat([column, unit], -1).clamp(-8, 10).exp() + least
        return torch.cat([level.clamp(-8, 8).exp(), bounded], -1)


class _Move(nn.Module):
    """How an entry of the hidden layer moves, from itself and what it misses."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Linear(2, _PROJECTED)
        self.out = nn.Linear(_PROJECTED, 1)
        _start(self.out, 0.05)
        self.rate = nn.Parameter(torch.tensor(0.1))

    def forward(self, entry: Tensor, gradient: Tensor, column: Tensor, unit: Tensor) -> Tensor:
        both = torch.stack([entry, gradient], -1)
        told = self.entry(both) + column[:, :, None] + unit[:, None]
        return self.rate * gradient + self.out(F.silu(told)).squeeze(-1)


def _start(layer: nn.Linear, sd: float, bias: float = 0.0) -> None:
    nn.init.normal_(layer.weight, std=sd)
    nn.init.constant_(layer.bias, bias)


def _mlp(n_in: int, width: int, n_out: int | None = None) -> nn.Sequential:
    last = nn.Linear(width, n_out or width)
    _start(last, 0.02 if n_out in (1, 3) else 1 / math.sqrt(width))
    return nn.Sequential(nn.Linear(n_in, width), nn.SiLU(), last)


def _spread(values: Tensor) -> Tensor:
    """Standard deviation of values (b, n_arms, ...) over the arms."""
    return (values.var(1, unbiased=False) + 1e-6).sqrt()


def _over(values: Tensor, like: Tensor) -> Tensor:
    """Values of the studies (b, width) at each entry of (b, m): (b, m, width)."""
    return values[:, None].expand(-1, like.shape[1], -1)
