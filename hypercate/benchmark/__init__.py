"""The side-by-side benchmark: HyperCATE beside learners of other packages on the same splits."""
