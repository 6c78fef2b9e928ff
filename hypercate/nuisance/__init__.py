"""Models that the outcome networks or the answers rest on, fitted apart from the rows judged."""
