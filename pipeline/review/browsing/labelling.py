"""Labelling: writes labels and notes of images, with undo."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mole.errors import SettingsError
from pipeline.labels import LABELS, Label, LabelWriter
from pipeline.review.browsing.snapshot import Row, TableSnapshot

MAX_NOTE_LETTERS = 2_000
MAX_GENERATOR_LETTERS = 200
LABEL_COLUMNS = ("unit", "index", "uri", "key", "content_hash", "model", "verdict", "probability")
"""Columns of the displayed row that are stored with a label."""


@dataclass(frozen=True)
class LabelEdit:
    """A change of an image's label.

    Attributes:
        label: the label; `NOTE` keeps the current label and changes only the texts.
        generator: the generator's name; empty removes it, None keeps it.
        note: a note; likewise.

    Raises:
        SettingsError: a text is too long.
    """

    label: Label
    generator: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for name, text, max_length in (
            ("generator", self.generator, MAX_GENERATOR_LETTERS),
            ("note", self.note, MAX_NOTE_LETTERS),
        ):
            if len(text or "") > max_length:
                raise SettingsError(f"the {name} must have at most {max_length:,} characters, got {len(text or ''):,}")

    def after(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the new label, generator and note, given the previous ones."""
        old = before or {}
        if self.label == Label.WITHDRAWN:
            return {"label": Label.WITHDRAWN}
        texts = {
            "generator": old.get("generator") if self.generator is None else self.generator or None,
            "note": old.get("note") if self.note is None else self.note or None,
        }
        label = old.get("label", Label.NOTE) if self.label == Label.NOTE else self.label
        if label == Label.NOTE and not any(texts.values()):
            return {"label": Label.WITHDRAWN}
        return {"label": label, **texts}


class Labelling:
    """The labels of a session.

    Args:
        snapshot: the table snapshot; ready.
        folder: the folder URL of the labels.
        labeller: the labeller's name.
        known: existing labels, from `pipeline.labels.current_labels`.
    """

    def __init__(self, snapshot: TableSnapshot, folder: str, labeller: str, known: pa.Table) -> None:
        self._snapshot = snapshot
        self._writer = LabelWriter(folder)
        self._labeller = labeller
        self._lock = threading.Lock()
        self._before: list[tuple[int, Mapping[str, Any] | None]] = []
        self.written = 0
        self._labels = self._numbered(known.to_pylist())
        self._marked = sum(map(_is_mark, self._labels.values()))
        self.elsewhere = known.num_rows - len(self._labels)
        """Number of labels of images that are not in the table."""
        columns = [
            list(self._labels),
            *([row[name] for row in self._labels.values()] for name in ("label", "generator")),
        ]
        snapshot.change(
            "INSERT INTO marks SELECT unnest(?::BIGINT[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[])", columns
        )

    @property
    def count(self) -> int:
        """Number of labelled images of the table."""
        return self._marked

    @property
    def last(self) -> int | None:
        """The image that `undo` would change; None if there is nothing to undo."""
        return self._before[-1][0] if self._before else None

    def of(self, number: int) -> Mapping[str, Any] | None:
        """Return the label of an image, None if it has none."""
        return self._labels.get(number)

    def say(self, row: Row, edit: LabelEdit) -> Mapping[str, Any] | None:
        """Label an image, write a note on it, or withdraw both.

        Args:
            row: the image's row.
            edit: the change.

        Returns:
            The image's new label.

        Raises:
            StorageError: it could not be written; nothing has changed.
        """
        with self._lock:
            before = self._labels.get(row["id"])
            new = edit.after(before)
            if before is None and new["label"] == Label.WITHDRAWN:
                return None
            now = self._write(row, new)
            self._before.append((row["id"], before))
            return now

    def undo(self) -> tuple[Row, Mapping[str, Any] | None] | None:
        """Undo the last change of this session: the previous label is written again.

        Returns:
            The image's row, and its new label; None if there is nothing to undo.

        Raises:
            StorageError: it could not be written; nothing has changed.
        """
        with self._lock:
            if not self._before:
                return None
            number, before = self._before[-1]
            [row] = self._snapshot.ask("SELECT * FROM images WHERE id = ?", [number])
            old = {name: before[name] for name in ("label", "generator", "note")} if before else None
            now = self._write(row, old or {"label": Label.WITHDRAWN})
            self._before.pop()
            return row, now

    def _write(self, row: Row, label: Mapping[str, Any]) -> Mapping[str, Any] | None:
        shown = {name: row[name] for name in LABEL_COLUMNS}
        written = self._writer.add({**shown, **label, "labelled_by": self._labeller})
        self.written += 1
        now = None if written["label"] == Label.WITHDRAWN else written
        self._marked += _is_mark(now) - _is_mark(self._labels.get(row["id"]))
        if now is None:
            self._labels.pop(row["id"], None)
        else:
            self._labels[row["id"]] = now
        self._mark(row["id"], now)
        return now

    def _mark(self, number: int, row: Mapping[str, Any] | None) -> None:
        """Update the label in the snapshot, for queries."""
        self._snapshot.change("DELETE FROM marks WHERE id = ?", [number])
        if row is not None:
            values = [number, str(row["label"]), row["generator"]]
            self._snapshot.change("INSERT INTO marks VALUES (?, ?, ?)", values)

    def _numbered(self, rows: list[dict[str, Any]]) -> dict[int, Mapping[str, Any]]:
        """Map labels to image numbers by unit and index."""
        assert set(LABEL_COLUMNS) <= set(LABELS.names)
        places = {(row["unit"], row["index"]): row for row in rows}
        found = self._snapshot.ask(
            'SELECT id, unit, "index" FROM images JOIN (SELECT unnest(?::VARCHAR[]) AS unit, '
            'unnest(?::INTEGER[]) AS "index") AS said USING (unit, "index")',
            [[unit for unit, _ in places], [index for _, index in places]],
        )
        return {row["id"]: places[row["unit"], row["index"]] for row in found}


def _is_mark(row: Mapping[str, Any] | None) -> bool:
    return row is not None and row["label"] != Label.NOTE
