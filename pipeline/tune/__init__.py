"""Detectors are made here: labelled images, training, evaluation, and the packing of a tower."""
