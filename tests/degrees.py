"""Profiles of sharing anywhere between those that have a name."""

from dataclasses import replace

from hypercate.generator.profiles import PROFILES


def at_degrees(degrees, net):
    """Departures as many times those of "moderate"; at an infinite degree, arms own all."""
    moderate, independent = (
        PROFILES[name](len(net.layers)) for name in ("moderate", "independent")
    )

    def at(degree):
        if degree == float("inf"):
            return independent
        matrix, bias = (
            tuple(degree * d for d in part) for part in (moderate.matrix, moderate.bias)
        )
        return replace(moderate, matrix=matrix, bias=bias)

    return [at(degree) for degree in degrees]
