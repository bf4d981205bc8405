"""Images that take the place of those that only the internet has: Lambda's base, and Rust's.

They are built into a storage of the check's own, under the real names, so that the Dockerfile is used as it is.
"""

import os
import shutil
from pathlib import Path

import debian
from binaries import Arch
from command import WORK, call

LAMBDA = "public.ecr.aws/lambda/provided:al2023"
RUST = "rust:1.95-slim-bookworm"

# As in AWS's own image. Only what starts the functions is here: no emulator for a missing Runtime API.
ENTRY_POINT = """\
#!/bin/sh
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" 1>&2
  exit 142
fi
export _HANDLER="$1"
exec /var/runtime/bootstrap
"""
LAMBDA_DOCKERFILE = """\
FROM scratch
COPY . /
ENV LANG=en_US.UTF-8 TZ=:/etc/localtime PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin \
LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib \
LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime
WORKDIR /var/task
ENTRYPOINT ["/lambda-entrypoint.sh"]
"""
# A shell for the entry point, and what the binaries are linked to.
LAMBDA_PACKAGES = ["dash", "libc6", "libgcc-s1"]

RUST_DOCKERFILE = """\
FROM scratch
COPY . /
ENV PATH=/usr/local/rust/bin:/usr/bin CARGO_HOME=/usr/local/cargo
"""
# Of this machine, read-only: compiler, linker, libc and certificates. /usr/local stays the image's.
RUST_VOLUMES = ("/usr/bin", "/usr/lib", "/usr/lib64", "/usr/include", "/usr/libexec", "/etc/alternatives", "/etc/ssl")


def lambda_base(buildah: list[str], arch: Arch) -> None:
    """Lambda's base: its entry point, its environment, and a glibc."""
    root = debian.unpacked("base", LAMBDA_PACKAGES, arch)
    _folders(root, "proc", "dev", "tmp", "opt", "var/runtime", "var/task", "etc/pki/tls/certs")
    # Where the base has the root certificates: the functions read them when they start.
    shutil.copyfile("/etc/ssl/certs/ca-certificates.crt", root / "etc/pki/tls/certs/ca-bundle.crt")
    entry_point = root / "lambda-entrypoint.sh"
    entry_point.write_text(ENTRY_POINT, "utf-8")
    entry_point.chmod(0o755)
    _build(buildah, root, LAMBDA_DOCKERFILE, LAMBDA, arch)


def rust_base(buildah: list[str], arch: Arch) -> tuple[str, ...]:
    """Rust's image, made of this machine's toolchain; the options with which a build sees that."""
    sysroot = call(["rustc", "--print", "sysroot"], "look for Rust")
    volumes = {name: name for name in RUST_VOLUMES if Path(name).is_dir()} | {sysroot: "/usr/local/rust"}
    root = WORK / arch.aws / "rust"
    _folders(root, *volumes.values(), "usr/local/cargo/registry", "tmp", "etc", "root", "proc", "dev")
    _build(buildah, root, RUST_DOCKERFILE, RUST, arch)
    return tuple(word for outside, inside in volumes.items() for word in ("--volume", f"{outside}:{inside}:ro"))


def _folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
    # Newer packages hold files under /usr only, and leave these links to whoever sets a system up.
    for name in ("bin", "lib", "lib64", "sbin"):
        if not os.path.lexists(root / name):
            (root / "usr" / name).mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(f"usr/{name}")


def _build(buildah: list[str], root: Path, dockerfile: str, tag: str, arch: Arch) -> None:
    file = root.with_suffix(".Dockerfile")
    file.write_text(dockerfile, "utf-8")
    command: list[object] = [*buildah, "bud", "--isolation", "chroot", "--format", "oci", "--timestamp", "0"]
    command += ["--platform", f"linux/{arch.oci}", "--tag", tag, "--file", file, root]
    call(command, f"build a stand-in for {tag}")
