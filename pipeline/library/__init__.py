"""Library: the public API of `mole`: a detector for single images and batches, and a scorer for Ray Data."""
