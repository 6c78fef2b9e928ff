"""How the generator is trained: on simulated worlds, where every potential outcome is known."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from hypercate.pretraining.emitter import Emitted, Emitter
from hypercate.pretraining.worlds import Worlds, draw_worlds

log = logging.getLogger(__name__)

_FRESH = 100  # rows of each world on which its effects are judged
_AVERAGING = 0.999
_QUANTILE = 1.6449  # of the normal distribution, for intervals that leave out 10 %
_HELD_OUT = 2**40  # first seed of worlds that are never trained on


@dataclass(frozen=True)
class Recipe:
    """How long and on what a generator is trained.

    Attributes
    ----------
    steps, batch : int
        Worlds are ``steps * batch``, each seen once.
    learning_rate : float
    rows, columns, arms : (int, int)
        Least and most of a world; log-uniform, but for arms, of which most worlds have two.
    width, n_units, n_rounds : int
        Of the `Emitter`.
    seed : int
    """

    steps: int = 11_000
    batch: int = 16
    learning_rate: float = 2e-3
    rows: tuple[int, int] = (50, 700)
    columns: tuple[int, int] = (1, 40)
    arms: tuple[int, int] = (2, 8)
    width: int = 64
    n_units: int = 64
    n_rounds: int = 3
    seed: int = 0

    def sizes(self, generator: torch.Generator) -> tuple[int, int, int]:
        """Rows, columns and arms of the worlds of a batch."""
        u, v, w = torch.rand(3, generator=generator, dtype=torch.float32).tolist()
        n_arms = self.arms[0]
        if w < 0.25:
            n_arms += int(w * 4 * (self.arms[1] - self.arms[0] + 1))
        rows = _between(self.rows, u)
        return max(rows, 12 * n_arms), _between(self.columns, v), n_arms


def losses(worlds: Worlds, rounds: list[Emitted]) -> tuple[Tensor, Tensor]:
    """What training lowers, and the root of the mean squared error of effects of each world.

    Effects count by the logarithm of their mean squared error, in units of the outcome's variance,
    so that a world of small effects counts as much as others; outcomes count for less. Every round
    is judged, the last one fully. How sure the generator is counts by the interval score of its
    effects, which moves nothing else.
    """
    location, size = _unit(worlds)
    x = worlds.x[:, worlds.n :]
    truth = (worlds.outcomes[:, worlds.n :] - location[..., None]) / size[..., None]
    total = torch.zeros((), device=x.device)
    for place, emitted in enumerate(rounds, start=1):
        error = emitted.outcomes(x) - truth
        effect = 2 * error.var(2, unbiased=True).mean(1)
        loss = (effect + 0.02).log() + effect + 0.3 * (error.pow(2).mean((1, 2)) + 0.02).log()
        total = total + loss.mean() * (1.0 if place == len(rounds) else 0.2)
    return total + 0.05 * _interval_score(error.detach(), emitted, x), effect.detach().sqrt()


def _interval_score(error: Tensor, emitted: Emitted, x: Tensor) -> Tensor:
    """Of intervals of effects that leave out 10 %, in units of their width before `spread`.

    Gneiting & Raftery (2007), "Strictly proper scoring rules, prediction, and estimation", JASA
    102:359-378, equation 43.
    """
    with torch.no_grad():
        variance = emitted.last.effect_variance(emitted.features(x)) * emitted.noise[:, None, None]
        half = _QUANTILE * variance.sqrt() + 1e-3
        unit = half.mean((1, 2), keepdim=True)
        error = (error[..., 1:] - error[..., :1]).abs()
    half = half * emitted.spread[:, None, None]
    return ((2 * half + 2 / 0.1 * (error - half).relu()) / unit).mean()


def emit(emitter: Emitter, worlds: Worlds) -> list[Emitted]:
    """The networks that a generator emits from the worlds' own rows."""
    location, size = _unit(worlds)
    y = (worlds.y[:, : worlds.n] - location) / size
    arm = torch.nn.functional.one_hot(worlds.arm[:, : worlds.n], worlds.outcomes.shape[2])
    return emitter(worlds.x[:, : worlds.n], arm.to(y), y)


