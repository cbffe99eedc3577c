"""A page as a browser reads it: its tags, texts and links, and whatever it would fetch."""

from collections.abc import Sequence
from html.parser import HTMLParser

OPEN = {"meta", "link", "img", "br"}
"""Tags that are never closed."""
FETCHING = {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}


class Page(HTMLParser):
    """A page's tags, texts, links and whatever it would fetch; every tag must be closed, and none may run a script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.texts = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Note what a tag asks for."""
        self.tags.append(tag)
        if tag not in OPEN:
            self._open.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        for name, value in attrs:
            if tag == "a" and name == "href":
                self.links.append(str(value))
            elif name in FETCHING:
                self.fetched.append(str(value))
            elif name == "id":
                self.ids.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        """Close what is open."""
        if tag not in OPEN:
            assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        """Gather the text."""
        self.texts += data
