"""The check of both images: built, pushed, read back, judged by the rules, and run as Lambda runs them."""

import contextlib
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import binaries
import debian
import lambda_api
import pipeline
import rules
import standin
from binaries import ARCHITECTURES, FUNCTIONS, HOST, Arch, Context
from command import ROOT, Failed, call
from engine import Engine
from registry import Image, Registry, serve

STARTS = 10
# What the project wants of its cold start, and what no machine that is merely slow or busy takes.
START_TARGET_MS, START_LIMIT_MS = 25, 500


@dataclass
class Harness:
    """A storage of images that is the check's own, a registry, and the base that both know."""

    buildah: list[str]
    engine: Engine
    registry: Registry
    context: Context
    base: Image

    def build(self, target: str, tag: str, *options: str) -> str:
        """Builds and pushes an image, for its digest."""
        self.engine.build(self.context, target, tag, {}, options=options)
        return self.push(tag)

    def push(self, tag: str) -> str:
        return self.engine.push(tag, f"{self.registry.host}/{tag}:check", options=("--tls-verify=false",))

    def expected(self, function: str) -> rules.Expected:
        return rules.Expected(function, self.context, self.base, standin.LAMBDA, self.context.binary(function))


@contextlib.contextmanager
def harness(arch: Arch, features: str = "") -> Iterator[Harness]:
    """What images are built and judged with. What Docker or podman keep on this machine is not touched."""
    debian.require(arch)
    context = binaries.build(arch, features)
    # Not under target/: a working container's mount would be in the way of whoever removes that.
    with tempfile.TemporaryDirectory(prefix="penstock-images-") as folder:
        buildah = ["buildah", "--root", f"{folder}/storage", "--runroot", f"{folder}/run"]
        engine = Engine("buildah", tuple(buildah), ("--isolation", "chroot", "--pull-never"))
        with serve() as registry, contextlib.ExitStack() as ending:
            ending.callback(call, [*buildah, "rm", "--all"], "remove the working containers")
            standin.lambda_base(buildah, arch)
            destination = f"{registry.host}/base:check"
            engine.push(standin.LAMBDA, destination, options=("--tls-verify=false",))
            yield Harness(buildah, engine, registry, context, registry.image("base", "check"))


def check(arch: Arch, features: str, inside: bool, say: Callable[[str], None]) -> None:
    """Builds both images and says what was found; raises what is wrong."""
    with harness(arch, features) as the:
        inside_with = features if inside else None
        digests = {function: _built_twice(the, function, inside_with, say) for function in FUNCTIONS}
        images = {function: the.registry.image(function, digest) for function, digest in digests.items()}
        wrong = []
        for function, image in images.items():
            expected = the.expected(function)
            found = rules.problems(image, replace(expected, binary=None) if inside else expected)
            wrong += [f"{function}: {problem}" for problem in found]
            compressed, whole = rules.megabytes(image, the.base)
            say(f"{function}: the rules hold" if not found else f"{function}: {len(found)} rules do not hold")
            say(f"{function}: {whole:.1f} MB beyond its base, {compressed:.1f} MB compressed")
        if wrong:
            raise Failed("\n".join(wrong))
        roots = {function: _pulled(the, function, digest) for function, digest in digests.items()}
        say("pulled from the registry, the digests are the same")
        for line in pipeline.drive(images, roots, writes_parquet="processor/parquet" in features):
            say(line)
        # Emulated, it would say nothing.
        for function in FUNCTIONS if arch == ARCHITECTURES[HOST] else ():
            _cold_start(function, images[function], roots[function], say)


def _built_twice(the: Harness, function: str, inside_with: str | None, say: Callable[[str], None]) -> str:
    """Builds an image, and again without what is cached: the digests must be the same. Or compiles in it, with features."""
    if inside_with is not None:
        say(f"{function}: compiling in the image")
        volumes = standin.rust_base(the.buildah, the.context.arch)
        whole = replace(the, context=replace(the.context, folder=ROOT))
        arguments = {"BINARIES": "build", "FEATURES": inside_with}
        whole.engine.build(whole.context, function, function, arguments, options=volumes)
        return the.push(function)
    first = the.build(function, function)
    second = the.build(function, f"{function}-again", "--no-cache")
    if first != second:
        raise Failed(f"{function}: built twice, the digests are {first} and {second}")
    say(f"{function}: built twice, {first}")
    return first


def _pulled(the: Harness, function: str, digest: str) -> Path:
    """Where the file system of an image lies that came out of the registry."""
    name = f"docker://{the.registry.host}/{function}@{digest}"
    identity = call([*the.buildah, "pull", "--quiet", "--tls-verify=false", name], f"pull {name}")
    inspect = [*the.buildah, "inspect", "--type", "image", "--format", "{{.FromImageDigest}}"]
    if (pulled := call([*inspect, identity], f"inspect {function}")) != digest:
        raise Failed(f"{function}: pushed as {digest}, pulled as {pulled}")
    container = call([*the.buildah, "from", "--pull-never", identity], f"make a container of {function}")
    return Path(call([*the.buildah, "mount", container], f"mount {function}"))


def _cold_start(function: str, image: Image, root: Path, say: Callable[[str], None]) -> None:
    """From the entry point's start to the first request for an event: with no endpoint given, as in Lambda, root
    certificates are read."""
    required = {"OUTPUT_BUCKET": "none", "TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:none"}
    required |= {"DLQ_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/none"}
    took = []
    for _ in range(STARTS):
        with lambda_api.function(function, root, image.config["config"], required) as running:
            took.append(running.started_ms)
    median = statistics.median(took)
    say(f"{function}: asks for its first event after {median:.1f} ms (median of {STARTS}; wanted: {START_TARGET_MS})")
    if median > START_LIMIT_MS:
        raise Failed(f"{function}: {median:.0f} ms until it asks for its first event, more than {START_LIMIT_MS}")
