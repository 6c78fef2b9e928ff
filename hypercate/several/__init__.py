"""Several outcomes at once: networks that share all but their last layer, and an axis more."""
