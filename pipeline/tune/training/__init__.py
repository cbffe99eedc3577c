"""Training: samples become a version of the registry, on Ray Train."""
