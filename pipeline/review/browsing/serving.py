"""Serving: runs the web server on the loopback interface until Ctrl-C."""

import os
import socket
import webbrowser
from collections.abc import Callable

import uvicorn

from mole.errors import SettingsError
from pipeline.review.browsing.app import application
from pipeline.review.browsing.session import Session
from pipeline.review.browsing.settings import BrowseSettings
from pipeline.storage import retry

LOOPBACK = "127.0.0.1"
SHUTDOWN_SECONDS = 2
"""Timeout of running requests on shutdown in seconds."""
STORE_RETRY_SECONDS = "5"
"""Default duration of retries in seconds, short since a user is waiting."""
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def serve(settings: BrowseSettings, say: Callable[[str], None]) -> int:
    """Serve until Ctrl-C.

    Args:
        settings: the command's settings.
        say: called with the URL.

    Returns:
        Number of labels written.

    Raises:
        SettingsError: a path does not exist, or the port is in use.
        StorageError: the table cannot be read.
    """
    listening = bound(settings.port)
    port = listening.getsockname()[1]
    session = Session(settings)
    try:
        session.snapshot.start()
        os.environ.setdefault(retry.PATIENCE_VARIABLE, STORE_RETRY_SECONDS)
        address = f"http://{LOOPBACK}:{port}/?token={session.token}"
        say(address)
        if has_display() and not settings.no_open:
            webbrowser.open(address)
        config = uvicorn.Config(
            application(session, port),
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            server_header=False,
            lifespan="off",
            ws="none",
        )
        try:
            uvicorn.Server(config).run([listening])
        finally:
            written = session.labelling.written if session.snapshot.state.ready else 0
        return written
    finally:
        session.close()
        listening.close()


def bound(port: int) -> socket.socket:
    """Listen on a port of the loopback interface; 0 for a free one.

    Raises:
        SettingsError: the port is in use.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
        listening.listen()  # from now on connections are queued
    except OSError as reason:
        listening.close()
        raise SettingsError(
            f"--port {port} is not available: {reason.strerror}; give another, or 0 for a free one"
        ) from reason
    return listening


def has_display() -> bool:
    """Return whether a browser can be opened."""
    return any(os.environ.get(name) for name in DISPLAYS)
