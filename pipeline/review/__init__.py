"""Review: what a verdict table found, shown to people: a page, a browser, labels, and the chosen images themselves."""
