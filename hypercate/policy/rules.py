"""A fitted tree: its questions in words, and the arm that it advises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypercate.policy.search import Node
from hypercate.policy.splits import SplitColumn


@dataclass(frozen=True)
class Rule:
    """A leaf, which advises an arm.

    Attributes
    ----------
    arm : int
        Position of the arm advised.
    n_rows : int
        Training rows that reach it.
    """

    arm: int
    n_rows: int


@dataclass(frozen=True)
class Question(Rule):
    """A node that splits rows; its arm is the best for all of them together.

    Attributes
    ----------
    column : SplitColumn
    threshold : float
        In the units of the column; rows at or below it go left.
    encoded : float32
        The same as it is compared.
    left, right : Rule or Question
    """

    column: SplitColumn
    threshold: float
    encoded: np.float32
    left: Rule
    right: Rule

    @property
    def answers(self) -> tuple[str, str]:
        """What rows that go left, and right, have in common, in words."""
        name = self.column.name
        if not self.column.is_number:
            return f"not {name}", name
        return f"{name} <= {self.threshold:.9g}", f"{name} > {self.threshold:.9g}"


def rule_of(node: Node, columns: list[SplitColumn], limits: list[np.ndarray]) -> Rule:
    """The tree that a search found, with thresholds in the units of the columns."""
    if node.left is None or node.right is None:
        return Rule(node.arm, node.n_rows)
    column = columns[node.column]
    threshold, encoded = column.threshold(*limits[node.column][node.last_bin])
    left, right = (rule_of(part, columns, limits) for part in (node.left, node.right))
    return Question(node.arm, node.n_rows, column, threshold, encoded, left, right)


def advised(rule: Rule, x: np.ndarray) -> np.ndarray:
    """Position of the arm for each row of encoded covariates: int64, shape (n,)."""
    arm = np.empty(len(x), dtype=np.int64)
    pending = [(rule, np.arange(len(x)))]
    while pending:
        part, rows = pending.pop()
        if isinstance(part, Question):
            goes_left = part.column.values(x[rows]) <= part.encoded
            pending += [(part.left, rows[goes_left]), (part.right, rows[~goes_left])]
        else:
            arm[rows] = part.arm
    return arm


def lines_of(rule: Rule, arms: Sequence[Any], before: str = "", indent: str = "") -> list[str]:
    """The tree as lines of text, one question or arm each, with the number of training rows."""
    if not isinstance(rule, Question):
        return [f"{indent}{before}{arms[rule.arm]} ({rule.n_rows} rows)"]
    lines = [f"{indent}{before.rstrip()}"] if before else []
    inner = f"{indent}  " if before else indent
    for answer, part in zip(rule.answers, (rule.left, rule.right), strict=True):
        lines += lines_of(part, arms, f"{answer}: ", inner)
    return lines
