"""Printable: texts of crawled files and numbers, as a line of a terminal shows them."""


def printable(text: str) -> str:
    """Write a text in one line without what a terminal would obey: names of crawled images may hold anything."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def format_probability(probability: float) -> str:
    """Write a probability with three digits, and with more where those would round it to 0 or to 1."""
    for digits in range(3, 7):
        shown = f"{probability:.{digits}f}"
        if 0 < float(shown) < 1:
            return shown
    return "over 0.999999" if probability > 0.5 else "under 0.000001"


def counted(number: int, noun: str, several: str = "") -> str:
    """Write how many there are of something: `1 image`, `12 images`; `several` where another s is not enough."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"
