"""Arms that a fitted model learns after the fit, from a few of their rows."""
