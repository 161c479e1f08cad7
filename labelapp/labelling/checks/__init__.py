"""Gold, controls and repeats, mixed in among the items."""
