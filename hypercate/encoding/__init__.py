"""User data to float32 arrays for a network, and the place where bad data is refused."""

from hypercate.encoding.checks import check_rows, check_sample_weight
from hypercate.encoding.conditions import Conditions
from hypercate.encoding.features import FeatureEncoder

__all__ = ["Conditions", "FeatureEncoder", "check_rows", "check_sample_weight"]
