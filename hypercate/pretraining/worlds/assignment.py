"""Assignment of rows to arms."""

from __future__ import annotations

import torch
from torch import Tensor

from hypercate.pretraining.worlds.arrays import standardised
from hypercate.pretraining.worlds.chance import Chance

NAMES = ("confounding",)
RANDOMISED = 0.25
FEWEST_ROWS = 2
LEAST_SHARE, USUAL_SHARE, MOST_SHARE = 0.02, 0.2, 0.6
RARELY_TREATED = 0.25
WEAKEST, STRONGEST = 0.2, 2.5
BALANCING_STEPS = 12


def draw_propensities(
    chance: Chance, outcomes: Tensor, others: Tensor, without: frozenset[str]
) -> Tensor:
    """Probability of each arm in every row, (b, n_arms, rows).

    Logits are a mix of the control's outcome, the effect and other surfaces; in randomised worlds
    they are the same in every row. The arms' mean probabilities are those drawn for the world.

    Parameters
    ----------
    chance : Chance
    outcomes : Tensor of float32, shape (b, n_arms, rows)
        Mean potential outcomes.
    others : Tensor of float32, shape (b, k, rows)
        Surfaces that no outcome depends on.
    without : frozenset of str
        What to leave out, of `NAMES`.
    """
    b, n_arms, _ = outcomes.shape
    control = standardised(outcomes[:, :1])
    effects = standardised(outcomes[:, 1:] - outcomes[:, :1])
    mix = chance.weights(b, 1, 3, concentration=0.4).permute(2, 0, 1)[..., None]
    loading = chance.normal(b, n_arms - 1, others.shape[1])
    score = mix[0] * chance.signs(b, n_arms - 1, 1) * control
    score = score + mix[1] * chance.signs(b, n_arms - 1, 1) * effects
    score = standardised(score + mix[2] * standardised(loading @ others))
    strength = chance.log_uniform(b, 1, 1, low=WEAKEST, high=STRONGEST)
    randomised = 1.0 if "confounding" in without else RANDOMISED
    logits = torch.zeros_like(outcomes)
    logits[:, 1:] = strength * score * ~chance.happens(randomised, b, 1, 1)
    return _balanced(logits, _arm_shares(chance, b, n_arms))


def assign(chance: Chance, propensity: Tensor, n: int) -> Tensor:
    """Draw the arm of every row, with at least two of each arm among the first n.

    Where an arm has fewer, rows drawn at random from arms with more than two are moved to it.

    Parameters
    ----------
    chance : Chance
    propensity : Tensor of float32, shape (b, n_arms, rows)
    n : int
        At least twice the number of arms.

    Returns
    -------
    Tensor of int64, shape (b, rows)
    """
    b, n_arms, rows = propensity.shape
    arm = (chance.uniform(b, 1, rows) > propensity[:, :-1].cumsum(1)).sum(1)
    order = chance.uniform(b, n).argsort(1)
    study = arm[:, :n].gather(1, order)
    member = study[:, None] == torch.arange(n_arms, device=arm.device)[:, None]
    earlier = member.cumsum(2).gather(1, study[:, None])[:, 0] - 1
    spare = earlier >= FEWEST_ROWS
    lacking = (FEWEST_ROWS - member.sum(2)).clamp(min=0).cumsum(1)
    turn = spare.cumsum(1) - 1
    moved_to = (turn[:, None] >= lacking[..., None]).sum(1).clamp(max=n_arms - 1)
    moves = spare & (turn < lacking[:, -1:])
    arm[:, :n] = arm[:, :n].scatter(1, order, torch.where(moves, moved_to, study))
    return arm


def _arm_shares(chance: Chance, b: int, n_arms: int) -> Tensor:
    """Expected share of rows of each arm, (b, n_arms)."""
    if n_arms == 2:
        usual = chance.uniform(b, low=USUAL_SHARE, high=MOST_SHARE)
        rare = chance.log_uniform(b, low=LEAST_SHARE, high=USUAL_SHARE)
        treated = torch.where(chance.happens(RARELY_TREATED, b), rare, usual)
        return torch.stack([1 - treated, treated], 1)
    size = -chance.uniform(2, b, n_arms).clamp(min=1e-6).log().sum(0)
    share = (size / size.sum(1, keepdim=True)).clamp(max=MOST_SHARE)
    least = min(LEAST_SHARE, 0.2 / n_arms)
    return least + (1 - n_arms * least) * share / share.sum(1, keepdim=True)


def _balanced(logits: Tensor, shares: Tensor) -> Tensor:
    """Probabilities of the logits, shifted by arm until the mean probabilities are the shares."""
    shift = shares.log()[..., None]
    for _ in range(BALANCING_STEPS):
        reached = (logits + shift).softmax(1).mean(2, keepdim=True)
        shift = shift + (shares[..., None] / reached.clamp(min=1e-6)).log()
    return (logits + shift).softmax(1)
