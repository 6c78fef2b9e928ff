"""Learners, one file each: what the generated networks represent and what they are trained on.

A learner always gives potential outcomes, from which every answer follows. A new one is a class
with the methods of `TLearner`, or of `EffectLearner` where effects have networks of their own, and
one entry of `LEARNERS`, whose key is the value of ``HyperCATE(learner=...)``.
"""

from hypercate.learners.dr import DRLearner
from hypercate.learners.effects import EffectLearner
from hypercate.learners.r import RLearner
from hypercate.learners.ra import RALearner
from hypercate.learners.s import SLearner
from hypercate.learners.t import TLearner
from hypercate.learners.tarnet import TARNet
from hypercate.learners.x import XLearner

LEARNERS: dict[str, type[TLearner]] = {
    "t": TLearner,
    "s": SLearner,
    "tarnet": TARNet,
    "x": XLearner,
    "ra": RALearner,
    "dr": DRLearner,
    "r": RLearner,
}

__all__ = ["LEARNERS", "EffectLearner", "TLearner"]
