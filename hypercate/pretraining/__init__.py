"""Simulated causal worlds, and learning from them before any study is seen."""
