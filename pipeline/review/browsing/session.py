"""Session: the resources of one start of the browser: snapshot, checkpoints, pictures, heat maps and labels."""

import secrets
import threading
from functools import cached_property

from pipeline.labels import current_labels
from pipeline.review.browsing.checkpoints import Checkpoints
from pipeline.review.browsing.facets import Facets
from pipeline.review.browsing.heatmap_process import Drawn, Heat
from pipeline.review.browsing.image_record import Records
from pipeline.review.browsing.labelling import Labelling
from pipeline.review.browsing.pictures import Absent, Pictures
from pipeline.review.browsing.query import Query
from pipeline.review.browsing.settings import BrowseSettings
from pipeline.review.browsing.snapshot import Row, TableSnapshot
from pipeline.review.browsing.sql_condition import require_condition

IMAGES_PER_PAGE = 60
"""Images per page."""
CARD_COLUMNS = 'id, unit, "index", key, uri, verdict, probability, status, detail, declared, generator, contradicted'


class Session:
    """A browsing session.

    Args:
        settings: the command's settings.

    Raises:
        SettingsError: a path does not exist, or the folder of labels holds other files.
        ModelError: the named model is not a checkpoint.
        StorageError: a store does not respond.
    """

    def __init__(self, settings: BrowseSettings) -> None:
        self.settings = settings
        self.token = secrets.token_urlsafe(24)
        self.edition = secrets.token_hex(4)
        """Part of each picture's URL, so that a browser does not show cached ones of an earlier session."""
        self._known = current_labels(settings.labels_folder, notes=True)
        self.checkpoints = Checkpoints(settings.table, settings.model, settings.registry)
        self.snapshot = TableSnapshot(settings.table, self.checkpoints.thresholds())
        self.records = Records(self.snapshot, self.checkpoints)
        self.pictures = Pictures()
        self.heat = Heat()
        self._making = threading.Lock()

    @cached_property
    def _labelling(self) -> Labelling:
        return Labelling(self.snapshot, self.settings.labels_folder, self.settings.labeller, self._known)

    @cached_property
    def _facets(self) -> Facets:
        return Facets.of(self.snapshot)

    @property
    def labelling(self) -> Labelling:
        """The labels; requires a ready snapshot."""
        with self._making:
            return self._labelling

    @property
    def facets(self) -> Facets:
        """The facets; requires a ready snapshot."""
        with self._making:
            return self._facets

    def count(self, query: Query) -> int:
        """Count the images that match a query.

        Raises:
            SettingsError: its condition is invalid, or takes too long.
        """
        if query.is_open:
            return self.snapshot.state.images
        if query.condition:
            require_condition(self.snapshot.ask, query.condition)
        rows = self.snapshot.ask(f"SELECT count(*) AS images FROM images WHERE {query.where}", query.values)
        return int(rows[0]["images"])

    def page(self, query: Query, *, after: int | None, before: int | None) -> tuple[list[Row], bool, bool]:
        """Read a page of images.

        Args:
            query: filter and order.
            after: the image number before the page; None for the first page.
            before: the image number after the page.

        Returns:
            The rows of the cards, whether there is a previous page, and whether there is a next page.
        """
        back = before is not None
        anchor = before if back else after
        place = None if anchor is None else self._place(query, anchor)
        numbers = [row["id"] for row in self.snapshot.ask(*query.page(IMAGES_PER_PAGE + 1, place, back=back))]
        more, numbers = len(numbers) > IMAGES_PER_PAGE, numbers[:IMAGES_PER_PAGE]
        if back:
            numbers.reverse()
        rows = {row["id"]: row for row in self._cards(numbers)}
        cards = [rows[number] for number in numbers]
        return cards, (more if back else place is not None), (True if back else more)

    def neighbours(self, query: Query, number: int) -> tuple[int | None, int | None]:
        """Return the previous and the next image in the query's order."""
        place = self._place(query, number)
        if place is None:
            return None, None
        found = [self.snapshot.ask(*query.page(1, place, back=back)) for back in (True, False)]
        before, after = (rows[0]["id"] if rows else None for rows in found)
        return before, after

    def heat_map(self, row: Row) -> Drawn | Absent:
        """Draw the heat map of an image."""
        checkpoint = self.checkpoints.of(row["model"])
        if checkpoint is None:
            return Absent(f"The checkpoint of {row['model']} is not available; name it with --model or --registry")
        views_C3SS = self.pictures.views(row, checkpoint.preprocess)
        return views_C3SS if isinstance(views_C3SS, Absent) else self.heat.drawn(checkpoint, views_C3SS)

    def close(self) -> None:
        """Release all resources; labels are kept."""
        self.heat.close()
        self.pictures.close()
        self.snapshot.close()

    def _place(self, query: Query, number: int) -> Row | None:
        rows = self.snapshot.ask(f"SELECT id, {query.rank} AS rank FROM images WHERE id = ?", [number])
        return rows[0] if rows else None

    def _cards(self, numbers: list[int]) -> list[Row]:
        if not numbers:
            return []
        return self.snapshot.ask(f"SELECT {CARD_COLUMNS} FROM images WHERE id IN ({', '.join(map(str, numbers))})")
