"""What a scan would take, from a sample that is really scanned."""
