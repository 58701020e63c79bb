"""Ports of this machine."""

import socket
from typing import Final

from sweeps.doctor.finding import Finding, note, ok, red

DASHBOARD_PORT: Final = 8265


def loopback() -> Finding:
    """Whether processes here can talk to each other over TCP, as Ray's do; its dashboard takes a free port."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
    except OSError as error:
        remedy = "allow connections within this machine: Ray's processes talk over 127.0.0.1"
        return red("ports", f"127.0.0.1 cannot be used ({error.strerror or error})", remedy)
    taken = "" if is_free(DASHBOARD_PORT) else f"; {DASHBOARD_PORT} is taken, Ray's dashboard gets another"
    return ok("ports", f"127.0.0.1 can be used{taken}")


def forwarded() -> Finding:
    """Whether the port is free to which `make cluster-dashboard` forwards the dashboard of a cluster."""
    if is_free(DASHBOARD_PORT):
        return ok("ports", f"{DASHBOARD_PORT} is free for the cluster's dashboard")
    remedy = "nothing, if that is this cluster's already; else give both another, `make cluster-dashboard PORT=8266`"
    return note("ports", f"{DASHBOARD_PORT} is taken, which `make cluster-dashboard` and `-submit` use", remedy)


def is_free(port: int) -> bool:
    """Whether one could listen there on loopback."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
