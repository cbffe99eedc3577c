"""Spot termination: polls EC2's two-minute interruption notice and ends the run as SIGTERM does.

Other platforms send SIGTERM themselves: an evicted pod, a GCP machine that shuts down.
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
"""The variable that overrides the metadata endpoint, as for AWS's own clients."""
POLL_SECONDS = 5.0
"""Seconds between two requests, as AWS advises: docs.aws.amazon.com/AWSEC2/latest/UserGuide, "Spot Instance
interruption notices"."""
TIMEOUT = 2.0
TOKEN_SECONDS = "60"
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Ignores proxies of the environment, which would return their own machine's metadata."""


@contextmanager
def spot_notice_handler(
    log: Callable[[str], None], *, enabled: bool = True, every: float = POLL_SECONDS
) -> Iterator[None]:
    """Send this process SIGTERM as soon as EC2 announces that its machine will be reclaimed.

    Args:
        log: called with the reason for the end of the run, or once if the metadata service does not respond.
        enabled: no-op if false.
        every: seconds between two requests.
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
    warned = False
    while not ended.is_set():
        try:
            notice = instance_action()
        except OSError as reason:
            if not warned:
                log(f"--spot-notice: EC2's metadata service does not respond ({reason}); no notice can be received")
                warned = True
            notice = None
        if notice is not None:
            log(f"EC2 reclaims this machine: {notice}")
            os.kill(os.getpid(), signal.SIGTERM)
            return
        ended.wait(every)


def instance_action() -> str | None:
    """Request the interruption notice of this machine.

    Returns:
        The notice (JSON: the action and its time); None if there is none.

    Raises:
        OSError: no response; this is not an EC2 machine, or its metadata service is disabled.
    """
    place = os.environ.get(ENDPOINT_VARIABLE, ENDPOINT).rstrip("/")
    token = _request(f"{place}/latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": TOKEN_SECONDS})
    try:
        return _request(f"{place}/latest/meta-data/spot/instance-action", "GET", {"X-aws-ec2-metadata-token": token})
    except urllib.error.HTTPError as reason:
        if reason.code == 404:  # the usual response
            return None
        raise


def _request(url: str, method: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, method=method, headers=headers)
    with NO_PROXY.open(request, timeout=TIMEOUT) as answer:
        return str(answer.read().decode())
