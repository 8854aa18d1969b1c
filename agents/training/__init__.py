"""Training: epochs and checkpoints, the statistics of BatchNorm, a user who is asked once."""
