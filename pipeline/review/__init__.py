"""Review: presents a verdict table to people: HTML report, browser with labelling, and export of images."""
