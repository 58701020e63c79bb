"""Shape and type checks for the whole suite: a call that breaks an annotation of the core fails its test."""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import Request, urlopen

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

import embedding_core

CORE = Path(embedding_core.__path__[0])

# A busy machine is no failure, and the same commit draws the same examples: fewer of them before a commit.
settings.register_profile("all", deadline=None, derandomize=True)
settings.register_profile("check", parent=settings.get_profile("all"), max_examples=20)
settings.load_profile("all")

# These answer wrong types themselves, in sentences for users, which a check in front of them would pre-empt.
install_import_hook(
    [
        ".".join(file.relative_to(CORE.parent).with_suffix("").parts)
        for file in CORE.rglob("*.py")
        if file.stem not in ("__init__", "train_config", "decorators")
    ],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",  # an int is a float, as in PEP 484
)


def pytest_configure(config: pytest.Config) -> None:
    """A GPU is hidden from tests that do not ask for it: many hold runs equal bit for bit, as a CPU computes them."""
    if "gpu" not in config.option.markexpr:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_finish() -> None:
    """What was imported stays until the end: no garbage collection looks at these million objects again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """URI of a bucket that this process, and those that it starts later, reach as they would one of AWS."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port = server.get_host_and_port()
    aws = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.items():
            patch.setenv(name, value)
        # The server keeps its buckets in this process, from one module to the next.
        urlopen(Request(f"{aws['AWS_ENDPOINT_URL']}/moto-api/reset", method="POST")).close()
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield "s3://bucket/prefix"
    server.stop()


@pytest.fixture
def answering() -> Iterator[Callable[..., str]]:
    """`answering(status, body=b"")` -> `host:port` of a server that answers every GET so."""
    servers = []

    def start(status: int, body: bytes = b"") -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Answer))
        Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
