"""Label words: the words that mean real or generated in folder names, columns and members of shards."""

from collections.abc import Iterable, Mapping, Sequence

from mole.errors import SettingsError

REAL, FAKE = 0, 1
FOLDERS = {
    "0_real": REAL,
    "1_fake": FAKE,
    "real": REAL,
    "fake": FAKE,
    "nature": REAL,
    "ai": FAKE,
}
"""Folder names, in lower case; bare 0 and 1 are left out, since they often number object classes."""

VALUES = FOLDERS | {"0": REAL, "1": FAKE, "natural": REAL, "authentic": REAL, "generated": FAKE, "synthetic": FAKE}
"""Values of a column or of a `.cls` member, in lower case."""

NAMES = ("real", "fake")
Words = Mapping[str, int]
"""Label of each word: 0 real, 1 generated."""


def parse_mapping(pairs: Iterable[str]) -> dict[str, str]:
    """Parse pairs such as `human=real` from the command line.

    Raises:
        SettingsError: a pair has no equals sign.
    """
    read = [pair.partition("=") for pair in pairs]
    for name, equals, meaning in read:
        if not (name and equals and meaning):
            raise SettingsError(f"--label-names must be name=real or name=fake, got {name + equals + meaning!r}")
    return {name: meaning for name, _, meaning in read}


def extend_words(labels: Mapping[str, str] | None, known: Words) -> dict[str, int]:
    """Add a user's words to the known ones, in lower case.

    Raises:
        SettingsError: a word is given a meaning other than real or fake.
    """
    added = {}
    for name, meaning in (labels or {}).items():
        if meaning.lower() not in VALUES:
            raise SettingsError(f"label {name!r} must mean real or fake, got {meaning!r}")
        added[name.lower()] = VALUES[meaning.lower()]
    return {**known, **added}


def parse_label(value: object, known: Words) -> int | None:
    """Read one label; None for an unknown word."""
    if isinstance(value, bool | int | float):
        value = f"{value:g}"
    return known.get(value.strip().lower()) if isinstance(value, str) else None


def check_both(labels: Sequence[int], found: str) -> None:
    """Check that there are samples of both classes.

    Args:
        labels: of all samples.
        found: description of what was found.

    Raises:
        SettingsError: there is no image at all, or none of one class.
    """
    if not labels:
        raise SettingsError(f"no labelled image was found: {found}")
    if len(set(labels)) < 2:
        there, missing = NAMES[labels[0]], NAMES[1 - labels[0]]
        raise SettingsError(
            f"both classes are needed, got {len(labels):,} {there} and 0 {missing} images: {found}; "
            f"add --samples with {missing} ones"
        )
