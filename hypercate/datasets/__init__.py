"""Benchmark data, as splits ready to fit and score.

No data are bundled. Files come from the folder that the environment variable ``HYPERCATE_DATA``
names, if it is set; otherwise they are downloaded once to the user's cache (``HYPERCATE_CACHE``
moves it). In both cases a file is read only if its checksum is known. Provenance, licences, columns
and pitfalls are described in the datasheets, one page per data set, in ``datasets/``.
"""

from hypercate.datasets.acic2016 import load_acic2016
from hypercate.datasets.hillstrom import load_hillstrom
from hypercate.datasets.ihdp import load_ihdp
from hypercate.datasets.jobs import load_jobs
from hypercate.datasets.lalonde import load_lalonde
from hypercate.datasets.low_rank import draw_low_rank_study
from hypercate.datasets.nhefs import load_nhefs
from hypercate.datasets.pairs import draw_pair_study
from hypercate.datasets.rates import draw_outcome_study
from hypercate.datasets.realcause import load_realcause
from hypercate.datasets.samples import CausalSample, CausalSplit
from hypercate.datasets.survival import draw_survival_study
from hypercate.datasets.synthetic import draw_arms_study, draw_interval_study
from hypercate.datasets.twins import load_twins

__all__ = [
    "CausalSample",
    "CausalSplit",
    "draw_arms_study",
    "draw_interval_study",
    "draw_low_rank_study",
    "draw_outcome_study",
    "draw_pair_study",
    "draw_survival_study",
    "load_acic2016",
    "load_hillstrom",
    "load_ihdp",
    "load_jobs",
    "load_lalonde",
    "load_nhefs",
    "load_realcause",
    "load_twins",
]
