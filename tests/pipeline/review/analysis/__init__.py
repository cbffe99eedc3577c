"""Tests of the floor above."""
