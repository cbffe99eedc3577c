"""A folder of tables: a listing in many files, as Spark, Hive and Hugging Face write it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mole.errors import SettingsError
from pipeline.scan.reading.listing import form_of
from pipeline.storage.file_info import FileInfo

DELTA = "_delta_log"


@dataclass
class Parts:
    """The tables of a folder.

    In a folder whose name ends like a listing's (`list.parquet/`, `list.csv/`) every file of that form is a part of it.
    In another folder Parquet files are, where it holds no image. What begins with `_` or `.` is its writer's own.

    Attributes:
        folder: its URL.
        found: the parts, in the order in which they came.
        delta: whether it holds a log of Delta's.
    """

    folder: str
    found: list[FileInfo] = field(default_factory=list)
    delta: bool = False

    @property
    def named(self) -> bool:
        """Tell whether the folder's own name says that it is a listing."""
        return form_of(self.folder) is not None

    def take(self, place: FileInfo) -> bool:
        """Take a file that is a part; tell whether it is one, or its writer's own, and so no file of the folder."""
        path = place.key.split("/")
        own = any(name.startswith(("_", ".")) for name in path)
        self.delta |= DELTA in path
        if own:
            return self.named or DELTA in path
        part = form_of(place.url) == (form_of(self.folder) or "parquet")
        self.found += [place] * part
        return part

    def whole(self) -> Iterator[FileInfo]:
        """Yield the parts.

        Raises:
            SettingsError: there are none though the folder's name says so, or a log says which of them hold.
        """
        if self.delta:
            raise SettingsError(
                f"{self.folder!r} is a Delta table, whose log says which files hold; export it as Parquet"
            )
        if self.named and not self.found:
            raise SettingsError(f"{self.folder!r} is named like a listing and holds no {form_of(self.folder)} file")
        yield from self.found
