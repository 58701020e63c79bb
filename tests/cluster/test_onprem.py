"""The cluster file for machines of one's own, raised on hosts: who gets in, a sweep that loses its worker, the end."""

import json
import re
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from sweeps.results import store

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
SAMPLES, BLOCKS, EPOCHS = 4, 2, 40
FLAGS = (
    f"--stages search,confirm --samples {SAMPLES} --replicates 1 --blocks {BLOCKS} --epochs {EPOCHS} "
    "--train-triplets 400 --set views=none --checkpoints /mnt/checkpoints"
)
PLUGINS = (
    "--plugin /tmp/home/residual_net.py --set backbone=residual_net --set backbone.depth=1 "
    "--plugin /tmp/home/multi_similarity.py --loss multi_similarity"
)


def test_jobs_are_taken_with_the_token_alone(cluster: Any, dashboard: str) -> None:
    token = cluster.token
    job = json.dumps({"entrypoint": "touch /mnt/ran"}).encode()
    url = f"{dashboard}/api/jobs/"
    assert cluster.desk.answer(url, token=None, data=job)[0] == HTTPStatus.UNAUTHORIZED
    assert cluster.desk.answer(url, token="0" * len(token), data=job)[0] == HTTPStatus.FORBIDDEN
    assert cluster.desk.answer(url, token=token)[0] == HTTPStatus.OK
    submit = f"exec .venv/bin/ray job submit --address {dashboard} --no-wait -- touch /mnt/ran"
    refused = cluster.desk.run(submit, check=False, RAY_AUTH_MODE="disabled")
    assert refused.returncode != 0
    assert "touch /mnt/ran" not in [job["entrypoint"] for job in cluster.asked("jobs/")]
    assert cluster.desk.run("stat --format %a ~/.ray/auth_token").stdout.strip() == "600"
    assert cluster.head.run("stat --format %a ~/.ray/auth_token").stdout.strip() == "600"


@pytest.mark.parametrize("token", [None, "0" * 64], ids=["no token", "wrong token"])
def test_a_stranger_sees_nothing_and_cannot_join(
    cluster: Any, stranger: Any, addresses: dict[str, str], token: str | None
) -> None:
    mode = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}
    gcs = f"{addresses['head']}:6379"
    mode["RAY_NUM_REDIS_GET_RETRIES"] = "1"  # who is turned away asks twenty times, a second apart
    seen = stranger.run(f"exec .venv/bin/ray status --address {gcs}", check=False, **mode)
    assert seen.returncode != 0
    assert "node_" not in seen.stdout
    joined = stranger.run(f"exec .venv/bin/ray start --address {gcs}", check=False, **mode)
    assert joined.returncode != 0
    assert addresses["stranger"] not in cluster.alive()
    assert stranger.ray_processes() == []


def test_the_dashboard_listens_on_loopback_alone(cluster: Any, stranger: Any, addresses: dict[str, str]) -> None:
    reach = "exec timeout 10 bash -c '</dev/tcp/{}/{}'"
    assert stranger.run(reach.format(addresses["head"], 22), check=False).returncode == 0
    assert stranger.run(reach.format(addresses["head"], 8265), check=False).returncode == 1
    assert cluster.head.run(reach.format("127.0.0.1", 8265), check=False).returncode == 0


@pytest.fixture
def submit(cluster: Any, dashboard: str) -> Callable[[str, str], str]:
    """`submit(name, flags)` -> id of the job, as `make cluster-submit` starts it."""

    def start(name: str, flags: str) -> str:
        made = cluster.desk.run(f"make --old-file .venv/.aws cluster-submit NAME={name} ARGS='{flags}'").stdout
        job: str = made.partition("--submission-id ")[2].split()[0]
        return job

    return start


def test_a_place_for_checkpoints_that_a_worker_does_not_see_is_refused(
    cluster: Any, submit: Callable[[str, str], str], wait: Callable[..., Any]
) -> None:
    job = submit("unseen", f"--samples {SAMPLES} --checkpoints ~/own")
    unseen = f"{cluster.first.address} does not see the checkpoints in /tmp/home/own/unseen"
    wait("the refusal", lambda: unseen in cluster.log_of(job), pause_s=0.5, told=lambda: cluster.log_of(job))
    wait("the job's end", lambda: cluster.state_of(job) == "FAILED")
    log = cluster.log_of(job)
    assert "Traceback" not in log


def test_a_job_that_is_stopped_ends_in_good_order(
    cluster: Any, submit: Callable[[str, str], str], site: Any, wait: Callable[..., Any]
) -> None:
    job = submit("stopped", "--stages search --epochs 1000000 --save-every epoch --checkpoints /mnt/checkpoints")
    wait("a checkpoint", lambda: list((site.folder / "shared" / "checkpoints" / "stopped").rglob("t*.pt")))
    cluster.on_head(f"ray job stop {job}")
    log = cluster.log_of(job)
    assert "Interrupted; no result is lost. Go on with: " in log
    assert "Traceback" not in log


