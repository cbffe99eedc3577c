"""Runtime: connecting to Ray, process isolation, and termination."""
