"""Tests of `mole.views`."""
