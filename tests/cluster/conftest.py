"""Hosts of network, PID, mount and UTS namespaces on a bridge of their own, and one cluster on them.

The bridge lies in the namespace of `desk`, where a user would sit; nothing connects it with this machine. A host has
sshd, one throw-away key, a home, /tmp and /dev/shm of its own, /mnt as all hosts share it, and this machine's files.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = "cluster.onprem.yaml"
NEEDED = ("ip", "sshd", "ssh-keygen", "rsync", "unshare", "nsenter", "make")
PATIENCE_S = 300.0
HOME = "/tmp/home"
DASHBOARD = "http://127.0.0.1:8265"
ASK = """
import urllib.error, urllib.request
request = urllib.request.Request("{url}", headers={headers}, data={data})
try:
    with urllib.request.urlopen(request) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
except OSError:
    print(0)
"""

# PID 1 of a host. The project may lie below /tmp itself, so it is held while /tmp is covered.
BOOT = """
set -e
hostname {name}
mount --bind {folder}/shared /mnt
mount --bind {root} /srv
mount -t tmpfs tmpfs /run
mkdir /run/sshd
cp {folder}/etc/* /run/sshd
mount -t tmpfs -o size=8g tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mkdir -p {root}
mount --bind /srv {root}
for file in passwd shadow hosts; do mount --bind /run/sshd/$file /etc/$file; done
cp -r /etc/skel {home}
mkdir -p {home}/.ssh {home}/koleo-sweeps/.venv
ln -s {root}/.venv/* {home}/koleo-sweeps/.venv
cp {root}/constraints.txt {home}/koleo-sweeps/.venv
exec {sshd} -D -f /run/sshd/config
"""

SSHD = """
HostKey /run/sshd/host_key
AuthorizedKeysFile /run/sshd/user_key.pub
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
PidFile none
MaxStartups 100
"""


def missing() -> str | None:
    """Why no hosts can be raised on this machine."""
    if os.geteuid() != 0:
        return "raising hosts needs root"
    absent = [program for program in NEEDED if find(program) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def wait_for(
    what: str, condition: Callable[[], Any], *, pause_s: float = 0.2, told: Callable[[], str] = lambda: ""
) -> Any:
    """The first true value of the condition; what was told meanwhile, if it is none in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"Waited in vain for {what}. {told()}"
        time.sleep(pause_s)
    return value


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@dataclass(frozen=True, slots=True)
class Host:
    """A host that is up."""

    name: str
    address: str
    netns: str
    process: subprocess.Popen[bytes]
    init: int
    """Its PID 1, as this machine numbers it."""

    def command(self, command: str, **environment: str) -> list[str]:
        """A login shell's command on this host, as an argument list of this machine."""
        given = [f"{k}={v}" for k, v in ({"HOME": HOME, "TERM": "dumb", "LANG": "C.UTF-8"} | environment).items()]
        enter = ["nsenter", "--target", str(self.init), "--net", "--pid", "--mount", "--uts"]
        return [*enter, "env", "-i", *given, "bash", "--login", "-c", f"cd {shlex.quote(str(ROOT))} && {command}"]

    def run(self, command: str, *, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the user who sits there."""
        done = subprocess.run(
            self.command(command, **environment), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0 or not check, f"{self.name}: {command}\n{done.stdout}{done.stderr}"
        return done

    def answer(self, url: str, *, token: str | None, data: bytes | None = None) -> tuple[int, str]:
        """Status and body of what this host is answered over HTTP; 0 where nobody listens."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        script = ASK.format(url=url, headers=headers, data=data)
        status, _, body = self.run(f"exec .venv/bin/python -I - <<'PYTHON'\n{script}\nPYTHON").stdout.partition(" ")
        return int(status), body

    def ray_processes(self) -> list[str]:
        """Command lines of what Ray runs here."""
        if self.process.poll() is not None:
            return []
        own = os.readlink(f"/proc/{self.init}/ns/pid")
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    if os.readlink(folder / "ns" / "pid") == own:
                        found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue  # ended meanwhile
        return [line for line in found if "ray" in line and "sshd" not in line]

    def power_off(self) -> None:
        """End everything that runs there, and its network."""
        if self.process.poll() is None:
            os.kill(self.init, signal.SIGKILL)
            self.process.wait(PATIENCE_S)
        subprocess.run(["ip", "netns", "delete", self.netns], capture_output=True, check=False)


@dataclass(frozen=True, slots=True)
class Site:
    """Where hosts stand: what they share, and the switch they are connected by."""

    folder: Path
    prefix: str
    power: ExitStack
    hosts: dict[str, Host]
    """By name, those that were switched off included."""

    def boot(self, name: str, address: str) -> Host:
        """A new host, with sshd listening."""
        netns = f"{self.prefix}-{name}"
        ip("netns", "add", netns)
        self.power.callback(subprocess.run, ["ip", "netns", "delete", netns], capture_output=True, check=False)
        ip("-n", netns, "link", "set", "lo", "up")
        if name == "desk":
            ip("-n", netns, "link", "add", "eth0", "type", "bridge")
        else:
            port = f"to-{name}"
            ip("link", "add", "eth0", "netns", netns, "type", "veth", "peer", "name", port, "netns", self.desk)
            ip("-n", self.desk, "link", "set", port, "master", "eth0", "up")
        ip("-n", netns, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", netns, "link", "set", "eth0", "up")
        if name != "desk":  # without a default route Ray takes 127.0.0.1 for the host's address
            ip("-n", netns, "route", "add", "default", "via", address.rpartition(".")[0] + ".1")
        script = BOOT.format(name=name, folder=self.folder, root=ROOT, home=HOME, sshd=find("sshd"))
        spaces = ["unshare", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc"]
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(["ip", "netns", "exec", netns, *spaces, "bash", "-c", script], stderr=log)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        init = int(wait_for("the host's first process", lambda: children.read_text().split())[0])
        host = Host(name, address, netns, process, init)
        self.power.callback(host.power_off)
        self.hosts[name] = host
        listens = ["ip", "netns", "exec", netns, "bash", "-c", f"</dev/tcp/{address}/22"]
        wait_for(f"sshd of {name}", lambda: subprocess.run(listens, capture_output=True, check=False).returncode == 0)
        return host

    @property
    def desk(self) -> str:
        return f"{self.prefix}-desk"


@pytest.fixture(scope="session")
def addresses() -> dict[str, str]:
    """Those of the cluster file as it is, for the hosts have a network of their own; and of hosts outside it."""
    provider = yaml.safe_load((ROOT / FILE).read_text())["provider"]
    network = provider["head_ip"].rpartition(".")[0]
    workers = dict(zip(("first", "second"), provider["worker_ips"], strict=True))
    others = {"third": f"{network}.97", "fourth": f"{network}.98", "stranger": f"{network}.99"}
    return {"desk": f"{network}.1", "head": provider["head_ip"], **workers, **others}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, addresses: dict[str, str]) -> Iterator[Site]:
    """The place, with nobody there yet; nothing is left of it afterwards."""
    why = missing()
    if why is not None:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("site")
    etc = folder / "etc"
    etc.mkdir()
    (folder / "shared").mkdir()
    for key in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", etc / key], check=True)
    (etc / "config").write_text(SSHD)
    user = yaml.safe_load((ROOT / FILE).read_text())["auth"]["ssh_user"]
    accounts = [f"{name}:x:0:0::{HOME}:/bin/bash\n" for name in ("root", user)]
    others = [
        line for line in Path("/etc/passwd").read_text().splitlines(keepends=True) if not line.startswith("root:")
    ]
    (etc / "passwd").write_text("".join([*accounts, *others]))
    (etc / "shadow").write_text("".join(f"{name}:*:20000:0:99999:7:::\n" for name in ("root", user)))
    names = [f"{address} {name}\n" for name, address in addresses.items()]
    (etc / "hosts").write_text("".join(["127.0.0.1 localhost\n", *names]))
    with ExitStack() as power:
        yield Site(folder, f"koleo{os.getpid()}", power, {})


@pytest.fixture(scope="session")
def wait() -> Callable[..., Any]:
    """`wait(what, condition)` -> the first true value."""
    return partial(wait_for, pause_s=1.0)


@pytest.fixture(scope="session")
def stranger(site: Site, cluster: "Cluster", addresses: dict[str, str]) -> Host:
    """A host on the same network that nobody has given the token."""
    return site.boot("stranger", addresses["stranger"])


@dataclass(frozen=True, slots=True)
class Cluster:
    """What `ray up` made of the hosts, and where its user sits."""

    desk: Host
    head: Host
    first: Host

    def on_head(self, command: str, *, check: bool = True) -> str:
        """Standard output of a command in a shell as nodes have it."""
        return self.head.run(f". ~/koleo-sweeps/environment.sh && {command}", check=check).stdout

    def log_of(self, job: str) -> str:
        """What a job has written so far, read from the head's own file."""
        logs = Path(f"/proc/{self.head.init}/root/tmp/ray").glob(f"session_2*/logs/job-driver-{job}.log")
        return "".join(log.read_text(errors="replace") for log in logs)

    @property
    def token(self) -> str:
        return self.desk.run("cat ~/.ray/auth_token").stdout.strip()

    def asked(self, path: str) -> Any:
        """What the dashboard answers on the head, without the seconds that Ray's commands take; None if nothing."""
        status, body = self.head.answer(f"{DASHBOARD}/api/{path}", token=self.token)
        return json.loads(body) if status == HTTPStatus.OK else None

    def state_of(self, job: str) -> str:
        """`RUNNING`, `SUCCEEDED`, ...; empty while the dashboard does not answer."""
        return str((self.asked(f"jobs/{job}") or {}).get("status", ""))

    def nodes(self) -> list[dict[str, Any]]:
        """What Ray says of those that it holds for alive."""
        told = self.asked("v0/nodes")
        return [node for node in told["data"]["result"]["result"] if node["state"] == "ALIVE"] if told else []

    def alive(self) -> set[str]:
        """Addresses of these nodes."""
        return {node["node_ip"] for node in self.nodes()}

    def join(self, host: Host) -> None:
        """A machine that the cluster file does not name is made a worker by hand, of one trial at a time."""
        start = f".venv/bin/ray start --address={self.head.address}:6379 --num-cpus=1 --block"
        host.run(
            f"setsid --fork {start} > ~/worker.log 2>&1 < /dev/null", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=self.token,
            RAY_USAGE_STATS_ENABLED="0", RAY_gcs_rpc_server_reconnect_timeout_s="30",
        )  # fmt: skip
        wait_for(f"{host.name} in the cluster", lambda: host.address in self.alive(), pause_s=1.0)


