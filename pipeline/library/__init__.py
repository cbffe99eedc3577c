"""What users import from `mole`: a detector for images at hand, and a scorer for datasets of Ray."""
