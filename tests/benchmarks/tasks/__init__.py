"""Real tasks on which strategies are compared: what every rate gives on images nobody has seen."""
