"""Sheet: the suspicious images as a CSV that a spreadsheet opens, the most suspicious first, none of it a formula."""

import os
import tempfile
from pathlib import Path

import duckdb

from mole.errors import StorageError
from pipeline.review.evidence.findings import MOST_LINES
from pipeline.review.evidence.model_rows import ModelRows
from pipeline.review.evidence.suspicious import ORDER, SUSPICIOUS
from pipeline.review.page.wording import RIGHTS
from pipeline.storage import storage

NAME = "suspicious.csv"
FORMULA = r"^[=+\-@\t\r\n]"
"""How a cell begins that a spreadsheet computes; an apostrophe before it makes it a text."""
URI = rf"""
    regexp_replace(CASE WHEN regexp_matches(uri, '://[^?#]*[?](.*[&_-])?({RIGHTS})[^&=]*=', 'i')
                        THEN regexp_extract(uri, '^[^?#]*') ELSE uri END, '://[^/@]*@', '://')
"""
"""An address without its user, and without a query that gives rights."""
PATH = f"""coalesce(CASE WHEN "offset" IS NULL THEN {URI} ELSE {URI} || '/' || key END, key, '')"""
"""Where an image is; of one in an archive the archive's address, and its name there behind it."""
LINES = f"""
    SELECT CASE WHEN regexp_matches({PATH}, '{FORMULA}') THEN '''' ELSE '' END || {PATH} AS path,
           verdict, round(probability, 6) AS probability, declared
    FROM evidence WHERE {SUSPICIOUS} ORDER BY {ORDER} LIMIT {MOST_LINES}
"""


def write(rows: ModelRows, url: str) -> tuple[int, int]:
    """Write the suspicious images of a model, line by line; the whole file appears at once.

    Args:
        rows: the model's.
        url: of the file.

    Returns:
        How many lines it has, and how many images are suspicious.

    Raises:
        StorageError: the store refuses.
    """
    target = storage.filesystem(url)[1] if storage.is_local(url) else None
    folder = None if target is None else os.path.dirname(target)
    try:
        if folder:
            os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".tmp-") as place:
            file = Path(place) / NAME
            rows.run(f"COPY ({LINES}) TO '{str(file).replace(chr(39), chr(39) * 2)}' (FORMAT csv, HEADER)")
            if target is None:
                storage.write(url, file.read_bytes())
            else:
                os.replace(file, target)
    except (OSError, duckdb.IOException) as reason:
        raise StorageError(f"cannot write {url!r}: {reason}") from reason
    [count] = rows.ask(f"SELECT count(*) AS images FROM narrow WHERE {SUSPICIOUS}")
    return min(count["images"], MOST_LINES), count["images"]