@pytest.fixture(scope="session")
def desk(site: Site, addresses: dict[str, str]) -> Host:
    """The user's machine: it has the key, and nothing runs on it but commands."""
    host = site.boot("desk", addresses["desk"])
    host.run("install -m 600 /run/sshd/user_key ~/.ssh/id_ed25519")
    return host


@pytest.fixture(scope="session")
def cluster(site: Site, desk: Host, addresses: dict[str, str]) -> Cluster:
    """The cluster file as it is, raised by `make cluster-up`; the second worker that it names is off."""
    up = Cluster(desk, site.boot("head", addresses["head"]), site.boot("first", addresses["first"]))
    made = desk.run(f"make --old-file .venv/.aws cluster-up CLUSTER={FILE} ARGS=--yes")
    assert f"ray up {FILE} --yes" in made.stdout
    wait_for("the first worker", lambda: addresses["first"] in up.alive(), pause_s=1.0)
    return up


@pytest.fixture(scope="session")
def dashboard(cluster: Cluster) -> Iterator[str]:
    """Its dashboard's address at the desk, as `make cluster-dashboard` forwards it."""
    forward = cluster.desk.command(f"exec make --old-file .venv/.aws cluster-dashboard CLUSTER={FILE}")
    process = subprocess.Popen(forward, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listens = "</dev/tcp/127.0.0.1/8265"
    wait_for("the forwarded port", lambda: cluster.desk.run(listens, check=False).returncode == 0)
    yield DASHBOARD
    process.terminate()
    process.wait(PATIENCE_S)
