"""ReviewBench: how many model errors a review policy finds with the same number of reviews."""
