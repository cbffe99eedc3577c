"""Tune: labelled images, training, evaluation and promotion of detectors, and the packing of a tower; not Ray Tune."""
