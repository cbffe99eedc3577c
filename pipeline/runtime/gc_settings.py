"""The garbage collector of a local Ray's workers: told to look seldom, by the first thing that each of them imports.

Ray, torch and what they bring make a quarter of a million objects that live as long as their process. Python's own
settings walk over them a dozen times while they are imported and once more at the end: a quarter of what a short scan
costs in core-seconds in a Ray that runs already, and a sixteenth of one with a Ray of its own (docs/design.md).
"""

import gc

gc.freeze()  # Ray's own objects, which are there already
gc.set_threshold(50_000, 20, 10)  # Python's own are 700, 10, 10
