"""The functions' binaries, built with this machine's cargo for either architecture, and the context made of them.

zig is the linker: it brings every glibc's symbols, so that the binaries ask for none newer than Lambda's, and crosses
from one architecture to the other without emulation.
"""

import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from command import ROOT, WORK, Failed, call

FUNCTIONS = ("processor", "consumer")
# The glibc of Lambda's base image. A binary that asks for a later one does not start.
GLIBC = (2, 34)


@dataclass(frozen=True)
class Arch:
    """An architecture, by the name that each party calls it."""

    aws: str
    oci: str
    target: str
    # As ELF's header says it.
    elf: str


ARCHITECTURES = {
    "arm64": Arch("arm64", "arm64", "aarch64-unknown-linux-gnu", "EM_AARCH64"),
    "x86_64": Arch("x86_64", "amd64", "x86_64-unknown-linux-gnu", "EM_X86_64"),
}
HOST = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


@dataclass(frozen=True)
class Context:
    """A folder that an image is built from, and what goes into its labels."""

    arch: Arch
    folder: Path
    version: str
    revision: str
    # Seconds since 1970: the time that everything in the image bears.
    epoch: int

    def binary(self, function: str) -> bytes:
        return (self.folder / function / "bootstrap").read_bytes()


def source() -> tuple[str, str, int]:
    """Version, revision and time of what is checked out: the same commit gives the same image."""
    metadata = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    version = json.loads(call(metadata, "ask cargo for the version"))["packages"][0]["version"]
    if not (ROOT / ".git").exists():
        return version, "unknown", 0
    revision, committed = call(["git", "log", "-1", "--format=%H %ct"], "ask git for the commit").split()
    if call(["git", "status", "--porcelain"], "ask git for changes"):
        revision += "-dirty"
    return version, revision, int(committed)


def build(arch: Arch, features: str = "") -> Context:
    """Builds both functions, with these cargo features, and lays them out as the Dockerfile's stage `prebuilt` wants them."""
    _standard_library(arch)
    target_dir = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    # No path of this machine may be in a binary: the same commit gives the same bytes wherever it was built, as if in
    # the Dockerfile's stage `build`. What the caller's RUSTFLAGS say would be in the bytes, too: they do not count.
    cargo_home = os.environ.get("CARGO_HOME", Path.home() / ".cargo")
    remapped = [f"--remap-path-prefix={cargo_home}=/usr/local/cargo", f"--remap-path-prefix={ROOT}=/src"]
    environment = {
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(remapped),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = ["cargo", "zigbuild", "--profile", "dist", "--locked", "-p", "processor", "-p", "consumer"]
    command += ["--features", features]
    wanted = f"{arch.target}.{GLIBC[0]}.{GLIBC[1]}"
    options = ["--target", wanted, "--target-dir", target_dir]
    call([*command, *options], f"build for {wanted}", environment=environment, show=True)

    folder = WORK / arch.aws / "context"
    shutil.rmtree(folder, ignore_errors=True)
    for function in FUNCTIONS:
        (folder / function).mkdir(parents=True)
        shutil.copyfile(target_dir / arch.target / "dist" / function, folder / function / "bootstrap")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    version, revision, epoch = source()
    _settle(folder, epoch)
    return Context(arch, folder, version, revision, epoch)


def _settle(folder: Path, epoch: int) -> None:
    """Gives every file one time and the mode that it is to have, whatever umask it was checked out with.

    Functions don't run as root: what only the owner may read is not there for them.
    """
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.name == "bootstrap" else 0o644)
        os.utime(path, (epoch, epoch))


def _standard_library(arch: Arch) -> None:
    """Rust's standard library for `arch`, fetched by rustup where it is missing."""
    sysroot = call(["rustc", "--print", "sysroot"], "look for Rust")
    if Path(sysroot, "lib", "rustlib", arch.target, "lib").is_dir():
        return
    add = ["rustup", "target", "add", arch.target]
    try:
        call(add, f"fetch Rust's standard library for {arch.aws}", show=True)
    except Failed as error:
        hint = f"run `{' '.join(add)}` where rustup can reach its server, or build for another --arch"
        raise Failed(f"{error}\n{hint}") from error
