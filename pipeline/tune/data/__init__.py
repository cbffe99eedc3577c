"""Data: labelled images: their layout, survey, audit, split, alignment and reconstruction."""
