"""The cluster file for AWS: Ray's own schema, bootstrap and node provider against an AWS that is made up."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws import config as aws_config
from ray.autoscaler._private.aws import utils as aws_utils
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import fillout_defaults, prepare_config, validate_config
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    NODE_KIND_WORKER,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "123456789012"
COMMANDS = (
    "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands",
)  # fmt: skip


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A new account whose owner has run the command that `cluster/iam.yaml` begins with; the region."""
    region = yaml.safe_load((ROOT / "cluster.yaml").read_text())["provider"]["region"]
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.chdir(ROOT)  # file mounts are relative to it
        home = tmp_path_factory.mktemp("home")
        (home / ".ray").mkdir()
        (home / ".ray" / "auth_token").write_text("0" * 64)
        patch.setenv("HOME", str(home))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", region)
        boto3.client("cloudformation").create_stack(
            StackName="koleo-sweeps",
            TemplateBody=(ROOT / "cluster" / "iam.yaml").read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        for cache in (aws_utils.resource_cache, aws_utils.client_cache, aws_config._get_subnets_or_die):
            cache.cache_clear()
        yield region


@pytest.fixture(scope="module")
def bootstrapped(account: str) -> dict[str, Any]:
    """The file as `ray up` has it when it starts the head."""
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    prepared = prepare_config(config)
    validate_config(prepared)
    filled = AWSNodeProvider.fillout_available_node_types_resources(prepared)
    done: dict[str, Any] = AWSNodeProvider.bootstrap_config(filled)
    return done


@pytest.fixture(scope="module")
def machines(bootstrapped: dict[str, Any]) -> dict[str, Any]:
    """What Ray's provider starts of it, as EC2 describes them: a head and a worker."""
    provider = AWSNodeProvider(bootstrapped["provider"], bootstrapped["cluster_name"])
    head = bootstrapped["head_node_type"]
    for node_type, kind in ((head, NODE_KIND_HEAD), ("gpu", NODE_KIND_WORKER)):
        tags = {
            TAG_RAY_NODE_KIND: kind,
            TAG_RAY_NODE_NAME: f"ray-{kind}",
            TAG_RAY_NODE_STATUS: "uninitialized",
            TAG_RAY_USER_NODE_TYPE: node_type,
        }
        node_config = bootstrapped["available_node_types"][node_type]["node_config"]
        provider.create_node({**node_config, **(bootstrapped["head_node"] if node_type == head else {})}, tags, 1)
    reservations = boto3.client("ec2").describe_instances()["Reservations"]
    found: dict[str, Any] = {"head": [], "gpu": []}
    for instance in (each for reservation in reservations for each in reservation["Instances"]):
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        found[tags[TAG_RAY_USER_NODE_TYPE]].append(instance)
    return found


def test_head_has_no_room_for_trials_and_workers_have_a_gpu(bootstrapped: dict[str, Any]) -> None:
    types = bootstrapped["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert types["head"]["resources"]["GPU"] == 0
    assert types["gpu"]["resources"]["CPU"] == 4
    assert types["gpu"]["resources"]["GPU"] == 1
    assert types["gpu"]["min_workers"] == 0
    assert types["gpu"]["max_workers"] == bootstrapped["max_workers"]


def test_head_is_on_demand_and_workers_are_spot(machines: dict[str, Any]) -> None:
    assert len(machines["head"]) == 1
    assert len(machines["gpu"]) == 1
    assert "InstanceLifecycle" not in machines["head"][0]
    assert {instance["InstanceLifecycle"] for instance in machines["gpu"]} == {"spot"}
    assert {instance["InstanceType"] for instance in machines["gpu"]} == {"g5.xlarge"}


def test_workers_may_use_the_bucket_but_start_no_machines(machines: dict[str, Any]) -> None:
    profile = f"arn:aws:iam::{ACCOUNT}:instance-profile/koleo-sweeps-"
    assert machines["head"][0]["IamInstanceProfile"]["Arn"] == f"{profile}head"
    assert {instance["IamInstanceProfile"]["Arn"] for instance in machines["gpu"]} == {f"{profile}worker"}
    iam = boto3.client("iam")
    attached = iam.list_attached_role_policies(RoleName="koleo-sweeps-worker")["AttachedPolicies"]
    assert iam.list_role_policies(RoleName="koleo-sweeps-worker")["PolicyNames"] == []
    assert len(attached) == 1
    version = iam.get_policy_version(PolicyArn=attached[0]["PolicyArn"], VersionId="v1")["PolicyVersion"]["Document"]
    actions = re.findall(r'"(\w+):\w+"', json.dumps(version))
    assert set(actions) == {"s3"}
    assert [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]] == [
        f"koleo-sweeps-{ACCOUNT}-us-west-2"
    ]


def test_the_world_reaches_ssh_alone(machines: dict[str, Any]) -> None:
    groups = {g["GroupId"] for instances in machines.values() for i in instances for g in i["SecurityGroups"]}
    assert len(groups) == 1
    described = boto3.client("ec2").describe_security_groups(GroupIds=list(groups))["SecurityGroups"][0]
    assert described["GroupName"] == "koleo-sweeps"
    open_to_the_world = [rule for rule in described["IpPermissions"] if rule.get("IpRanges") or rule.get("Ipv6Ranges")]
    assert [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in open_to_the_world] == [("tcp", 22, 22)]
    members = [rule for rule in described["IpPermissions"] if rule not in open_to_the_world]
    assert all(pair["GroupId"] in groups for rule in members for pair in rule["UserIdGroupPairs"])


@pytest.mark.parametrize("file", ["cluster.yaml", "cluster.onprem.yaml"])
def test_commands_are_ours_pinned_and_open_nothing(file: str) -> None:
    """With Ray's defaults filled in: no nightly build, no dashboard to the world, the token demanded on every node."""
    config = fillout_defaults(prepare_config(yaml.safe_load((ROOT / file).read_text())))
    commands = [command for key in COMMANDS for command in config[key]]
    given = json.dumps(config)
    assert "0.0.0.0" not in given
    assert "nightly" not in given
    assert ".whl" not in given
    assert "pip install" not in given
    starts = [command for command in commands if "ray start" in command]
    assert len(starts) == 2
    head = config["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head
    assert "~/.ray/auth_token" in config["file_mounts"]
    assert config["file_mounts"]["~/koleo-sweeps/environment.sh"] == "cluster/environment.sh"
    assert any("install.sh" in command for command in config["setup_commands"])
    environment = (ROOT / "cluster" / "environment.sh").read_text()
    assert "export RAY_AUTH_MODE=token" in environment
    assert "export RAY_USAGE_STATS_ENABLED=0" in environment
    install = (ROOT / "cluster" / "install.sh").read_text()
    assert "PYTHON_VERSION=3.11 " in install
    assert "--constraint constraints.txt" in install
    assert re.search(r"^ray==2\.60\.", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert all((ROOT / local).is_file() for local in config["file_mounts"].values() if not local.startswith("~"))
