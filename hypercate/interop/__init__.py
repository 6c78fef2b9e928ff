"""HyperCATE inside other packages, a module each; they are needed only where one is imported."""
