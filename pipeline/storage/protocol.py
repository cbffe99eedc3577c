"""Protocol of a URL: what is before `://`; a name without one is a local path."""

import re

PROTOCOL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
LOCAL = ("file", "local")


def protocol_of(url: str) -> str | None:
    """Return a URL's protocol in small letters, None for a local path."""
    found = PROTOCOL.match(url)
    protocol = found[1].lower() if found else "file"
    return None if protocol in LOCAL else protocol
