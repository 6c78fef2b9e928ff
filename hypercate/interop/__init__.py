"""HyperCATE inside other packages, one module per package, which only this module needs."""
