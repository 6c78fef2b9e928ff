"""User data to float32 arrays for a network, and the place where bad data is refused."""

from hypercate.encoding.arms import ArmEncoder
from hypercate.encoding.checks import check_rows, check_sample_weight
from hypercate.encoding.features import FeatureEncoder
from hypercate.encoding.outcome import OutcomeEncoder

__all__ = ["ArmEncoder", "FeatureEncoder", "OutcomeEncoder", "check_rows", "check_sample_weight"]
