"""What a request asks of S3, and whether a policy of IAM allows it, as AWS's reference has both.

Sources: docs.aws.amazon.com/service-authorization, "Actions, resources, and condition keys for Amazon S3";
docs.aws.amazon.com/IAM, "Policy evaluation logic". Only what the policies of deploy/aws use is evaluated.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from pipeline.storage.s3_file_system import S3Files
from tests.stores import faulty

CHANGES = {"s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}
OF_OBJECTS = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}


@dataclass(frozen=True)
class Demand:
    """What a request needs to be allowed.

    Attributes:
        action: of IAM.
        resource: its ARN.
        prefix: of a listing, as the condition key `s3:prefix` has it.
    """

    action: str
    resource: str
    prefix: str = ""


def demand(method: str, target: str) -> Demand:
    """Tell what a request with its bucket in the path needs; a removal of several objects names them in its body."""
    parts = urlsplit(target)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    arn = f"arn:aws:s3:::{bucket}"
    if key:
        multipart = {"DELETE": "s3:AbortMultipartUpload", "GET": "s3:ListMultipartUploadParts"}
        action = multipart.get(method, "s3:PutObject") if {"uploads", "uploadId"} & set(query) else OF_OBJECTS[method]
        return Demand(action, f"{arn}/{key}")
    if method == "GET" and "list-type" in query:
        return Demand("s3:ListBucket", arn, query.get("prefix", [""])[0])
    if method == "GET" and "location" in query:
        return Demand("s3:GetBucketLocation", arn)
    if not bucket:
        return Demand("s3:ListAllMyBuckets", "*")
    return Demand({"HEAD": "s3:ListBucket", "PUT": "s3:CreateBucket"}.get(method, f"unknown: {method} {target}"), arn)


def policy(root: Path, name: str, bucket: str = "lake") -> dict[str, Any]:
    """Read a policy of deploy/aws, for a bucket of that name."""
    text = (root / f"deploy/aws/{name}.json").read_text(encoding="utf-8")
    return dict(json.loads(text.replace(":::lake", f":::{bucket}")))


def allows(document: dict[str, Any], wanted: Demand) -> bool:
    """Tell whether one of a policy's statements allows a demand."""
    return any(_allows(statement, wanted) for statement in document["Statement"])


@contextmanager
def enforced(store: int, document: dict[str, Any]) -> Iterator[set[Demand]]:
    """Let the S3 clients of this process (not those of Ray's workers) do what a policy allows, and no more.

    Yields:
        What they have asked for so far.
    """
    made: set[Demand] = set()

    def refusal(method: str, target: str) -> str | None:
        wanted = demand(method, target)
        made.add(wanted)
        return None if allows(document, wanted) else "forbidden"

    with faulty(store, refusal) as port, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        S3Files.clear_instance_cache()
        yield made
    S3Files.clear_instance_cache()


def _allows(statement: dict[str, Any], wanted: Demand) -> bool:
    assert statement["Effect"] == "Allow" and set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
    prefixes = statement.get("Condition", {"StringLike": {"s3:prefix": ["*"]}})["StringLike"]["s3:prefix"]
    return (
        wanted.action in statement["Action"]
        and any(fnmatchcase(wanted.resource, pattern) for pattern in statement["Resource"])
        and any(fnmatchcase(wanted.prefix, pattern) for pattern in prefixes)
    )
