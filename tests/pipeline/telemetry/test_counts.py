"""Counts tell verdicts and kinds of faults apart, and add up."""

from pipeline.telemetry.counts import Counts


def test_counts_add_up_and_name_the_most_common_first() -> None:
    one = Counts({("ok", "real"): 2, ("ok", "generated"): 5, ("truncated", None): 1})
    both = one + Counts({("ok", "real"): 1, ("truncated", None): 1, ("empty", None): 1})
    assert (both.images, both.faults) == (11, 3)
    assert list(both.verdicts.items()) == [("generated", 5), ("real", 3)]
    assert both.kinds == {"truncated": 2, "empty": 1}
    assert str(both) == "5 generated, 3 real, 3 faults (2 truncated, 1 empty)"
    assert one.images == 8, "adding changes neither"


def test_no_images_are_no_faults() -> None:
    assert str(Counts()) == "0 faults" and str(Counts({("empty", None): 1})) == "1 fault (1 empty)"
