"""Suspicious CSV: writes the suspicious images to a CSV file, safe against formula injection, most suspicious first."""

import json
import os
import tempfile
from pathlib import Path

import duckdb

from mole.errors import StorageError
from pipeline.review.analysis.findings import MAX_CSV_ROWS
from pipeline.review.analysis.model_rows import ModelRows
from pipeline.review.analysis.suspicious import ORDER, SUSPICIOUS
from pipeline.review.page.wording import CREDENTIAL_WORDS
from pipeline.storage import storage

NAME = "suspicious.csv"
FORMULA = r"^[=+\-@\t\r\n]"
"""Start of a cell that a spreadsheet would evaluate; an apostrophe before it prevents that."""
URI = rf"""
    regexp_replace(CASE WHEN regexp_matches(uri, '://[^?#]*[?](.*[&_-])?({CREDENTIAL_WORDS})[^&=]*=', 'i')
                        THEN regexp_extract(uri, '^[^?#]*') ELSE uri END, '://[^/@]*@', '://')
"""
"""A URL without user and password, and without a query that grants access."""
PATH = f"""coalesce(CASE WHEN "offset" IS NULL THEN {URI} ELSE {URI} || '/' || key END, key, '')"""
"""Location of an image; in an archive, the archive's URL and the member's name."""
CSV_ROWS_SQL = f"""
    SELECT CASE WHEN regexp_matches({PATH}, '{FORMULA}') THEN '''' ELSE '' END || {PATH} AS path,
           verdict, round(probability, 6) AS probability, declared
    FROM evidence WHERE {SUSPICIOUS} ORDER BY {ORDER} LIMIT {MAX_CSV_ROWS}
"""


def write(rows: ModelRows, url: str) -> tuple[int, int]:
    """Write the suspicious images of a model; the file is written atomically.

    Args:
        rows: the model's rows.
        url: the file's URL.

    Returns:
        The number of its rows, and of suspicious images.

    Raises:
        StorageError: the store denies the write.
    """
    target = storage.filesystem(url)[1] if storage.is_local(url) else None
    folder = None if target is None else os.path.dirname(target)
    try:
        if folder:
            os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".tmp-") as place:
            file = Path(place) / NAME
            rows.run(f"COPY ({CSV_ROWS_SQL}) TO '{str(file).replace(chr(39), chr(39) * 2)}' (FORMAT csv, HEADER)")
            if target is None:
                storage.write(url, file.read_bytes())
            else:
                os.replace(file, target)
    except (OSError, duckdb.IOException) as reason:
        raise StorageError(f"cannot write {url!r}: {_words(reason)}") from reason
    [count] = rows.ask(f"SELECT count(*) AS images FROM narrow WHERE {SUSPICIOUS}")
    return min(count["images"], MAX_CSV_ROWS), count["images"]


def _words(reason: Exception) -> str:
    """Return an error's message; that of a write that failed in DuckDB ends with the cause as JSON."""
    words, found, cause = str(reason).partition(': {"')
    return str(json.loads(f'{{"{cause}')["exception_message"]) if found else words
