"""What a fitted model answers: potential outcomes, effects, and how sure they are."""

from hypercate.answers.averages import Averages
from hypercate.answers.doses import DoseResponses
from hypercate.answers.persons import Persons
from hypercate.answers.scores import Scores
from hypercate.several.answers import SeveralOutcomes, by_outcome


@by_outcome
class Answers(SeveralOutcomes, Persons, Averages, DoseResponses, Scores):
    """Questions to a fitted `hypercate.HyperCATE`; what they read is set by its ``fit``."""
