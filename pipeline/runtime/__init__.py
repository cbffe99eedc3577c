"""Runtime: Ray, and the processes that it and we start: connecting, isolating, ending."""
