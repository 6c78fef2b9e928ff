"""User data to float32 arrays for a network, and the place where bad data is refused."""

from hypercate.encoding.arm_doses import ArmDoses
from hypercate.encoding.arm_features import describe_arms
from hypercate.encoding.checks import check_rows
from hypercate.encoding.conditions import Conditions
from hypercate.encoding.dose_columns import fit_doses
from hypercate.encoding.doses import Doses
from hypercate.encoding.features import FeatureEncoder
from hypercate.encoding.frames import as_pandas, index_of
from hypercate.encoding.weights import check_sample_weight

__all__ = [
    "ArmDoses",
    "Conditions",
    "Doses",
    "FeatureEncoder",
    "as_pandas",
    "check_rows",
    "check_sample_weight",
    "describe_arms",
    "fit_doses",
    "index_of",
]
