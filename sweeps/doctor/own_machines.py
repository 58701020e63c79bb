"""A cluster of one's own machines: whether they can be reached by SSH, and what their clocks say."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sweeps.doctor import clock
from sweeps.doctor.finding import Finding, note, ok, red

ANSWER_TIMEOUT_S: Final = 20.0
CONNECT_TIMEOUT_S: Final = 5


def findings(cluster: dict[str, Any]) -> Iterator[Finding]:
    """Programs, the key, the head, and workers that may be off."""
    missing = [program for program in ("ssh", "rsync") if shutil.which(program) is None]
    if missing:
        yield red("programs", f"not installed: {', '.join(missing)}", "install openssh-client and rsync")
        return
    yield ok("programs", "ssh and rsync")
    provider, auth = cluster["provider"], cluster.get("auth") or {}
    key = auth.get("ssh_private_key")
    if key is not None:
        file = Path(str(key)).expanduser()
        if not file.is_file():
            remedy = "make one, `ssh-keygen -t ed25519`, and bring it to the machines, `ssh-copy-id`; or name another"
            yield red("SSH key", f"{file} is not there", remedy)
            return
        yield ok("SSH key", str(file))
    head = str(provider.get("head_ip"))
    why, date = _asked(auth, head, "date +%s")
    if why:
        yield red("head", f"{head} cannot be reached: {why}", "switch it on, put your key there, or correct the file")
    else:
        yield ok("head", f"{head} answers to {auth.get('ssh_user')}")
        if date.isdecimal():
            yield clock.compared(float(date), f"the head, {head}")
    for worker in map(str, provider.get("worker_ips") or ()):
        why, _ = _asked(auth, worker, "true")
        if why:
            yield note("worker", f"{worker} cannot be reached: {why}", "it joins when it can be")
        else:
            yield ok("worker", f"{worker} answers to {auth.get('ssh_user')}")


def _asked(auth: dict[str, Any], host: str, command: str) -> tuple[str, str]:
    """Why a host does not carry out a command, empty if it does; and what it answers."""
    options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR",
               f"ConnectTimeout={CONNECT_TIMEOUT_S}"]  # fmt: skip
    key = ["-i", str(Path(str(auth["ssh_private_key"])).expanduser())] if auth.get("ssh_private_key") else []
    given = [word for option in options for word in ("-o", option)]
    try:
        done = subprocess.run(
            ["ssh", *given, *key, f"{auth.get('ssh_user')}@{host}", command],
            capture_output=True, text=True, timeout=ANSWER_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error), ""
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1], ""
    return "", done.stdout.strip().rpartition("\n")[2]  # below what the host says to everybody
