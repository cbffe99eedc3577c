"""The policies of deploy/aws: as few rights as the jobs need, which the tests of those hold them to, and none beyond."""

from pathlib import Path

import pytest

from tests.policies import CHANGES, Demand, allows, demand, policy

NAMES = ("scan", "compact", "read")
TABLE = "arn:aws:s3:::lake/verdicts/model=m/part-1.parquet"
SHARD = "arn:aws:s3:::lake/shards/00000.tar"


@pytest.mark.parametrize("name", NAMES)
def test_no_action_and_no_resource_is_left_open(root: Path, name: str) -> None:
    document = policy(root, name)
    assert document["Version"] == "2012-10-17"
    actions = [action for one in document["Statement"] for action in one["Action"]]
    assert all("*" not in action for action in actions)
    assert all(
        one.removeprefix("arn:aws:s3:::").startswith("lake") for s in document["Statement"] for one in s["Resource"]
    )
    assert not set(actions) & {"s3:CreateBucket", "s3:DeleteBucket", "s3:ListAllMyBuckets", "s3:PutObjectAcl"}


@pytest.mark.parametrize(
    ("name", "action", "resource", "allowed"),
    [
        ("scan", "s3:GetObject", SHARD, True),
        ("scan", "s3:PutObject", TABLE, True),
        ("scan", "s3:PutObject", SHARD, False),
        ("scan", "s3:DeleteObject", SHARD, False),
        ("scan", "s3:GetObject", "arn:aws:s3:::lake/private/a.jpg", False),
        ("scan", "s3:PutObject", "arn:aws:s3:::lake/verdicts-of-others/a", False),
        ("compact", "s3:DeleteObject", TABLE, True),
        ("compact", "s3:GetObject", SHARD, False),
        ("read", "s3:GetObject", TABLE, True),
        ("read", "s3:GetObject", SHARD, True),
        *(("read", action, TABLE, False) for action in sorted(CHANGES)),
    ],
)
def test_each_job_may_do_its_work_and_no_more(root: Path, name: str, action: str, resource: str, allowed: bool) -> None:
    assert allows(policy(root, name), Demand(action, resource)) is allowed


def test_only_the_named_folders_may_be_listed(root: Path) -> None:
    for name in NAMES:
        bucket = "arn:aws:s3:::lake"
        assert allows(policy(root, name), Demand("s3:ListBucket", bucket, "verdicts/"))
        assert not allows(policy(root, name), Demand("s3:ListBucket", bucket))
        assert not allows(policy(root, name), Demand("s3:ListBucket", bucket, "private/"))


@pytest.mark.parametrize(
    ("method", "target", "wanted"),
    [
        ("GET", "/lake/a%20b.jpg?x-id=GetObject", Demand("s3:GetObject", "arn:aws:s3:::lake/a b.jpg")),
        ("HEAD", "/lake/a", Demand("s3:GetObject", "arn:aws:s3:::lake/a")),
        ("GET", "/lake?list-type=2&prefix=v%2F", Demand("s3:ListBucket", "arn:aws:s3:::lake", "v/")),
        ("HEAD", "/lake", Demand("s3:ListBucket", "arn:aws:s3:::lake")),
        ("GET", "/lake?location", Demand("s3:GetBucketLocation", "arn:aws:s3:::lake")),
        ("PUT", "/lake", Demand("s3:CreateBucket", "arn:aws:s3:::lake")),
        ("POST", "/lake/a?uploads", Demand("s3:PutObject", "arn:aws:s3:::lake/a")),
        ("DELETE", "/lake/a?uploadId=7", Demand("s3:AbortMultipartUpload", "arn:aws:s3:::lake/a")),
        ("GET", "/", Demand("s3:ListAllMyBuckets", "*")),
    ],
)
def test_a_request_is_the_action_that_it_needs(method: str, target: str, wanted: Demand) -> None:
    assert demand(method, target) == wanted


def test_what_no_policy_has_is_no_silent_right(root: Path) -> None:
    assert demand("POST", "/lake?delete").action.startswith("unknown")
    assert not any(allows(policy(root, name), demand("POST", "/lake?delete")) for name in NAMES)
