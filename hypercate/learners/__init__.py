"""Learners, a file each: what the generated networks stand for and what they are trained on.

A learner always gives potential outcomes, from which every answer follows. A new one is a class
with the methods of `TLearner` and one entry of `LEARNERS`, whose key is the value of
``HyperCATE(learner=...)``.
"""

from hypercate.learners.t import TLearner

LEARNERS = {"t": TLearner}

__all__ = ["LEARNERS", "TLearner"]
