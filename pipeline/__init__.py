"""Pipeline: storage, image decoding, scan, training and review, on Ray; the detector itself is in `mole`."""
