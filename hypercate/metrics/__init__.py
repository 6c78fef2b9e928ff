"""How good estimated effects are: against the truth, an experiment, or as a basis for decisions.

`sqrt_pehe`, `ate_error`, `coverage`, `interval_score` and `rejection_curve` compare with known
effects, `att_error` and `policy_risk` with an experiment. The others judge the effects of any
package from observed outcomes alone: how well they rank people (`qini_score`, `rate_score`, ...),
whether they have the right size (`dr_score`, `calibration_error`), and what a policy is worth
(`policy_value`).
"""

from hypercate.metrics.calibration import calibration_error, calibration_table, dr_score
from hypercate.metrics.calibration_tables import CalibrationTable
from hypercate.metrics.curves import Curve
from hypercate.metrics.effects import ate_error, rejection_curve, sqrt_pehe
from hypercate.metrics.experiments import att_error, policy_risk
from hypercate.metrics.intervals import coverage, interval_score
from hypercate.metrics.ranks import rate_inference, rate_score, toc_curve
from hypercate.metrics.scorers import UpliftScorer, make_uplift_scorer
from hypercate.metrics.scores import ScoreInference, aipw_scores
from hypercate.metrics.uplift import qini_curve, uplift_curve
from hypercate.metrics.uplift_scores import auuc_score, qini_score, uplift_at_k
from hypercate.metrics.value import policy_value

__all__ = [
    "CalibrationTable",
    "Curve",
    "ScoreInference",
    "UpliftScorer",
    "aipw_scores",
    "ate_error",
    "att_error",
    "auuc_score",
    "calibration_error",
    "calibration_table",
    "coverage",
    "dr_score",
    "interval_score",
    "make_uplift_scorer",
    "policy_risk",
    "policy_value",
    "qini_curve",
    "qini_score",
    "rate_inference",
    "rate_score",
    "rejection_curve",
    "sqrt_pehe",
    "toc_curve",
    "uplift_at_k",
    "uplift_curve",
]
