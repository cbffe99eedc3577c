"""Chaos: real runs, disturbed by seeded faults and run again, compared row by row with undisturbed ones."""
