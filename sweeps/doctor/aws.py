"""An AWS account, before `ray up` needs it: credentials, clock, stack, network and quotas. Nothing is made."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

from sweeps.doctor import clock
from sweeps.doctor.finding import Finding, note, ok, red

STACK: Final = "koleo-sweeps"

DEPLOY: Final = (
    f"`aws cloudformation deploy --stack-name {STACK} --template-file cluster/iam.yaml --capabilities "
    "CAPABILITY_NAMED_IAM --parameter-overrides SshFrom=$(curl -s https://checkip.amazonaws.com)/32 --region {region}`"
)

QUOTAS: Final = {
    ("standard", "on-demand"): "L-1216C47A",
    ("standard", "spot"): "L-34B43A08",
    ("G and VT", "on-demand"): "L-DB2E81BA",
    ("G and VT", "spot"): "L-3819A6DF",
    ("P", "on-demand"): "L-417A185B",
    ("P", "spot"): "L-7212CCBC",
}
"""AWS's codes of what an account may have at once, in vCPUs, by families of instance types and how they are paid."""

FAMILIES: Final = {"g": "G and VT", "vt": "G and VT", "p": "P", **dict.fromkeys("acdhimrtz", "standard")}
"""By the letters before the first digit of an instance type."""

Client = Callable[[str], Any]
"""Takes the name of a service of AWS."""


def findings(cluster: dict[str, Any]) -> Iterator[Finding]:
    """All checks; without boto3 or credentials there is nothing else to ask."""
    if find_spec("boto3") is None:
        remedy = "`pip install 'koleo-sweeps[aws]'`, which `make cluster-up` does"
        yield red("boto3", "not installed, and `ray up` and the autoscaler start machines with it", remedy)
        return
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    yield ok("boto3", boto3.__version__)
    region = str(cluster["provider"].get("region"))
    quick = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2})
    client = partial(boto3.Session(region_name=region).client, config=quick)
    try:
        yield from account(client)
    except (BotoCoreError, ClientError) as error:
        yield from refused(error)
        return
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("AWS stack", lambda: stack(client, region)),
        ("default VPC", lambda: network(client, region)),
        ("SSH", lambda: ssh(client, cluster, region)),
        ("quota", lambda: quotas(client, cluster, region)),
    )
    for name, check in checks:
        try:
            yield from check()
        except (BotoCoreError, ClientError) as error:
            yield note(name, f"cannot be asked for: {_first_line(error)}", "let your user read it, or ask who may")


def account(client: Client) -> Iterator[Finding]:
    """Who AWS takes one for, and whose clock is right."""
    answer = client("sts").get_caller_identity()
    yield ok("AWS account", f"{answer['Account']}, as {answer['Arn'].rpartition(':')[2]}")
    yield from _clock(answer)


def refused(error: Exception) -> Iterator[Finding]:
    """Why AWS does not know one: no credentials, wrong ones, no network, or a clock that is wrong."""
    remedy = "`aws configure`, or `export AWS_PROFILE=NAME`"
    yield red("AWS account", f"no answer: {_first_line(error)}; stack, network and quotas are not asked for", remedy)
    yield from _clock(getattr(error, "response", {}))


def _clock(answer: Mapping[str, Any]) -> Iterator[Finding]:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date:
        yield clock.compared(clock.of_header(date), "AWS")


def stack(client: Client, region: str) -> Iterator[Finding]:
    """Whether roles, bucket and security group are there."""
    from botocore.exceptions import ClientError

    try:
        found = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        yield red("AWS stack", f"{STACK} is not there in {region}", DEPLOY.format(region=region))
        return
    status = found["StackStatus"]
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}
        yield ok("AWS stack", f"{STACK}, {status}; checkpoints go to {outputs.get('Checkpoints', 'nowhere')}")
    else:
        yield red("AWS stack", f"{STACK} is {status}", DEPLOY.format(region=region))


def network(client: Client, region: str) -> Iterator[Finding]:
    """Whether there is a network that machines are put into without saying which."""
    found = client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if found:
        yield ok("default VPC", found[0]["VpcId"])
    else:
        yield red("default VPC", f"there is none in {region}", f"`aws ec2 create-default-vpc --region {region}`")


