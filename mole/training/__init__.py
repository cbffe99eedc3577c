"""Training: the training step of experts and head, and the fit of a head."""
