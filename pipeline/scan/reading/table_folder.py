"""Table folder: a listing in many files, as Spark, Hive and Hugging Face write it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mole.errors import SettingsError
from pipeline.scan.reading.listing import form_of
from pipeline.storage.file_info import FileInfo

DELTA = "_delta_log"


@dataclass
class TableFolder:
    """The tables of a folder.

    In a folder that is named like a listing (`list.parquet/`, `list.csv/`) every file of that form is a part of it. In
    any other folder Parquet files are, if it has no images. Names that begin with `_` or `.` are the writer's metadata.

    Attributes:
        folder: its URL.
        found: the parts, in the order in which they were added.
        delta: whether it has a Delta Lake log.
    """

    folder: str
    found: list[FileInfo] = field(default_factory=list)
    delta: bool = False

    @property
    def named(self) -> bool:
        """Tell whether the folder is named like a listing."""
        return form_of(self.folder) is not None

    def add(self, place: FileInfo) -> bool:
        """Add a file if it is a part; tells whether it is a part or metadata, and so not a source of its own."""
        path = place.key.split("/")
        is_metadata = any(name.startswith(("_", ".")) for name in path)
        self.delta |= DELTA in path
        if is_metadata:
            return self.named or DELTA in path
        part = form_of(place.url) == (form_of(self.folder) or "parquet")
        self.found += [place] * part
        return part

    def parts(self) -> Iterator[FileInfo]:
        """Yield the parts.

        Raises:
            SettingsError: the folder is named like a listing and has no parts, or it is a Delta table.
        """
        if self.delta:
            raise SettingsError(
                f"{self.folder!r} is a Delta table, whose log says which files hold; export it as Parquet"
            )
        if self.named and not self.found:
            raise SettingsError(f"{self.folder!r} is named like a listing and holds no {form_of(self.folder)} file")
        yield from self.found
