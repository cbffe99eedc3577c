"""Deduplicator: one of several images with the same bytes is scored, however often a task is retried."""

from pipeline.scan.table.deduplicator import Deduplicator


def test_the_first_image_of_a_content_has_it_and_no_other() -> None:
    deduplicator = Deduplicator()
    assert deduplicator.claim([b"a", b"b", b"a"], ["u#0", "u#1", "u#2"]) == [True, True, False]
    assert deduplicator.claim([b"a", b"c"], ["v#0", "v#1"]) == [False, True]


def test_a_task_that_is_begun_again_has_the_same_claims() -> None:
    deduplicator = Deduplicator()
    asked = ([b"a", b"a", b"b"], ["u#0", "u#1", "u#2"])
    first = deduplicator.claim(*asked)
    deduplicator.claim([b"a", b"b"], ["v#0", "v#1"])
    assert deduplicator.claim(*asked) == first == [True, False, True]


def test_a_unit_whose_name_is_no_unicode_claims_as_any_other() -> None:
    assert Deduplicator().claim([b"a"], ["\udcff.tar#0"]) == [True]
