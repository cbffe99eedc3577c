"""Carried columns: which files of a partition have the columns of --carry."""

from pathlib import Path

from pipeline.scan.table.carried_columns import files_without
from pipeline.scan.table.ledger import Ledger
from tests.verdicts import verdict_row, write_verdicts


def test_files_without_one_of_the_columns_are_named(tmp_path: Path) -> None:
    both = {"url": "u", "caption": "c"}
    table = write_verdicts(
        tmp_path / "[t]",
        [verdict_row("a.tar#1", 0)],
        [verdict_row("a.tar#1", 1, carried=both)],
        [verdict_row("a.tar#1", 2, carried={"url": "u"})],
    )
    ledger = Ledger(str(table / "model=old"))
    assert len(files_without(ledger, ("url",))) == 1
    assert len(files_without(ledger, ("caption", "url"))) == 2
    assert len(files_without(ledger, ("key",))) == 3, "a column of the table itself is none that was carried"
    assert files_without(ledger, ()) == [] and files_without(Ledger(str(tmp_path / "none")), ("url",)) == []