@pytest.fixture
def images(site: Any) -> str:
    """Name of a folder of class folders that all hosts can copy from /mnt."""
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images[:900], digits.target[:900], strict=True)):
        folder = site.folder / "shared" / "digits" / f"digit {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype("uint8")).save(folder / f"{number}.png")
    return "digits"


def test_a_sweep_survives_the_loss_of_its_machines_and_those_that_are_no_use_to_it(
    cluster: Any,
    submit: Callable[[str, str], str],
    images: str,
    site: Any,
    stranger: Any,
    addresses: dict[str, str],
    wait: Callable[..., Any],
) -> None:
    """A job whose plug-ins are files that the head alone has, on one worker after another.

    One has not got the data. The one that has dies mid-run, with its network; the machine that was off is switched on,
    and is taken back at short notice; one that joins late has not got the share.
    """
    third, fourth = (site.boot(name, addresses[name]) for name in ("third", "fourth"))
    cluster.join(third)
    cluster.head.run("cp examples/plugins/residual_net.py examples/plugins/multi_similarity.py ~")
    for host in (cluster.head, cluster.first, fourth):
        host.run(f"cp -r /mnt/{images} ~")
    job = submit("hurt", f"{FLAGS} {PLUGINS} --dataset folder:{images} --data-root /tmp/home")

    def wait_for_log(what: str, pattern: str) -> None:
        wait(what, lambda: re.search(pattern, cluster.log_of(job)), pause_s=0.5, told=lambda: cluster.log_of(job))

    def at_work(host: Any) -> bool:
        return any("Trainable" in process for process in host.ray_processes())

    wait_for_log("no data", rf"on without node .*folder:{images} cannot be read here.*\(on third\)")
    wait("trials at work", lambda: at_work(cluster.first), told=lambda: cluster.log_of(job))
    cluster.first.power_off()
    site.boot("second", addresses["second"]).run(f"cp -r /mnt/{images} ~")
    workers = {addresses["second"], third.address}
    wait("the second in the place of the first", lambda: cluster.alive() - {cluster.head.address} == workers)
    wait("trials at work on the second", lambda: at_work(site.hosts["second"]), told=lambda: cluster.log_of(job))
    cluster.join(fourth)
    [drained] = [node["node_id"] for node in cluster.nodes() if node["node_ip"] == addresses["second"]]
    reason = "--reason DRAIN_NODE_REASON_PREEMPTION --reason-message spot --deadline-remaining-seconds 5"
    cluster.on_head(f"ray drain-node --node-id {drained} {reason}")
    site.hosts["second"].power_off()

    stranger.run(f"cp -r /mnt/{images} ~ && umount /mnt")
    cluster.join(stranger)
    wait_for_log("no share", r"on without node .*/mnt/checkpoints.*\(on stranger\)")
    wait_for_log("the report", "Report: |Traceback")
    wait("the job's end", lambda: cluster.state_of(job) in ENDED, told=lambda: cluster.log_of(job))
    assert cluster.state_of(job) == "SUCCEEDED", cluster.log_of(job)
    assert "Report: " in cluster.on_head(f"ray job logs {job}")
    assert cluster.asked(f"jobs/{job}")["metadata"]["sweep"] == "hurt"
    cluster.head.run("cp -r ~/results /mnt/")

    folder = site.folder / "shared" / "results" / "hurt"
    trials = store.read(folder, "trials").to_pylist()
    ids = Counter((row["stage"], row["trial_id"]) for row in trials)
    assert set(ids.values()) == {1}
    stages = Counter(row["stage"] for row in trials)
    assert stages["search"] == SAMPLES
    assert stages["confirm"] % BLOCKS == 0
    assert stages["confirm"]
    # What the method does to a trial, never what the cluster did.
    assert {row["end_reason"] for row in trials} <= {"completed", "asha_stopped", "collapsed"}
    assert "fourth" in {row["hostname"] for row in trials} <= {"first", "second", "fourth"}
    assert {(row["backbone"], row["backbone.depth"], row["loss"]) for row in trials} == {
        ("residual_net", 1.0, "multi_similarity")
    }
    curves = Counter((r["stage"], r["trial_id"]) for r in store.read(folder, "curves").to_pylist())
    assert curves == {(row["stage"], row["trial_id"]): row["last_epoch"] for row in trials}
    unfit = [row for row in store.read(folder, "trials", attempts="all").to_pylist() if row["end_reason"] == "error"]
    assert {row["hostname"] for row in unfit} == {"third", "stranger"}
    assert fourth.ray_processes()


def test_ray_down_leaves_no_process_of_ray(cluster: Any, site: Any, wait: Callable[..., Any]) -> None:
    down = cluster.desk.run("make --old-file .venv/.aws cluster-down CLUSTER=cluster.onprem.yaml ARGS=--yes")
    assert "ray down cluster.onprem.yaml --yes" in down.stdout
    assert cluster.head.ray_processes() == []
    wait(
        "the end of the workers",
        lambda: not any(host.ray_processes() for name, host in site.hosts.items() if name != "desk"),
    )
