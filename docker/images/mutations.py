"""Single faults, each built into the processor's image, each of which the rules must find.

A rule that never finds anything proves nothing. A fault names the rule that is to find it, so that none is found by
accident.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import rules
from check import Harness
from command import ROOT, Failed, call
from engine import DOCKERFILE
from registry import Image

BINARY = "COPY --from=binaries /out/processor/bootstrap"
CONSUMER = BINARY.replace("processor", "consumer")
RECIPES = "COPY --from=binaries /out/recipes/ /var/task/recipes/"
COMMAND = 'CMD ["processor"]'


@dataclass(frozen=True)
class Fault:
    """What is wrong, the words of the rule that is to find it, and how it is made."""

    what: str
    found_by: str
    # In the Dockerfile: this text, by that; and a line before the command.
    swap: tuple[str, str] | None = None
    add: str = ""
    # To the binary, and to the context's folder.
    binary: Callable[[bytes], bytes] | None = None
    folder: Callable[[Path], object] | None = None
    # More options for the build.
    options: tuple[str, ...] = ()
    # To the image that was built, when it is pushed: given its tag and where to.
    push: Callable[[Harness, str, str], object] | None = None


def _other_machine(content: bytes) -> bytes:
    """Another architecture in ELF's header: 62 is x86-64, 183 AArch64."""
    return content[:18] + bytes([183 if content[18] == 62 else 62]) + content[19:]


def _later_glibc(content: bytes) -> bytes:
    """The newest version that is asked for, made newer in the table of names."""
    newest = next(name for minor in range(34, 27, -1) if (name := f"GLIBC_2.{minor}\0".encode()) in content)
    return content.replace(newest, b"GLIBC_2.39\0")


def _recipe(mode: int) -> Callable[[Path], object]:
    return lambda folder: (folder / "recipes" / "README.md").chmod(mode)


def _riscv(the: Harness, tag: str, destination: str) -> None:
    container = call([*the.buildah, "from", "--pull-never", tag], f"make a container of {tag}")
    call([*the.buildah, "config", "--arch", "riscv64", container], f"change {tag}")
    commit = [*the.buildah, "commit", "--quiet", "--tls-verify=false", container, f"docker://{destination}"]
    call(commit, f"commit {tag}")


def _index(the: Harness, tag: str, destination: str) -> None:
    """An index of the image alone, as attestations make it."""
    call([*the.buildah, "manifest", "create", f"{tag}-index", tag], f"make an index of {tag}")
    push = [*the.buildah, "manifest", "push", "--all", "--tls-verify=false", f"{tag}-index", f"docker://{destination}"]
    call(push, f"push an index of {tag}")


FAULTS = [
    Fault("another architecture in the config", "architecture is 'riscv64'", push=_riscv),
    Fault("a binary for the other architecture", "is for EM_", binary=_other_machine),
    Fault("a binary that needs glibc 2.39", "needs glibc 2.39", binary=_later_glibc),
    Fault("a script instead of a binary", "is no ELF binary", binary=lambda _: b"#!/bin/sh\n"),
    Fault("a path of this machine in the binary", "a path of this", binary=lambda b: b + bytes(ROOT) + b"/"),
    Fault("21 MB more", "MB uncompressed, more than", binary=lambda b: b + bytes(21_000_000)),
    Fault("the consumer's binary", "is not the processor", (f"{BINARY} ", f"{CONSUMER} ")),
    Fault("a binary that can't be executed", "has mode 0644", (BINARY, BINARY.replace(" ", " --chmod=0644 ", 1))),
    Fault("the binary in /var/task", "runtime/bootstrap is missing", (f"{BINARY} /var/runtime", f"{BINARY} /var/task")),
    Fault("files of somebody else", "not to root", (BINARY, BINARY.replace(" ", " --chown=993:990 ", 1))),
    Fault("a file more", "has no business there", add=f"{BINARY} /var/task/bootstrap"),
    Fault("no recipes", "recipes/README.md is missing", (RECIPES, "")),
    Fault("a recipe that only root may read", "another mode than 0644", folder=_recipe(0o600)),
    Fault("a recipe that everybody may write", "may be written by everybody", folder=_recipe(0o666)),
    Fault("no command", "command is None", (COMMAND, "")),
    Fault("two words in the command", "command is", (COMMAND, 'CMD ["processor", "handler"]')),
    Fault("the command in a shell", "command is", (COMMAND, "CMD processor")),
    Fault("an entry point of its own", "entry point is", add='ENTRYPOINT ["/var/runtime/bootstrap"]'),
    Fault("one more variable", "environment is", add="ENV RUST_LOG=trace"),
    Fault("another working directory", "working directory is", add="WORKDIR /var/runtime"),
    Fault("another user", "user is '1000'", add="USER 1000"),
    Fault("another base", "does not stand on its base", ("FROM ${BASE} AS processor", "FROM scratch AS processor")),
    Fault("no version", "label version is missing", ('org.opencontainers.image.version="${VERSION}" ', "")),
    Fault("no revision", "label revision is missing", ("ARG REVISION=unknown\n", "")),
    Fault("the time of the build", "time of creation is", options=("--timestamp", "1700000000")),
    Fault("an index instead of an image", "not a single manifest", push=_index),
]


def run(the: Harness, say: Callable[[str], None]) -> None:
    """Tries every fault; raises which ones no rule found."""
    survived = []
    for number, fault in enumerate(FAULTS, 1):
        found = rules.problems(_image(the, fault, number), the.expected("processor"))
        matching = [problem for problem in found if fault.found_by in problem]
        if not matching:
            survived.append(fault.what)
        said = (matching or found or ["no rule says a word"])[0]
        say(f"{'found' if matching else 'SURVIVED':9} {fault.what:38} {said[:100]}")
    say(f"{len(FAULTS) - len(survived)} of {len(FAULTS)} faults were found")
    if survived:
        raise Failed("no rule found: " + "; ".join(survived))


def _image(the: Harness, fault: Fault, number: int) -> Image:
    tag = f"fault-{number}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "context")
        shutil.copytree(the.context.folder, folder)
        if fault.binary:
            path = folder / "processor" / "bootstrap"
            path.write_bytes(fault.binary(path.read_bytes()))
        if fault.folder:
            fault.folder(folder)
        text = DOCKERFILE.read_text("utf-8")
        swaps = [fault.swap] if fault.swap else []
        for before, after in [*swaps, (COMMAND, f"{fault.add}\n{COMMAND}")] if fault.add else swaps:
            if before not in text:
                raise Failed(f"{fault.what}: the Dockerfile no longer holds {before!r}")
            text = text.replace(before, after)
        dockerfile = Path(scratch, "Dockerfile")
        dockerfile.write_text(text, "utf-8")
        context = replace(the.context, folder=folder)
        the.engine.build(context, "processor", tag, {}, dockerfile=dockerfile, options=fault.options)
    if fault.push:
        fault.push(the, tag, f"{the.registry.host}/{tag}:check")
    else:
        the.push(tag)
    return the.registry.image(tag, "check")
