"""What a fitted model answers: potential outcomes, effects, and their uncertainty."""

from hypercate.answers.doses import DoseResponses
from hypercate.answers.groups import GroupAverages
from hypercate.answers.persons import Persons
from hypercate.answers.populations import Populations
from hypercate.answers.r_score import RScores
from hypercate.answers.scores import Scores
from hypercate.several.answers import SeveralOutcomes, by_outcome


@by_outcome
class Answers(SeveralOutcomes, Persons, GroupAverages, Populations, DoseResponses, RScores, Scores):
    """Questions that a fitted `hypercate.HyperCATE` answers, from what its ``fit`` has set."""
