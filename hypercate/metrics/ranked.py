"""Scores of rows in the order of predicted effects: sums over first rows, and rank-weighted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hypercate.metrics.scores import Scored

N_SHARES = 100
AT_A_TIME = 10  # shares, for the memory of large samples
NEARBY = 0.05  # share of rows on either side of a threshold, by which its own effect is told


def first_rows(effect: np.ndarray, score: np.ndarray, rows: Scored, what: str) -> pd.DataFrame:
    """What scores say of the rows with the largest predicted effects, by their share of all.

    Parameters
    ----------
    effect, score : ndarray, shape (n,)
    rows : Scored
    what : {"lift", "sum"}
        ``"lift"``: the mean score of the first rows less that of all rows; ``"sum"``: the sum of
        their scores over the number of all rows.

    Returns
    -------
    DataFrame
        ``share``, from 0 on, ``rows``, ``value`` and its ``stderr``.
    """
    order = Ranked(effect, score, rows.weight)
    shares = np.arange(1, N_SHARES + 1) / N_SHARES
    values, stderrs = [], []
    for some in np.array_split(shares, N_SHARES // AT_A_TIME):
        value, influence = order.first(some)
        if what == "lift":
            value = value / some - order.mean
            influence = influence / some - (order.score - order.mean)[:, None]
        values.append(value)
        stderrs.append(rows.spread(influence)[0])
    value, stderr = np.concatenate(values), np.concatenate(stderrs)
    start = (0.0, 0.0)
    if what == "lift":
        start = value[0], stderr[0]
        value[-1] = stderr[-1] = 0.0  # all rows less all rows, whatever rounding leaves of it
    shares = np.append(0.0, shares)
    return pd.DataFrame(
        {
            "share": shares,
            "rows": shares * rows.weight.sum(),
            "value": np.append(start[0], value),
            "stderr": np.append(start[1], stderr),
        }
    )


class Ranked:
    """Scores in blocks of equal predicted effect, largest first.

    Attributes
    ----------
    block : ndarray of int64, shape (n,)
        Each row's.
    start, end : ndarray, shape (n_blocks,)
        Shares of rows before, and up to, the end of each block.
    gain : ndarray, shape (n_blocks,)
        Mean score.
    """

    def __init__(self, effect: np.ndarray, score: np.ndarray, weight: np.ndarray):
        self.score = score
        self.block = np.unique(-effect, return_inverse=True)[1]
        size = np.bincount(self.block, weight)
        self.end = np.cumsum(size) / size.sum()
        self.end[-1] = 1.0
        self.start = np.append(0.0, self.end[:-1])
        self.gain = np.bincount(self.block, weight * score) / size
        self.mean = float(weight @ score / weight.sum())

    def first(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the first rows' scores, over all rows (m,), and what each row adds (n, m).

        The limit moves with the rows, which adds the effect at the limit, estimated from rows
        nearby.
        """
        total = np.append(0.0, np.cumsum(self.gain * (self.end - self.start)))
        at = np.append(0.0, self.end)
        low, high = np.maximum(shares - NEARBY, 0), np.minimum(shares + NEARBY, 1)
        inside = np.interp(shares, at, total)
        nearby = (np.interp(high, at, total) - np.interp(low, at, total)) / (high - low)
        size = self.end - self.start
        part = np.clip((shares - self.start[:, None]) / size[:, None], 0, 1)[self.block]
        return inside, part * (self.score[:, None] - nearby) + nearby * shares - inside

    def rate(self, weighting: str) -> tuple[float, np.ndarray]:
        """Value, and what each row adds (n,).

        Of weights k(u), the value is the sum over blocks of the mean score times the integral of k
        over the block, less the mean score times that over (0, 1): k is ``-log u`` for AUTOC and
        ``1 - u`` for QINI. A row adds to its block's mean, and moves the ends of the blocks from
        its own on.
        """
        if weighting == "AUTOC":
            antiderivative, k, whole = _minus_log_integral, _minus_log, 1.0
        else:
            antiderivative, k, whole = _rest_integral, _rest, 0.5
        of_block = antiderivative(self.end) - antiderivative(self.start)
        value = self.gain @ of_block - whole * self.mean
        moved = self.gain * k(self.end)
        later = np.append(0.0, self.gain[1:] * (k(self.end[1:]) - k(self.start[1:])))
        from_block = moved + (np.cumsum(later[::-1])[::-1] - later)
        of_mean = of_block / (self.end - self.start)
        influence = (
            of_mean[self.block] * (self.score - self.gain[self.block])
            + from_block[self.block]
            - whole * (self.score - self.mean)
        )
        return float(value), influence - (self.end - self.start) @ from_block


def _minus_log(u: np.ndarray) -> np.ndarray:
    return -np.log(u)


def _minus_log_integral(u: np.ndarray) -> np.ndarray:
    return u - u * np.log(np.where(u > 0, u, 1.0))


def _rest(u: np.ndarray) -> np.ndarray:
    return 1 - u


def _rest_integral(u: np.ndarray) -> np.ndarray:
    return u - u**2 / 2
