"""Store faults: classifies client errors by image status and by whether a retry may help."""

import errno
import socket

import aiohttp
import botocore.exceptions

from pipeline.records import Status


class SpecialFileError(OSError):
    """A directory entry that is not a regular file: a pipe, a socket, a device."""


class NoRangeError(OSError):
    """A server does not support range requests, and the file is too large to copy."""


class SlowError(OSError):
    """A server is too slow."""


class ContentEncodingError(OSError):
    """A body is corrupt or truncated in its content encoding."""


STORE_FAULTS = (OSError, aiohttp.ClientError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
"""What clients of stores raise on failures; a timeout is an OSError since Python 3.11."""
FORBIDDEN_CODES = frozenset({401, 402, 403, 407, 451})
MISSING_CODES = frozenset({404, 410})
TAKEN_CODES = frozenset({409, 412})
PASSING_CODES = frozenset({408, 425, 429})
"""Transient status codes from 400 to 499; all from 500 on are transient."""
NO_SUCH_PLACE = frozenset({errno.ELOOP, errno.ENAMETOOLONG})
"""Error numbers that amount to "no such file"."""
NO_FILE = {
    errno.ELOOP: "a symbolic link to itself",
    errno.ENAMETOOLONG: "a name that is too long",
    errno.EISDIR: "a folder, not a file",
}
"""The text for these instead of "no such file"."""
SETTLED = (
    SpecialFileError,
    NoRangeError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.InvalidURL,
    aiohttp.InvalidUrlClientError,
    aiohttp.NonHttpUrlClientError,
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.ParamValidationError,
)
"""Permanent errors, which are not retried."""


def fault_of(reason: BaseException) -> tuple[Status, str]:
    """Classify an error: missing, forbidden, not a file, or unreachable.

    Args:
        reason: one of `STORE_FAULTS`.

    Returns:
        The status and the reason in words.
    """
    told = _told(reason)
    code = _code(told)
    if isinstance(told, SpecialFileError):
        return Status.NOT_AN_IMAGE, str(told)
    if (
        code in MISSING_CODES
        or isinstance(told, FileNotFoundError | IsADirectoryError | NotADirectoryError)
        or getattr(told, "errno", None) in NO_SUCH_PLACE
    ):
        return Status.MISSING, f"{NO_FILE.get(getattr(told, 'errno', None) or 0, 'no such file')}: {_place(told)}"
    if code in FORBIDDEN_CODES or isinstance(told, PermissionError):
        return Status.FORBIDDEN, f"not allowed to read: {_place(told)}"
    return Status.UNREACHABLE, f"{type(told).__name__}: {told}"


def is_passing(reason: BaseException) -> bool:
    """Return whether an error is transient: throttling, a reset, a timeout or a server error."""
    told = _told(reason)
    if not isinstance(told, STORE_FAULTS) or isinstance(told, SETTLED) or fault_of(told)[0] is not Status.UNREACHABLE:
        return False
    if getattr(getattr(told, "os_error", None), "errno", None) == socket.EAI_NONAME:
        return False  # the name server says that there is no such host
    code = _code(told)
    return code is None or code >= 500 or code in PASSING_CODES


def is_taken(reason: BaseException) -> bool:
    """Return whether creating a file failed because it exists."""
    return _code(_told(reason)) in TAKEN_CODES or getattr(reason, "errno", None) in (errno.EEXIST, errno.EBUSY)


def _place(told: BaseException) -> str:
    """Return the file name of an error, or its text."""
    return str(getattr(told, "filename", None) or told)


def _code(told: BaseException) -> int | None:
    """Return the HTTP status, which S3's client keeps in the response and s3fs in the error's cause."""
    for error in (told, told.__cause__):
        if isinstance(error, botocore.exceptions.ClientError):
            return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0) or None
        if isinstance(code := getattr(error, "status", None), int):
            return code
    return None


def _told(reason: BaseException) -> BaseException:
    """Return the original error: fsspec's HTTP raises "not found" for every failure, with the cause."""
    return reason.__cause__ if isinstance(reason.__cause__, aiohttp.ClientError) else reason