def train(
    recipe: Recipe,
    path: Path,
    device: torch.device,
    every: int = 500,
    held_out: int = 20,
    without: frozenset[str] = frozenset(),
) -> Emitter:
    """Train a generator, or go on with one, and write it.

    Parameters
    ----------
    recipe : Recipe
    path : Path
        Of the weights; the optimiser's state lies beside, with the ending ``.checkpoint``.
    device : torch.device
    every : int
        Steps after which both are written and the error on held-out worlds is logged.
    held_out : int
        Batches of worlds that are never trained on.
    without : frozenset of str
        Parts of the worlds to leave out.

    Returns
    -------
    Emitter
        Moving average of the weights.

    Raises
    ------
    ValueError
        If the checkpoint is of a run with another recipe.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        shape = recipe.width, recipe.n_units, recipe.n_rounds
        emitter, average = Emitter(*shape), Emitter(*shape)
    average.load_state_dict(emitter.state_dict())
    emitter.to(device, torch.float32)
    average.to(device, torch.float32)
    optimiser = torch.optim.AdamW(emitter.parameters(), recipe.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, recipe.steps, pct_start=0.05, cycle_momentum=False
    )
    checkpoint = path.with_suffix(".checkpoint")
    run = {**asdict(recipe), "without": sorted(without)}
    done = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["run"] != run:
            raise ValueError(
                f"{checkpoint} belongs to a run with other settings, {state['run']}: continue with "
                "these, or choose another path"
            )
        done = state["done"]
        for part, name in ((emitter, "emitter"), (average, "average"), (optimiser, "optimiser"),
                           (schedule, "schedule")):  # fmt: skip
            part.load_state_dict(state[name])
        log.info("resumed after %d steps", done)
    started, seen = time.monotonic(), []
    for step in tqdm(range(done, recipe.steps), desc="pretraining", mininterval=5):
        generator = torch.Generator(device).manual_seed(recipe.seed * 1_000_003 + step)
        sizes = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        with torch.no_grad():
            worlds = _draw(recipe, sizes, generator, without)
        loss, effect = losses(worlds, emit(emitter, worlds))
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(emitter.parameters(), 1.0)
        if norm.isfinite():
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            follow = max(1 - _AVERAGING, 1 / (step + 2))
            torch._foreach_lerp_(list(average.parameters()), list(emitter.parameters()), follow)
        seen.append(effect.mean().item())
        if (step + 1) % every == 0 or step + 1 == recipe.steps:
            error = held_out_error(average, recipe, held_out, device)
            log.info(
                "%d steps, %.0f s: error of effects %.4f in training, %.4f on held-out worlds",
                step + 1, time.monotonic() - started, sum(seen) / len(seen), error,
            )  # fmt: skip
            seen.clear()
            write(average, path)
            partial = checkpoint.with_suffix(".part")
            torch.save(
                {
                    "done": step + 1,
                    "run": run,
                    "emitter": emitter.state_dict(),
                    "average": average.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                },
                partial,
            )
            partial.replace(checkpoint)
    return average


@torch.no_grad()
def held_out_error(emitter: Emitter, recipe: Recipe, batches: int, device: torch.device) -> float:
    """Mean root-mean-squared error of effects, in outcome standard deviations, on fresh worlds."""
    errors = []
    for batch in range(batches):
        seed = _HELD_OUT + batch
        sizes, generator = torch.Generator(), torch.Generator(device)
        worlds = _draw(recipe, sizes.manual_seed(seed), generator.manual_seed(seed))
        errors.append(losses(worlds, emit(emitter, worlds)[-1:])[1])
    return torch.cat(errors).mean().item()


def write(emitter: Emitter, path: Path) -> None:
    """Write the weights as float32, with the generator's shape."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in emitter.state_dict().items()}
    save_file(tensors, path, {name: str(value) for name, value in emitter.shape.items()})


def _draw(
    recipe: Recipe,
    sizes: torch.Generator,
    generator: torch.Generator,
    without: frozenset[str] = frozenset(),
) -> Worlds:
    n, p, n_arms = recipe.sizes(sizes)
    return draw_worlds(recipe.batch, n, _FRESH, p, n_arms, generator, without)


def _unit(worlds: Worlds) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the observed outcomes: (b, 1) each."""
    y = worlds.y[:, : worlds.n]
    return y.mean(1, keepdim=True), y.std(1, keepdim=True) + 1e-6


def _between(bounds: tuple[int, int], u: float) -> int:
    low, high = math.log(bounds[0]), math.log(bounds[1] + 1)
    return min(int(math.exp(low + u * (high - low))), bounds[1])
