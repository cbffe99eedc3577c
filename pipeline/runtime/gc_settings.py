"""Garbage collection settings of a local Ray's workers: fewer collections; imported first by each of them.

Ray, torch and their dependencies create a quarter of a million objects that live as long as the process. With Python's
default thresholds they are traversed a dozen times during import and once more at exit: a quarter of the CPU seconds of
a short scan in a running Ray, and a sixteenth of one that starts its own (docs/decisions/, 041).
"""

import gc

gc.freeze()  # Ray's objects, which exist already
gc.set_threshold(50_000, 20, 10)  # Python's defaults are 700, 10, 10
