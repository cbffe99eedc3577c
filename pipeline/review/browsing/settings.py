"""Browse settings: the settings of `mole-scan browse`."""

import getpass
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.command.settings import JobSettings
from pipeline.storage import storage

LABELS = "labels"


class BrowseSettings(JobSettings):
    """Look through a verdict table in the browser: filter its images, see why each got its verdict, and label them.

    The server listens only on this machine (127.0.0.1) and accepts only the printed URL. Labels are written to
    --labels, where `finetune --reviews` reads them. Ctrl-C ends it.

    exit codes: 0 ended with Ctrl-C, 2 an invalid setting or a path that does not exist, 3 a store failed, 4 --model is
    not a checkpoint, 143 SIGTERM
    """

    prefix = "MOLE_BROWSE_"
    positional = "table"

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    labels: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the folder URL of the labels (default: labels, next to the table's folder)"
    )
    labeller: Annotated[str, Field(min_length=1)] = Field(
        default_factory=getpass.getuser,
        description="the name recorded with each label (default: the current user)",
    )
    model: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="a checkpoint folder, or a registry (its promoted version), that gives the thresholds and shows "
        "where a score comes from, for images scored by that model (default: the embedded detector and --registry)",
    )
    registry: str | None = Field(None, description="a registry with the models that scored the table (default: none)")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(0, description="the port on 127.0.0.1; 0 takes a free one")
    no_open: bool = Field(False, description="only print the address; do not open a browser")

    @model_validator(mode="after")
    def _labels_have_a_place(self) -> Self:
        if self.labels is None and self._parent is None:
            raise ValueError(f"--labels is required: --table {self.table!r} has no parent folder")
        return self

    @property
    def labels_folder(self) -> str:
        """The URL of the table of labels."""
        if self.labels is not None:
            return storage.absolute(self.labels)
        return storage.join(self._parent or "", LABELS)

    @property
    def _parent(self) -> str | None:
        """The parent folder of the table's folder; None if it is a whole bucket or disk."""
        protocol, slashes, path = storage.absolute(self.table).rstrip("/").rpartition("://")
        parent, slash, _ = path.rpartition("/")
        return f"{protocol}{slashes}{parent}" if slash else None

    def durable_places(self) -> dict[str, list[str]]:
        """Return the paths that must outlast the command: table, registry and labels."""
        return super().durable_places() | ({} if self.labels is None else {"labels": [self.labels]})
