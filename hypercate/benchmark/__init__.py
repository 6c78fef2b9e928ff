"""The side-by-side benchmark: HyperCATE beside EconML's learners on the same splits."""
