"""Fuzzing: damaged images, archives and listings by the thousand, and coverage-guided fuzzers of what reads them."""
