"""Browse: view a verdict table in the browser, inspect scores, and label images."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import sys

from pipeline.review.browsing.serving import serve
from pipeline.review.browsing.settings import BrowseSettings
from pipeline.telemetry.log import LOG
from pipeline.telemetry.terminal import TERMINATED, Terminated, command


@command
def main(arguments: list[str]) -> int:
    """Serve the pages until Ctrl-C.

    Returns:
        The exit code: 0 ended with Ctrl-C, 2 settings, 3 storage, 4 model, 143 SIGTERM.
    """
    settings = BrowseSettings.from_command_line(arguments)
    try:
        serve(settings, lambda address: announce(settings, address))
    except Terminated:
        print("ended by SIGTERM", file=sys.stderr)
        return TERMINATED
    except KeyboardInterrupt:
        print("ended", file=sys.stderr)
    return 0


def announce(settings: BrowseSettings, address: str) -> None:
    """Print the URL, flushed in case stdout is not a terminal."""
    print(address, flush=True)
    line = f"labels are written to {settings.labels_folder}, as {settings.labeller}; Ctrl-C ends the server"
    LOG.console().print(line, highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
