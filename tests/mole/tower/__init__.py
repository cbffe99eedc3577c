"""Tests of `mole.tower.vit`."""
