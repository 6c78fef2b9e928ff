"""From effects to decisions: who gets which arm, with costs and budgets.

Everything here takes the effects or scores of any package. Judge a policy on other rows than those
it was learned on: `hypercate.metrics.policy_value`.
"""

from hypercate.policy.budget import Spending, spend
from hypercate.policy.choose import best_arm
from hypercate.policy.profit import profit_curve
from hypercate.policy.tree import PolicyTree

__all__ = ["PolicyTree", "Spending", "best_arm", "profit_curve", "spend"]
