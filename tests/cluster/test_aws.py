"""The cluster file for AWS: Ray's own schema, bootstrap and node provider against an AWS that is made up."""

import json
import os
import re
import subprocess
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
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "123456789012"
MY_ADDRESS = "203.0.113.7/32"
SPOT = ("g6_spot", "g5_spot", "g4dn_spot")
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
            Parameters=[{"ParameterKey": "SshFrom", "ParameterValue": MY_ADDRESS}],
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
    """What Ray's provider starts of it, as EC2 describes them: the head and a worker of each type."""
    provider = AWSNodeProvider(bootstrapped["provider"], bootstrapped["cluster_name"])
    head = bootstrapped["head_node_type"]
    for node_type in bootstrapped["available_node_types"]:
        kind = NODE_KIND_HEAD if node_type == head else NODE_KIND_WORKER
        tags = {
            TAG_RAY_NODE_KIND: kind,
            TAG_RAY_NODE_NAME: f"ray-{kind}",
            TAG_RAY_NODE_STATUS: "uninitialized",
            TAG_RAY_USER_NODE_TYPE: node_type,
        }
        node_config = bootstrapped["available_node_types"][node_type]["node_config"]
        provider.create_node({**node_config, **(bootstrapped["head_node"] if node_type == head else {})}, tags, 1)
    reservations = boto3.client("ec2").describe_instances()["Reservations"]
    found: dict[str, Any] = {node_type: [] for node_type in bootstrapped["available_node_types"]}
    for instance in (each for reservation in reservations for each in reservation["Instances"]):
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        found[tags[TAG_RAY_USER_NODE_TYPE]].append(instance)
    return found


def test_head_has_no_room_for_trials_and_workers_have_a_gpu(bootstrapped: dict[str, Any]) -> None:
    types = bootstrapped["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert types["head"]["resources"]["GPU"] == 0
    assert types["head"]["max_workers"] == 0
    for name in (*SPOT, "g5_on_demand"):
        assert types[name]["resources"]["CPU"] == 4
        assert types[name]["resources"]["GPU"] == 1
        assert types[name]["min_workers"] == 0
        assert types[name]["max_workers"] == bootstrapped["max_workers"]


def test_head_is_on_demand_and_workers_are_spot_but_the_last_resort(machines: dict[str, Any]) -> None:
    assert {name: len(instances) for name, instances in machines.items()} == dict.fromkeys(machines, 1)
    kinds = {name: instance["InstanceType"] for name, (instance,) in machines.items() if name != "head"}
    assert kinds == {
        "g6_spot": "g6.xlarge",
        "g5_spot": "g5.xlarge",
        "g4dn_spot": "g4dn.xlarge",
        "g5_on_demand": "g5.xlarge",
    }
    assert {name for name, (instance,) in machines.items() if instance.get("InstanceLifecycle") == "spot"} == set(SPOT)


def test_spot_is_asked_for_first_and_what_aws_has_none_of_last(bootstrapped: dict[str, Any]) -> None:
    """By the scheduler of Ray's own autoscaler: four trials wait, each with a quarter of a GPU."""
    config = AutoscalingConfig(bootstrapped, skip_content_hash=True)
    trial = ResourceRequestByCount(request=ResourceRequestUtil.make({"CPU": 1, "GPU": 0.25}), count=4)

    def next_type(failed: tuple[str, ...]) -> str:
        request = SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes(),
            resource_requests=[trial],
            recoverable_resource_availabilities=dict.fromkeys(failed, 0.0),
        )
        (launch,) = ResourceDemandScheduler(None).schedule(request).to_launch
        assert launch.count == 1
        return str(launch.instance_type)

    order = ("g6_spot", "g5_spot", "g4dn_spot", "g5_on_demand")
    assert tuple(next_type(order[:failed]) for failed in range(4)) == order


def test_workers_may_use_the_bucket_but_start_no_machines(machines: dict[str, Any]) -> None:
    profile = f"arn:aws:iam::{ACCOUNT}:instance-profile/koleo-sweeps-"
    assert machines["head"][0]["IamInstanceProfile"]["Arn"] == f"{profile}head"
    workers = {machines[name][0]["IamInstanceProfile"]["Arn"] for name in machines if name != "head"}
    assert workers == {f"{profile}worker"}
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


def test_the_head_may_start_and_end_machines_of_this_cluster_alone(account: str) -> None:
    iam = boto3.client("iam")
    (attached,) = iam.list_attached_role_policies(RoleName="koleo-sweeps-head")["AttachedPolicies"]
    assert "UseBucket" in attached["PolicyName"]
    inline = iam.get_role_policy(RoleName="koleo-sweeps-head", PolicyName="start-workers")["PolicyDocument"]
    document = yaml.safe_load(str(inline))  # the imitation gives Python's text of it, which reads as YAML
    statements = [
        {**one, "Action": [one["Action"]] if isinstance(one["Action"], str) else one["Action"]}
        for one in document["Statement"]
    ]
    changing = [one for one in statements if not any(":Describe" in action for action in one["Action"])]
    assert not [one for one in changing if one["Resource"] == "*"]
    assert not [action for one in statements for action in one["Action"] if "*" in action]
    instances = [one for one in changing if ":instance/*" in json.dumps(one["Resource"])]
    tags = [next(iter(one["Condition"]["StringEquals"].items())) for one in instances]
    assert tags == [
        ("aws:RequestTag/ray-cluster-name", "koleo-sweeps"),
        ("aws:ResourceTag/ray-cluster-name", "koleo-sweeps"),
    ]
    assert yaml.safe_load((ROOT / "cluster.yaml").read_text())["cluster_name"] == "koleo-sweeps"


def test_nobody_but_the_owners_address_reaches_ssh_and_nothing_else_is_open(machines: dict[str, Any]) -> None:
    groups = {g["GroupId"] for instances in machines.values() for i in instances for g in i["SecurityGroups"]}
    assert len(groups) == 1
    described = boto3.client("ec2").describe_security_groups(GroupIds=list(groups))["SecurityGroups"][0]
    assert described["GroupName"] == "koleo-sweeps-nodes"
    outside = [rule for rule in described["IpPermissions"] if rule.get("IpRanges") or rule.get("Ipv6Ranges")]
    assert [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in outside] == [("tcp", 22, 22)]
    assert [one["CidrIp"] for one in outside[0]["IpRanges"]] == [MY_ADDRESS]
    members = [rule for rule in described["IpPermissions"] if rule not in outside]
    assert members
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


def test_workers_tell_trials_the_image_that_latest_came_to(tmp_path: Path) -> None:
    """The command that starts Ray there, with stand-ins for `curl` and `ray`."""
    stands_in = {
        "curl": '#!/bin/sh\ncase "$*" in *-X*PUT*) echo key;; *"token: key"*ami-id) printf ami-0123;; esac\n',
        "ray": "#!/bin/sh\necho $EMBED_MACHINE_IMAGE $*\n",
    }
    for name, text in stands_in.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    *_, start = yaml.safe_load((ROOT / "cluster.yaml").read_text())["worker_start_ray_commands"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    command = f"ulimit() {{ :; }}; {start}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True,
                          env={"PATH": path, "RAY_HEAD_IP": "10.0.0.1"})  # fmt: skip
    assert done.stdout == "ami-0123 start --address=10.0.0.1:6379 --object-manager-port=8076\n"
