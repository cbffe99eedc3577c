"""Signed URLs: the query fields of a signature, which expire and do not identify the file."""

from urllib.parse import parse_qsl, urlsplit

from pipeline.storage.retry import is_web

SIGNED = (
    {"x-amz-signature"},
    {"x-goog-signature"},
    {"signature", "expires"},
    {"signature", "key-pair-id"},
    {"sig", "se"},
)
"""Sets of fields that mark a signed URL: S3's, Google's, the older ones of both, CloudFront's and Azure's."""
SIGNING = frozenset({"signature", "expires", "awsaccesskeyid", "googleaccessid", "key-pair-id", "policy"}) | {
    *("sv", "ss", "srt", "sr", "sp", "st", "se", "sip", "spr", "sig"),
    *("skoid", "sktid", "skt", "ske", "sks", "skv"),
}
"""The fields that signing adds, besides all that begin with `X-Amz-` or `X-Goog-`."""


def unsigned(url: str) -> str:
    """Return a web server's URL without its signature.

    So a newly signed URL matches the verdicts of the same file; every other field, such as `versionId`, is kept.
    """
    query = urlsplit(url).query if is_web(url) else ""
    names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    if not any(names >= marks for marks in SIGNED):
        return url
    kept = [field for field in query.split("&") if not _signs(field.partition("=")[0].lower())]
    return "?".join([url.partition("?")[0], *(["&".join(kept)] if kept else [])])


def _signs(name: str) -> bool:
    return name in SIGNING or name.startswith(("x-amz-", "x-goog-"))
