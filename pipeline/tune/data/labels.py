"""Labels: the words by which collectors say that an image is real or generated."""

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
"""Names of folders, in small letters; bare 0 and 1 are left out, for they number classes as often as labels."""

VALUES = FOLDERS | {"0": REAL, "1": FAKE, "natural": REAL, "authentic": REAL, "generated": FAKE, "synthetic": FAKE}
"""Values of a column or of a `.cls` member, in small letters."""

NAMES = ("real", "fake")
Words = Mapping[str, int]
"""What each word means: 0 real, 1 generated."""


def mapping(pairs: Iterable[str]) -> dict[str, str]:
    """Read `human=real` and the like from the command line.

    Raises:
        SettingsError: a pair has no equals sign.
    """
    read = [pair.partition("=") for pair in pairs]
    for name, equals, meaning in read:
        if not (name and equals and meaning):
            raise SettingsError(f"--labels takes name=real and name=fake, got {name + equals + meaning!r}")
    return {name: meaning for name, _, meaning in read}


def words(labels: Mapping[str, str] | None, known: Words) -> dict[str, int]:
    """Add a user's words to the known ones, in small letters.

    Raises:
        SettingsError: a word is to mean neither real nor fake.
    """
    added = {}
    for name, meaning in (labels or {}).items():
        if meaning.lower() not in VALUES:
            raise SettingsError(f"label {name!r} must mean real or fake, got {meaning!r}")
        added[name.lower()] = VALUES[meaning.lower()]
    return {**known, **added}


def meaning(value: object, known: Words) -> int | None:
    """Read one label; None for a word that is not known."""
    if isinstance(value, bool | int | float):
        value = f"{value:g}"
    return known.get(value.strip().lower()) if isinstance(value, str) else None


def check_both(labels: Sequence[int], told: str) -> None:
    """Refuse samples of one class alone.

    Args:
        labels: of all samples.
        told: what was found, in words.

    Raises:
        SettingsError: there is no image at all, or none of one class.
    """
    if not labels:
        raise SettingsError(f"no labelled image was found: {told}")
    if len(set(labels)) < 2:
        there, missing = NAMES[labels[0]], NAMES[1 - labels[0]]
        raise SettingsError(
            f"both classes are needed, got {len(labels):,} {there} and 0 {missing} images: {told}; "
            f"add --samples with {missing} ones"
        )
