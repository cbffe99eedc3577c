"""A fault says what is so: gone, not for us, no file, out of reach; and only what may pass is asked again."""

import errno
import socket

import aiohttp
import pytest
from botocore.exceptions import ParamValidationError
from fsspec.exceptions import FSTimeoutError

from pipeline.records import Status
from pipeline.storage.fault import (
    ContentEncodingError,
    NoRangeError,
    SlowError,
    SpecialFileError,
    fault_of,
    is_transient,
)

KEY = aiohttp.client_reqrep.ConnectionKey("h", 80, False, True, None, None, None)


def no_host(code: int) -> aiohttp.ClientConnectorDNSError:
    """Make the error of a name that was not found."""
    return aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(code, "x"))


def answered(status: int) -> aiohttp.ClientResponseError:
    """Make the error of an answer."""
    request = aiohttp.RequestInfo(None, "GET", None, None)  # type: ignore[arg-type]
    return aiohttp.ClientResponseError(request, (), status=status)


@pytest.mark.parametrize(
    ("reason", "status", "passes"),
    [
        (SpecialFileError("a pipe"), Status.NOT_AN_IMAGE, False),
        (OSError(errno.ELOOP, "x"), Status.MISSING, False),
        (OSError(errno.ENAMETOOLONG, "x"), Status.MISSING, False),
        (NoRangeError("too large"), Status.UNREACHABLE, False),
        (SlowError("x"), Status.UNREACHABLE, True),
        (ContentEncodingError("x"), Status.UNREACHABLE, True),
        (answered(451), Status.FORBIDDEN, False),
        (answered(302), Status.UNREACHABLE, False),
        (answered(429), Status.UNREACHABLE, True),
        (answered(503), Status.UNREACHABLE, True),
        (aiohttp.NonHttpUrlRedirectClientError("file:///x"), Status.UNREACHABLE, False),
        (aiohttp.InvalidUrlRedirectClientError("http://"), Status.UNREACHABLE, False),
        (aiohttp.InvalidUrlClientError("http://"), Status.MISSING, False),
        (ParamValidationError(report="bucket name"), Status.MISSING, False),
        (no_host(socket.EAI_NONAME), Status.UNREACHABLE, False),
        (no_host(socket.EAI_AGAIN), Status.UNREACHABLE, True),
        (FSTimeoutError(), Status.UNREACHABLE, True),
    ],
)
def test_each_fault_has_its_status_and_is_asked_again_only_where_it_may_pass(
    reason: Exception, status: Status, passes: bool
) -> None:
    assert fault_of(reason)[0] is status
    assert is_transient(reason) is passes
