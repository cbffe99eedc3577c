"""The signature of a URL: who holds such a URL may read its file, for a while; it says nothing of which file."""

from urllib.parse import parse_qsl, urlsplit

from pipeline.storage.retry import is_web

SIGNED = (
    {"x-amz-signature"},
    {"x-goog-signature"},
    {"signature", "expires"},
    {"signature", "key-pair-id"},
    {"sig", "se"},
)
"""Fields by which a signed URL is known: S3's, Google's, the older ones of both, CloudFront's and Azure's."""
SIGNING = frozenset({"signature", "expires", "awsaccesskeyid", "googleaccessid", "key-pair-id", "policy"}) | {
    *("sv", "ss", "srt", "sr", "sp", "st", "se", "sip", "spr", "sig"),
    *("skoid", "sktid", "skt", "ske", "sks", "skv"),
}
"""What such a signing adds, beside all that begin with `X-Amz-` or `X-Goog-`."""


def unsigned(url: str) -> str:
    """Name a file whatever signature its URL bears: a web server's URL without the fields that a signing adds.

    A new signature of the same file is the same place, so its verdicts are found again; every other field, such as
    `versionId`, is part of the place.
    """
    query = urlsplit(url).query if is_web(url) else ""
    names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    if not any(names >= marks for marks in SIGNED):
        return url
    kept = [field for field in query.split("&") if not _signs(field.partition("=")[0].lower())]
    return "?".join([url.partition("?")[0], *(["&".join(kept)] if kept else [])])


def _signs(name: str) -> bool:
    return name in SIGNING or name.startswith(("x-amz-", "x-goog-"))
