"""Laws of serving: on the loopback alone, on a port that is free."""

import pytest

from mole.errors import SettingsError
from pipeline.review.browsing.serving import LOOPBACK, bound, has_display


def test_a_port_that_another_program_has_is_refused() -> None:
    with bound(0) as listening:
        host, port = listening.getsockname()
        assert host == LOOPBACK
        with pytest.raises(SettingsError, match=f"--port {port} is not available"):
            bound(port)


def test_a_browser_is_opened_only_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()
