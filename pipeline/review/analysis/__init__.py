"""Analysis: statistics and images of a verdict table, for reports and reviews."""
