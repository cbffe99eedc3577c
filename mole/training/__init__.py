"""Training: the step that moves experts and head, and the fit of a head."""
