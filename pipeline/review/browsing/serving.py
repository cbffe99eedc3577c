"""Serving: the pages on a port of this machine's loopback, until Ctrl-C."""

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
PATIENCE = 2
"""Seconds that answers under way have at the end."""
STORE_PATIENCE = "5"
"""Seconds for which a store that fails is asked again, unless the environment says otherwise: somebody waits for it."""
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def serve(settings: BrowseSettings, say: Callable[[str], None]) -> int:
    """Serve until Ctrl-C.

    Args:
        settings: what the user asked for.
        say: is told the address.

    Returns:
        How many labels were written.

    Raises:
        SettingsError: a place is not there, or the port is taken.
        StorageError: the table cannot be read.
    """
    listening = bound(settings.port)
    port = listening.getsockname()[1]
    session = Session(settings)
    try:
        session.snapshot.start()
        os.environ.setdefault(retry.SECONDS, STORE_PATIENCE)
        address = f"http://{LOOPBACK}:{port}/?token={session.token}"
        say(address)
        if has_display() and not settings.no_open:
            webbrowser.open(address)
        config = uvicorn.Config(
            application(session, port),
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=PATIENCE,
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
    """Take a port of the loopback; 0 takes a free one.

    Raises:
        SettingsError: another program has it.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
        listening.listen()  # from now on who asks waits, and is not turned away
    except OSError as reason:
        listening.close()
        raise SettingsError(
            f"--port {port} cannot be had: {reason.strerror}; name another, or 0 for a free one"
        ) from reason
    return listening


def has_display() -> bool:
    """Return whether a browser could be opened here for whoever started the command."""
    return any(os.environ.get(name) for name in DISPLAYS)
