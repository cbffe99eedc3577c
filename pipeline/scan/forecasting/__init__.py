"""The forecast of a scan's time, size and cost, from a sample that is scanned."""