def ssh(client: Client, cluster: dict[str, Any], region: str) -> Iterator[Finding]:
    """Who can reach the SSH port of the machines. A group that is not there Ray makes, open to the world."""
    name = cluster["provider"].get("security_group", {}).get("GroupName")
    if name is None:
        yield note("SSH", "Ray makes a security group, whose SSH port is open to the world")
        return
    groups = client("ec2").describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])
    if not groups["SecurityGroups"]:
        text = f"there is no security group {name}, and Ray would make one whose SSH port is open to the world"
        yield red("SSH", text, DEPLOY.format(region=region))
        return
    rules = groups["SecurityGroups"][0]["IpPermissions"]
    open_to = [
        one.get("CidrIp") or one.get("CidrIpv6")
        for rule in rules
        for one in [*rule.get("IpRanges", ()), *rule.get("Ipv6Ranges", ())]
    ]
    if {"0.0.0.0/0", "::/0"} & set(open_to):
        yield red("SSH", f"{name} lets the world in", DEPLOY.format(region=region))
    else:
        yield ok("SSH", f"open to {', '.join(open_to) or 'nobody'}: with another address, deploy the stack again")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one kind of node asks of a quota."""

    is_head: bool
    instance_type: str
    machines: int
    vcpus: int
    """Of one machine."""
    quota: tuple[str, str]
    """A key of `QUOTAS`."""


def wanted_of(cluster: dict[str, Any], vcpus: Mapping[str, int]) -> list[Wanted]:
    """By node type of the cluster file.

    Args:
        cluster: see `cluster_file.read`.
        vcpus: by instance type; types without are passed over.
    """
    head, most = cluster.get("head_node_type"), cluster.get("max_workers", 0)
    found = []
    for name, node in cluster["available_node_types"].items():
        given = node["node_config"]
        kind, letters = given["InstanceType"], re.match(r"[a-z]+", given["InstanceType"])
        family = FAMILIES.get(letters[0] if letters else "")
        spot = given.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        if family is not None and kind in vcpus:
            machines = 1 if name == head else min(node.get("max_workers", most), most)
            if machines == 0:  # ruled out
                continue
            found.append(Wanted(name == head, kind, machines, vcpus[kind], (family, "spot" if spot else "on-demand")))
    return found


def quotas(client: Client, cluster: dict[str, Any], region: str) -> Iterator[Finding]:
    """Whether the account may have the head, and workers of some kind; how many of each kind at once."""
    kinds = sorted({node["node_config"]["InstanceType"] for node in cluster["available_node_types"].values()})
    described = client("ec2").describe_instance_types(InstanceTypes=kinds)["InstanceTypes"]
    vcpus = {each["InstanceType"]: each["VCpuInfo"]["DefaultVCpus"] for each in described}
    wanted = wanted_of(cluster, vcpus)
    there = {code: _quota(client, code) for code in {QUOTAS[one.quota] for one in wanted}}
    by_quota: dict[tuple[str, str], list[Wanted]] = defaultdict(list)
    for one in wanted:
        if one.is_head:
            yield _of_quota([one], there, region, needed=True)
        else:
            by_quota[one.quota].append(one)
    some = any(there[QUOTAS[quota]] >= min(one.vcpus for one in group) for quota, group in by_quota.items())
    for group in by_quota.values():
        yield _of_quota(group, there, region, needed=not some)


def _of_quota(group: list[Wanted], there: Mapping[str, float], region: str, *, needed: bool) -> Finding:
    """One line. Args: group: what shares a quota. needed: whether no room for any of it is in the way of a sweep."""
    family, paid = group[0].quota
    code, name = QUOTAS[group[0].quota], f"quota {family}, {paid}"
    most = max(one.vcpus * one.machines for one in group)
    kinds = ", ".join(dict.fromkeys(one.instance_type for one in group))
    text = f"{there[code]:g} vCPUs, and {most} are wanted for {max(one.machines for one in group)} x {kinds}"
    remedy = (
        "`aws service-quotas request-service-quota-increase --service-code ec2 "
        f"--quota-code {code} --desired-value {most} --region {region}`"
    )
    if there[code] >= most:
        return ok(name, text)
    if there[code] >= min(one.vcpus for one in group) or not needed:
        return note(name, text, remedy)
    return red(name, text, remedy)


def _quota(client: Client, code: str) -> float:
    answer = client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=code)
    return float(answer["Quota"]["Value"])


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
