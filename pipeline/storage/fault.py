"""Store faults: classifies client errors by image status and by whether a retry may help."""

import errno
import os
import socket

import aiohttp
import botocore.exceptions
import botocore.parsers
from aiohttp.http_exceptions import HttpProcessingError

from pipeline.records import Status


class SpecialFileError(OSError):
    """A directory entry that is not a regular file: a pipe, a socket, a device."""


class RefusedError(PermissionError):
    """A place that a listing names and may not name; see `pipeline.storage.access_policy`."""


class NoRangeError(OSError):
    """A server does not support range requests, and the file is too large to copy."""


class SlowError(OSError):
    """A server is too slow."""


class ContentEncodingError(OSError):
    """A body is corrupt or truncated in its content encoding."""


STORE_FAULTS = (
    *(OSError, aiohttp.ClientError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError),
    botocore.parsers.ResponseParserError,
)
"""What clients of stores raise on failures; a timeout is an OSError since Python 3.11. The last is raised for an answer
that is no XML, such as a proxy's error page."""
FORBIDDEN_CODES = frozenset({401, 402, 403, 407, 451})
MISSING_CODES = frozenset({404, 410})
CONFLICT_CODES = frozenset({409, 412})
TRANSIENT_CODES = frozenset({408, 425, 429})
"""Transient status codes from 400 to 499; all from 500 on are transient."""
MISSING_ERRNOS = frozenset({errno.ELOOP, errno.ENAMETOOLONG})
"""Error numbers that amount to "no such file"."""
MISSING_REASONS = {
    errno.ELOOP: "a symbolic link to itself",
    errno.ENAMETOOLONG: "a name that is too long",
    errno.EISDIR: "a folder, not a file",
}
"""The text for these instead of "no such file"."""
NAME_ERRORS = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, botocore.exceptions.ParamValidationError)
"""What clients raise for a name that is no URL, or none that S3 allows."""
NO_NAME = "not a URL or path that can be read"
PERMANENT_ERRORS = (
    *(SpecialFileError, NoRangeError, aiohttp.ClientConnectorCertificateError, *NAME_ERRORS),
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
)
"""Permanent errors, which are not retried."""


def fault_of(reason: BaseException) -> tuple[Status, str]:
    """Classify an error: missing, forbidden, not a file, or unreachable.

    Args:
        reason: one of `STORE_FAULTS`.

    Returns:
        The status and the reason in words.
    """
    error = _original(reason)
    code = _code(error)
    if isinstance(error, SpecialFileError):
        return Status.NOT_AN_IMAGE, str(error)
    if (why := _refused(error)) is not None:
        return Status.FORBIDDEN, str(why.strerror)
    if (
        code in MISSING_CODES
        or isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError)
        or getattr(error, "errno", None) in MISSING_ERRNOS
    ):
        return (
            Status.MISSING,
            f"{MISSING_REASONS.get(getattr(error, 'errno', None) or 0, 'no such file or folder')}: {_file_name(error)}",
        )
    if isinstance(error, NAME_ERRORS) and not isinstance(error, aiohttp.RedirectClientError):
        return Status.MISSING, f"{NO_NAME}: {error}"
    if code in FORBIDDEN_CODES or isinstance(error, PermissionError):
        return Status.FORBIDDEN, f"not allowed to read: {_file_name(error)}"
    return Status.UNREACHABLE, web_words(error) or f"{type(error).__name__}: {error}".removesuffix(": ")


def is_transient(reason: BaseException) -> bool:
    """Return whether an error is transient: throttling, a reset, a timeout or a server error."""
    error = _original(reason)
    if (
        not isinstance(error, STORE_FAULTS)
        or isinstance(error, PERMANENT_ERRORS)
        or fault_of(error)[0] is not Status.UNREACHABLE
    ):
        return False
    if getattr(getattr(error, "os_error", None), "errno", None) == socket.EAI_NONAME:
        return False  # the name server says that there is no such host
    code = _code(error)
    return code is None or code >= 500 or code in TRANSIENT_CODES


def already_exists(reason: BaseException) -> bool:
    """Return whether creating a file failed because it exists."""
    return _code(_original(reason)) in CONFLICT_CODES or getattr(reason, "errno", None) in (errno.EEXIST, errno.EBUSY)


def is_refused(reason: BaseException) -> bool:
    """Return whether a listing named a place that it may not name."""
    return _refused(_original(reason)) is not None


def _refused(error: BaseException) -> RefusedError | None:
    """Return the refusal of an error, which the web client keeps inside an error of its own."""
    inner = getattr(error, "os_error", None)
    return next((one for one in (error, inner) if isinstance(one, RefusedError)), None)


def web_words(error: BaseException) -> str:
    """Describe an error of a web server or of the way to it, without the URL; empty for any other."""
    match error:
        case aiohttp.TooManyRedirects():
            return "redirected too often"
        case aiohttp.RedirectClientError():
            return f"redirected to what is no web address: {error}"
        case aiohttp.ClientResponseError() if isinstance(error.__cause__, HttpProcessingError):
            return f"not an answer by the rules of HTTP: {error.message.partition(chr(10))[0].strip(':')}"
        case aiohttp.ClientResponseError():
            return f"HTTP {error.status} {error.message}".strip()
        case aiohttp.ClientPayloadError():
            return "the connection ended before the body did"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without an answer"
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host!r} was not found: {error.strerror}"
        case aiohttp.ClientSSLError():
            return f"no secure connection to {error.host}:{error.port}: {error.os_error}"
        case aiohttp.ClientConnectorError() if error.errno:
            return f"no connection to {error.host}:{error.port}: {os.strerror(error.errno)}"
    return ""


def _file_name(error: BaseException) -> str:
    """Return the file name of an error, or its text."""
    return str(getattr(error, "filename", None) or web_words(error) or error)


def _code(error: BaseException) -> int | None:
    """Return the HTTP status, which S3's client keeps in the response and s3fs in the error's cause."""
    for one in (error, error.__cause__):
        if isinstance(one, botocore.exceptions.ClientError):
            return int(one.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0) or None
        if isinstance(code := getattr(one, "status", None), int):
            return code
    return None


def _original(reason: BaseException) -> BaseException:
    """Return the original error: fsspec's HTTP raises "not found" for every failure, with the cause."""
    return reason.__cause__ if isinstance(reason.__cause__, aiohttp.ClientError) else reason
