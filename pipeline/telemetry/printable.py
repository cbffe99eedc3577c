"""Printable: escaped texts, probabilities and counts for terminal output."""


def printable(text: str) -> str:
    """Escape line breaks and control characters: names of crawled images may contain anything."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def format_probability(probability: float) -> str:
    """Format a probability with three digits, or more if it would be rounded to 0 or 1."""
    for digits in range(3, 7):
        shown = f"{probability:.{digits}f}"
        if 0 < float(shown) < 1:
            return shown
    return "over 0.999999" if probability > 0.5 else "under 0.000001"


def counted(number: int, noun: str, several: str = "") -> str:
    """Format a count with its noun: `1 image`, `12 images`; `several` is an irregular plural."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"
