"""Arms that a fitted model learns afterwards, from a few rows of their own."""
