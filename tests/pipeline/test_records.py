"""The schema is one, carries its version, and refuses another's files."""

import pyarrow as pa
import pytest

from mole.errors import StorageError
from pipeline.records import CARRIED, SCHEMA_VERSION, VERDICT, VERSION_KEY, Status, check_version, with_carried


def test_the_schema_carries_its_version() -> None:
    check_version(VERDICT.metadata, "file")
    with pytest.raises(StorageError, match=f"'none', this version reads '{SCHEMA_VERSION}'"):
        check_version(None, "file")
    with pytest.raises(StorageError, match="'7'"):
        check_version({VERSION_KEY: b"7"}, "file")


def test_carried_columns_are_a_struct_of_strings_at_the_end() -> None:
    assert with_carried(VERDICT, ()) == VERDICT
    field = with_carried(VERDICT, ("url", "key")).field(-1)
    assert field.name == CARRIED and field.type == pa.struct([("url", pa.string()), ("key", pa.string())])


def test_a_status_is_its_word() -> None:
    assert [str(status) for status in Status][:3] == ["ok", "empty", "not_an_image"] and len(Status) == 12
