"""The generator of every arm's weights."""
