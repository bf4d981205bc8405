"""Single faults, each built into the processor's image, each of which the rules must find.

A rule that never finds anything proves nothing. A fault names the rule that is to find it, so that none is found by
accident.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import rules
from binaries import ARCHITECTURES
from check import Bench
from command import Failed, call
from engine import DOCKERFILE
from registry import Image

COPY_BINARY = "COPY --from=binaries /out/processor/bootstrap /var/runtime/bootstrap\nCOPY --from=binaries /out/recipes"
COMMAND = 'CMD ["processor"]'


@dataclass(frozen=True)
class Fault:
    """What is wrong, where, and the words of the rule that finds it."""

    what: str
    found_by: str
    # Replacements in the Dockerfile.
    edits: dict[str, str] = field(default_factory=dict)
    # What is done to the binary.
    binary: Callable[[bytes], bytes] | None = None
    # What is done to the context's folder.
    folder: Callable[[Path], object] | None = None
    # Options for the engine.
    options: tuple[str, ...] = ()
    index: bool = False


def _other_machine(content: bytes) -> bytes:
    """Another architecture in ELF's header: 62 is x86-64, 183 AArch64."""
    other = 183 if content[18] == 62 else 62
    return content[:18] + bytes([other]) + content[19:]


def _later_glibc(content: bytes) -> bytes:
    names = [f"GLIBC_2.{minor}\0".encode() for minor in range(34, 9, -1)]
    newest = next(name for name in names if name in content)
    return content.replace(newest, b"GLIBC_2.39\0"[: len(newest)])


FAULTS = [
    Fault("the other architecture, in the image's config", "architecture is", options=("--platform", "OTHER")),
    Fault("a binary for the other architecture", "is for EM_", binary=_other_machine),
    Fault("a binary that needs glibc 2.39", "needs glibc 2.39", binary=_later_glibc),
    Fault("a script instead of a binary", "is no ELF binary", binary=lambda _: b"#!/bin/sh\n"),
    Fault("a path of this machine in the binary", "a path of this machine", binary=lambda b: b + rules.ROOT.as_posix().encode() + b"/"),
    Fault("21 MB more", "MB uncompressed, more than", binary=lambda b: b + bytes(21_000_000)),
    Fault("the consumer's binary", "is not the processor that was built", {"/out/processor/bootstrap /var": "/out/consumer/bootstrap /var"}),
    Fault("a binary that can't be executed", "has mode 0644", {COPY_BINARY: COPY_BINARY.replace("binaries", "binaries --chmod=0644", 1)}),
    Fault("the binary in /var/task", "/var/runtime/bootstrap is missing", {COPY_BINARY: COPY_BINARY.replace("/var/runtime", "/var/task")}),
    Fault("no command", "command is None", {COMMAND: ""}),
    Fault("two words in the command", "command is", {COMMAND: 'CMD ["processor", "handler"]'}),
    Fault("the command in a shell", "command is", {COMMAND: "CMD processor"}),
    Fault("an entry point of its own", "entry point is", {COMMAND: f'ENTRYPOINT ["/var/runtime/bootstrap"]\n{COMMAND}'}),
    Fault("a variable more", "environment is", {COMMAND: f"ENV RUST_LOG=trace\n{COMMAND}"}),
    Fault("another working directory", "working directory is", {COMMAND: f"WORKDIR /var/runtime\n{COMMAND}"}),
    Fault("another user", "user is", {COMMAND: f"USER 1000\n{COMMAND}"}),
    Fault("no recipes", "recipes/README.md is missing", {"COPY --from=binaries /out/recipes/ /var/task/recipes/\n" + COMMAND: COMMAND}),
    Fault("a recipe that only root may read", "another mode than 0644", folder=lambda f: (f / "recipes" / "README.md").chmod(0o600)),
    Fault("a recipe that everybody may write", "may be written by everybody", folder=lambda f: (f / "recipes" / "README.md").chmod(0o666)),
    Fault("files of somebody else", "not to root", {COPY_BINARY: COPY_BINARY.replace("binaries", "binaries --chown=993:990", 1)}),
    Fault("a file more", "has no business there", {COMMAND: f"COPY --from=binaries /out/consumer/bootstrap /var/task/consumer\n{COMMAND}"}),
    Fault("another base", "does not stand on its base", {"FROM ${BASE} AS processor": "FROM scratch AS processor"}),
    Fault("no version", "label version is missing", {'org.opencontainers.image.version="${VERSION}" \\\n': "\\\n"}),
    Fault("the revision of the default", "label revision is 'unknown'", {"ARG REVISION=unknown": ""}, options=("--build-arg", "REVISION=unknown")),
    Fault("the time of the build", "time of creation is", options=("--timestamp", "1700000000")),
    Fault("an index instead of an image", "not a single manifest", index=True),
]


def run(the: Bench, say: Callable[[str], None]) -> None:
    """Tries every fault; raises which ones no rule found."""
    survived = []
    for number, fault in enumerate(FAULTS, 1):
        found = rules.problems(_image(the, fault, number), the.expected("processor"))
        matching = [problem for problem in found if fault.found_by in problem]
        if not matching:
            survived.append(fault.what)
        say(f"{'found   ' if matching else 'SURVIVED'}  {fault.what}: {(matching or found or ['nothing found'])[0]}")
    say(f"{len(FAULTS) - len(survived)} of {len(FAULTS)} faults were found")
    if survived:
        raise Failed("no rule found: " + "; ".join(survived))


def _image(the: Bench, fault: Fault, number: int) -> Image:
    tag = f"fault-{number}"
    other = next(arch for arch in ARCHITECTURES.values() if arch != the.context.arch)
    options = tuple(word.replace("OTHER", f"linux/{other.oci}") for word in fault.options)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "context")
        shutil.copytree(the.context.folder, folder)
        if fault.binary:
            path = folder / "processor" / "bootstrap"
            path.write_bytes(fault.binary(path.read_bytes()))
        if fault.folder:
            fault.folder(folder)
        text = DOCKERFILE.read_text("utf-8")
        for before, after in fault.edits.items():
            if before not in text:
                raise Failed(f"{fault.what}: the Dockerfile no longer holds {before!r}")
            text = text.replace(before, after)
        dockerfile = Path(scratch, "Dockerfile")
        dockerfile.write_text(text, "utf-8")
        context = replace(the.context, folder=folder)
        the.engine.build(context, "processor", tag, {}, dockerfile=dockerfile, options=options)
    if fault.index:
        # Of one image, as attestations make it.
        index = f"{tag}-index"
        call([*the.buildah, "manifest", "create", index, tag], "make an index")
        destination = f"docker://{the.registry.host}/{tag}:check"
        call([*the.buildah, "manifest", "push", "--all", "--tls-verify=false", index, destination], "push an index")
    else:
        the.push(tag)
    return the.registry.image(tag, "check")
