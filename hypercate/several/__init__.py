"""Several outcomes at once: networks that share all layers but the last, and one more axis."""
