"""Detectors are made here: labelled images, training, judging, and the packing of a tower."""
