"""Notice: EC2 tells a spot machine two minutes before it takes it away; a run there ends as at SIGTERM.

Other places send SIGTERM by themselves: a pod that is moved, a machine of GCP as it shuts down.
"""

import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PLACE = "http://169.254.169.254"
PLACE_SETTING = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
"""Where EC2's metadata are asked for, under the name that AWS's own clients know."""
EVERY = 5.0
"""Seconds between two questions, as AWS advises: docs.aws.amazon.com/AWSEC2/latest/UserGuide, "Spot Instance
interruption notices"."""
PATIENCE = 2.0
LIFE = "60"
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy of the environment, which would be asked for its own machine's metadata."""


@contextmanager
def heeded(say: Callable[[str], None], *, asked: bool = True, every: float = EVERY) -> Iterator[None]:
    """Send this process SIGTERM as soon as EC2 says that its machine will be taken away.

    Args:
        say: told why the run ends, or that nobody answers here.
        asked: whether this was asked for; else nothing is done.
        every: seconds between two questions.
    """
    if not asked:
        yield
        return
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(say, every, ended), daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def _watch(say: Callable[[str], None], every: float, ended: threading.Event) -> None:
    told = False
    while not ended.is_set():
        try:
            notice = given()
        except OSError as reason:
            if not told:
                say(f"--spot-notice: EC2's metadata do not answer ({reason}); without them no notice is seen")
                told = True
            notice = None
        if notice is not None:
            say(f"EC2 takes this machine away: {notice}")
            os.kill(os.getpid(), signal.SIGTERM)
            return
        ended.wait(every)


def given() -> str | None:
    """Ask whether this machine will be taken away.

    Returns:
        What EC2 says of it (JSON: the action and its time); None while there is no notice.

    Raises:
        OSError: nobody answers; this is no machine of EC2, or its metadata are turned off.
    """
    place = os.environ.get(PLACE_SETTING, PLACE).rstrip("/")
    token = _asked(f"{place}/latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": LIFE})
    try:
        return _asked(f"{place}/latest/meta-data/spot/instance-action", "GET", {"X-aws-ec2-metadata-token": token})
    except urllib.error.HTTPError as reason:
        if reason.code == 404:  # the usual answer
            return None
        raise


def _asked(url: str, method: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, method=method, headers=headers)
    with DIRECTLY.open(request, timeout=PATIENCE) as answer:
        return str(answer.read().decode())
