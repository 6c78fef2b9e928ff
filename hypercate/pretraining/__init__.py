"""Simulated studies ("worlds") with known effects, and pre-training a generator on them."""
