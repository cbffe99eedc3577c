"""Evidence: what a verdict table says of its images, and their bytes."""
