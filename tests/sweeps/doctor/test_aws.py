"""An account that is made up: what is said of a new one, and of one where everything is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.models import ServiceQuotasBackend

from sweeps.doctor import aws, cluster_file
from sweeps.doctor.aws import QUOTAS, wanted_of
from sweeps.doctor.clock import compared, of_header
from sweeps.doctor.finding import Finding

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = cluster_file.read(ROOT / "cluster.yaml")
NEW_ACCOUNT = {("standard", "on-demand"): 5.0, ("standard", "spot"): 5.0}
"""vCPUs: AWS gives no GPUs before one asks."""


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """An empty account; vCPUs by code of the quota, which the imitation does not know."""
    of_code = {code: NEW_ACCOUNT.get(quota, 0.0) for quota, code in QUOTAS.items()}

    def asked(self: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
        if service_code != "ec2" or quota_code not in of_code:
            raise NoSuchResource
        return {"QuotaCode": quota_code, "Value": of_code[quota_code]}

    monkeypatch.setattr(ServiceQuotasBackend, "get_service_quota", asked)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")  # that of the file counts
    with mock_aws():
        yield of_code


def found() -> dict[str, Finding]:
    return {one.check: one for one in aws.findings(CLUSTER)}


def states(findings: dict[str, Finding]) -> dict[str, str]:
    return {name: one.state for name, one in findings.items()}


def deploy(address: str) -> None:
    boto3.client("cloudformation", region_name="us-west-2").create_stack(
        StackName="koleo-sweeps",
        TemplateBody=(ROOT / "cluster" / "iam.yaml").read_text(),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": "SshFrom", "ParameterValue": address}],
    )


def test_a_new_account_lacks_stack_and_quotas_and_each_line_has_its_remedy() -> None:
    new = found()
    assert states(new) == {
        "boto3": "ok", "AWS account": "ok", "clock": "ok", "AWS stack": "red", "default VPC": "ok", "SSH": "red",
        "quota standard, on-demand": "ok", "quota G and VT, spot": "red", "quota G and VT, on-demand": "red",
    }  # fmt: skip
    assert new["AWS stack"].found == "koleo-sweeps is not there in us-west-2"
    assert new["SSH"].found.endswith("Ray would make one whose SSH port is open to the world")
    for name in ("AWS stack", "SSH"):
        assert "--parameter-overrides SshFrom=$(curl -s https://checkip.amazonaws.com)/32" in new[name].remedy
    spot = new["quota G and VT, spot"]
    assert spot.found == "0 vCPUs, and 16 are wanted for 4 x g6.xlarge, g5.xlarge, g4dn.xlarge"
    assert spot.remedy.endswith("--quota-code L-3819A6DF --desired-value 16 --region us-west-2`")


def test_an_account_with_stack_and_quotas_has_nothing_in_the_way(allowed: dict[str, float]) -> None:
    deploy("203.0.113.7/32")
    allowed[QUOTAS["G and VT", "spot"]] = 8.0
    there = found()
    assert not [one for one in there.values() if one.state == "red"]
    assert there["SSH"].found.startswith("open to 203.0.113.7/32:")
    assert there["AWS stack"].found.endswith("checkpoints go to s3://koleo-sweeps-123456789012-us-west-2/checkpoints")
    # Room for two of four machines, and none for the last resort: no obstacle, and said.
    assert states(there)["quota G and VT, spot"] == states(there)["quota G and VT, on-demand"] == "note"
    allowed[QUOTAS["standard", "on-demand"]] = 1.0
    assert states(found())["quota standard, on-demand"] == "red"  # no head


def test_a_group_that_lets_the_world_in_is_in_the_way() -> None:
    deploy("0.0.0.0/0")
    assert found()["SSH"].found == "koleo-sweeps-nodes lets the world in"


def test_without_a_default_network_its_command_is_named() -> None:
    ec2 = boto3.client("ec2", region_name="us-west-2")
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc["VpcId"])
    assert found()["default VPC"].remedy == "`aws ec2 create-default-vpc --region us-west-2`"


def test_without_credentials_nothing_else_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    boto3.DEFAULT_SESSION = None
    nobody = found()
    assert states(nobody) == {"boto3": "ok", "AWS account": "red"}
    assert nobody["AWS account"].remedy == "`aws configure`, or `export AWS_PROFILE=NAME`"


def test_without_boto3_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "find_spec", lambda name: None)
    (alone,) = aws.findings(CLUSTER)
    assert (alone.check, alone.state) == ("boto3", "red")
    assert "pip install 'koleo-sweeps[aws]'" in alone.remedy


def test_clocks_half_a_minute_apart_disagree() -> None:
    date = of_header("Thu, 26 Nov 2026 12:00:00 GMT")
    assert compared(date, "AWS", ours=date + 29).state == "ok"
    ahead = compared(date, "AWS", ours=date + 400)
    assert (ahead.state, ahead.found) == ("red", "400 s ahead of AWS")
    assert compared(date, "AWS", ours=date - 400).found == "400 s behind AWS"


def test_node_types_ask_for_the_quota_of_their_family() -> None:
    text = """
head_node_type: head
max_workers: 3
available_node_types:
  big: {max_workers: 9, node_config: {InstanceType: p4d.24xlarge, InstanceMarketOptions: {MarketType: spot}}}
  head: {node_config: {InstanceType: m6i.large}}
  odd: {max_workers: 1, node_config: {InstanceType: inf2.xlarge}}
"""
    wanted = wanted_of(yaml.safe_load(text), {"p4d.24xlarge": 96, "m6i.large": 2, "inf2.xlarge": 4})
    assert [(one.is_head, one.instance_type, one.machines, one.quota) for one in wanted] == [
        (False, "p4d.24xlarge", 3, ("P", "spot")),
        (True, "m6i.large", 1, ("standard", "on-demand")),
    ]
