"""What tracing costs: CPU on a large file, and time on each invocation, by UDP as in Lambda."""

import functools
import json
import os
import socket
import statistics
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from measure import interleave
from report import Table, Target
from startup import ENVIRONMENT
from throughput import simulate
from tools import Binaries, Failed

CPU_LIMIT = 0.02
INVOCATION_LIMIT_MS = 1.0
SIZE = "1GiB"

# Of each process; the first few are a process's warming up.
INVOCATIONS = 300
WARM_UP = 20

BUCKET, KEY = "bench-input", "rows.csv"
PUBLISHED = (
    '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId>'
    "</PublishResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></PublishResponse>"
)


def cost(binaries: Binaries, rounds: int, say) -> tuple[Table, list]:
    say(f"tracing, {SIZE}, and {INVOCATIONS} invocations")
    with Daemon() as daemon:
        switch = {"off": {}, "on": {"AWS_XRAY_DAEMON_ADDRESS": daemon.address}}
        command = [binaries.loadtest, "sim", "--size", SIZE, "--memory-budget", "1769", "--json"]
        contenders = {
            name: functools.partial(simulate, ["env", *(f"{n}={v}" for n, v in variables.items()), *command])
            for name, variables in switch.items()
        }
        runs = interleave(rounds, contenders, say)
        for name, done in runs.items():
            if done.error:
                raise Failed(f"tracing {name}: {done.error}")
        with S3(binaries.loadtest) as s3:
            took = {name: [] for name in switch}
            for _ in range(rounds):
                for name, variables in switch.items():
                    took[name].append(_invocations(binaries.processor, s3, variables))
        if daemon.datagrams == 0:
            raise Failed("tracing: no datagram came")
    milliseconds = {name: statistics.median(times) for name, times in took.items()}
    table = Table(
        f"Tracing: medians of {rounds} rounds" if rounds > 1 else "Tracing: one round",
        ["tracing", f"CPU s, {SIZE}", "min – max", "ms an invocation", "min – max"],
        [
            [
                name,
                f"{runs[name].cpu:.2f}",
                "{:.2f} – {:.2f}".format(*runs[name].cpu_range),
                f"{milliseconds[name]:.2f}",
                f"{min(took[name]):.2f} – {max(took[name]):.2f}",
            ]
            for name in switch
        ],
        [
            "An invocation: from its event to the next request for one, of a file that was processed before, against "
            f"an S3 on this machine; the median of {INVOCATIONS} in one process. On: spans to a UDP socket on loopback."
        ],
    )
    more = runs["on"].cpu / runs["off"].cpu - 1
    longer = milliseconds["on"] - milliseconds["off"]
    return table, [
        Target.of(f"tracing, CPU of {SIZE}", f"≤ {CPU_LIMIT:.0%} more", f"{more:+.1%}", more <= CPU_LIMIT),
        Target.of(
            "tracing, an invocation",
            f"≤ {INVOCATION_LIMIT_MS:.0f} ms longer",
            f"{longer:+.2f} ms",
            longer <= INVOCATION_LIMIT_MS,
        ),
    ]


class Daemon:
    """A UDP socket that counts what comes, as X-Ray's daemon would take it."""

    def __enter__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:{}".format(self.socket.getsockname()[1])
        self.datagrams = 0
        threading.Thread(target=self._take, daemon=True).start()
        return self

    def _take(self):
        while self.socket.recv(65536):
            self.datagrams += 1

    def __exit__(self, *_):
        # An empty datagram ends the thread.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.socket.getsockname())


class S3:
    """`loadtest`'s computed S3, with one small file."""

    def __init__(self, loadtest):
        self.command = [loadtest, "sim-server", "--size", "64KiB", "--bucket", BUCKET, "--key", KEY]

    def __enter__(self):
        self.child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        offer = json.loads(self.child.stdout.readline())
        self.endpoint, self.size = offer["endpoint"], offer["object_bytes"]
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        self.child.wait()


def _invocations(program, s3: S3, variables: dict) -> float:
    """Milliseconds that an invocation takes the processor: the median."""
    lambda_ = Lambda(s3)
    api = "127.0.0.1:{}".format(lambda_.server.server_port)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OTEL_"))}
    environment = {
        **inherited,
        **ENVIRONMENT,
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ENDPOINT_URL_SNS": f"http://{api}",
        **variables,
    }
    with subprocess.Popen([program], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        try:
            if not lambda_.done.wait(120):
                raise Failed(f"{program} did not make {INVOCATIONS} invocations in two minutes")
        finally:
            child.kill()
            lambda_.server.shutdown()
    if lambda_.errors:
        raise Failed(f"{program} answered {lambda_.errors[0]}")
    return statistics.median(lambda_.seconds[WARM_UP:]) * 1000


class Lambda:
    """The runtime API, and SNS, on one port: as many invocations as are wanted, one after the other."""

    def __init__(self, s3: S3):
        self.seconds, self.errors, self.done = [], [], threading.Event()
        self.began = None
        owner = {"principalId": "bench"}
        bucket = {"name": BUCKET, "ownerIdentity": owner, "arn": f"arn:aws:s3:::{BUCKET}"}
        record = {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "us-east-1",
            "eventTime": "2026-01-01T00:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": owner,
            "requestParameters": {"sourceIPAddress": "127.0.0.1"},
            "responseElements": {"x-amz-request-id": "bench", "x-amz-id-2": "bench"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "bench",
                "bucket": bucket,
                "object": {"key": KEY, "size": s3.size},
            },
        }
        self.event = json.dumps({"Records": [record]}).encode()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self) -> bytes | None:
        now = time.monotonic()
        if self.began:
            self.seconds.append(now - self.began)
        if len(self.seconds) == INVOCATIONS + WARM_UP:
            self.done.set()
            return None
        return self.event


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is one packet at once, or Nagle's algorithm would be measured.
    wbufsize = -1
    disable_nagle_algorithm = True

    def __init__(self, lambda_: Lambda, *arguments):
        self.lambda_ = lambda_
        super().__init__(*arguments)

    def do_GET(self):
        if not self.path.endswith("/invocation/next"):
            # An extension's request for events, of which there are none.
            return self.lambda_.done.wait()
        event = self.lambda_.next()
        if event is None:
            return None
        deadline = int((time.time() + 900) * 1000)
        self._answer(
            200,
            event,
            ("Lambda-Runtime-Aws-Request-Id", f"bench-{len(self.lambda_.seconds)}"),
            ("Lambda-Runtime-Deadline-Ms", str(deadline)),
            ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:1:function:bench"),
            ("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"),
        )
        self.lambda_.began = time.monotonic()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/":
            return self._answer(200, PUBLISHED.encode(), ("Content-Type", "text/xml"))
        if self.path.endswith("/register"):
            return self._answer(200, b"{}", ("Lambda-Extension-Identifier", "bench"))
        if self.path.endswith("/error"):
            self.lambda_.errors.append(body.decode())
        self._answer(202, b"")

    def _answer(self, status: int, body: bytes, *headers):
        self.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_):
        pass
