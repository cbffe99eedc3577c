"""Tests of `mole.inference.scoring`."""
