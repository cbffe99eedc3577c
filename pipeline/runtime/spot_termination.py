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

ENDPOINT = "http://169.254.169.254"
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
"""Where EC2's metadata are enabled for, under the name that AWS's own clients know."""
POLL_SECONDS = 5.0
"""Seconds between two questions, as AWS advises: docs.aws.amazon.com/AWSEC2/latest/UserGuide, "Spot Instance
interruption notices"."""
TIMEOUT = 2.0
TOKEN_SECONDS = "60"
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy of the environment, which would be enabled for its own machine's metadata."""


@contextmanager
def spot_notice_handler(
    log: Callable[[str], None], *, enabled: bool = True, every: float = POLL_SECONDS
) -> Iterator[None]:
    """Send this process SIGTERM as soon as EC2 says that its machine will be taken away.

    Args:
        log: told why the run ends, or that nobody answers here.
        enabled: whether this was enabled for; else nothing is done.
        every: seconds between two questions.
    """
    if not enabled:
        yield
        return
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(log, every, ended), daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def _watch(log: Callable[[str], None], every: float, ended: threading.Event) -> None:
    told = False
    while not ended.is_set():
        try:
            notice = instance_action()
        except OSError as reason:
            if not told:
                log(f"--spot-notice: EC2's metadata do not answer ({reason}); without them no notice is seen")
                told = True
            notice = None
        if notice is not None:
            log(f"EC2 takes this machine away: {notice}")
            os.kill(os.getpid(), signal.SIGTERM)
            return
        ended.wait(every)


def instance_action() -> str | None:
    """Ask whether this machine will be taken away.

    Returns:
        What EC2 says of it (JSON: the action and its time); None while there is no notice.

    Raises:
        OSError: nobody answers; this is no machine of EC2, or its metadata are turned off.
    """
    place = os.environ.get(ENDPOINT_VARIABLE, ENDPOINT).rstrip("/")
    token = _request(f"{place}/latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": TOKEN_SECONDS})
    try:
        return _request(f"{place}/latest/meta-data/spot/instance-action", "GET", {"X-aws-ec2-metadata-token": token})
    except urllib.error.HTTPError as reason:
        if reason.code == 404:  # the usual answer
            return None
        raise


def _request(url: str, method: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, method=method, headers=headers)
    with NO_PROXY.open(request, timeout=TIMEOUT) as answer:
        return str(answer.read().decode())
