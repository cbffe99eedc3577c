"""A store's fault: what its client's error means for an image, and whether asking again may help."""

import errno
import socket

import aiohttp
import botocore.exceptions

from pipeline.records import Status


class SpecialFileError(OSError):
    """Something that a file system shows and that is no file: a pipe, a socket, a device."""


class NoRangeError(OSError):
    """A server gives no part of a file, and the file is too large to be copied for its parts."""


class SlowError(OSError):
    """A server that gives too little for too long."""


class ContentEncodingError(OSError):
    """A body that is not, or not wholly, what its content coding says."""


STORE_FAULTS = (OSError, aiohttp.ClientError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
"""What a store's client raises when it cannot give the bytes; a timeout is an OSError since Python 3.11."""
FORBIDDEN_CODES = frozenset({401, 402, 403, 407, 451})
MISSING_CODES = frozenset({404, 410})
TAKEN_CODES = frozenset({409, 412})
PASSING_CODES = frozenset({408, 425, 429})
"""Of the codes from 400 to 499, those that say "later"; from 500 on all do."""
NO_SUCH_PLACE = frozenset({errno.ELOOP, errno.ENAMETOOLONG})
"""Errors of a file system that say "no such file" in other words: a link to itself, a name that is too long."""
NO_FILE = {
    errno.ELOOP: "a link that leads to itself",
    errno.ENAMETOOLONG: "a name that is too long",
    errno.EISDIR: "a folder, and no file",
}
"""What is said of these in place of "no such file"."""
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
"""Errors that are the same a minute later."""


def fault_of(reason: BaseException) -> tuple[Status, str]:
    """Name a store's fault: gone, not for us, no file at all, or out of reach.

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
    """Return whether a fault may pass: throttling, a reset, a timeout, a server's own error; not "no" and not "gone"."""
    told = _told(reason)
    if not isinstance(told, STORE_FAULTS) or isinstance(told, SETTLED) or fault_of(told)[0] is not Status.UNREACHABLE:
        return False
    if getattr(getattr(told, "os_error", None), "errno", None) == socket.EAI_NONAME:
        return False  # the network answers, and says that there is no such host
    code = _code(told)
    return code is None or code >= 500 or code in PASSING_CODES


def is_taken(reason: BaseException) -> bool:
    """Return whether a store refused to create a file because there is one."""
    return _code(_told(reason)) in TAKEN_CODES or getattr(reason, "errno", None) in (errno.EEXIST, errno.EBUSY)


def _place(told: BaseException) -> str:
    """Name the file that an error of a file system is about, which says the rest in other words."""
    return str(getattr(told, "filename", None) or told)


def _code(told: BaseException) -> int | None:
    """Find the HTTP status, which S3's client keeps in what it was told and s3fs in the error's cause."""
    for error in (told, told.__cause__):
        if isinstance(error, botocore.exceptions.ClientError):
            return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0) or None
        if isinstance(code := getattr(error, "status", None), int):
            return code
    return None


def _told(reason: BaseException) -> BaseException:
    """Find what the store really said: fsspec's HTTP says "not found" for every failure and keeps the cause."""
    return reason.__cause__ if isinstance(reason.__cause__, aiohttp.ClientError) else reason
