"""What Debian's packages bring to the check: buildah, a registry, and the files of a base image."""

import os
import shutil
from pathlib import Path

from binaries import ARCHITECTURES, HOST, Arch
from command import WORK, Failed, call

DEBIAN = {"arm64": "arm64", "x86_64": "amd64"}


def require(arch: Arch) -> None:
    """Makes sure that this machine can build images of `arch` and run what is in them."""
    if os.geteuid() != 0:
        raise Failed("the check starts programs inside the images by chroot: run it as root")
    if not shutil.which("apt-get"):
        raise Failed("the check takes a base image's files from Debian's packages: run it on Debian or Ubuntu")
    wanted = {"buildah": "buildah"}
    foreign = arch != ARCHITECTURES[HOST]
    qemu = f"qemu-{arch.target.partition('-')[0]}"
    if foreign:
        wanted |= {f"{qemu}-static": "qemu-user-static", "update-binfmts": "binfmt-support"}
    if missing := [package for program, package in wanted.items() if not shutil.which(program)]:
        call(["apt-get", "update"], "update apt's lists")
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
        call(install, f"install {', '.join(missing)}", environment={"DEBIAN_FRONTEND": "noninteractive"})
    if foreign and not Path("/proc/sys/fs/binfmt_misc", qemu).exists():
        raise Failed(
            f"the kernel hands no programs for {arch.aws} to {qemu}-static: `mount -t binfmt_misc none "
            f"/proc/sys/fs/binfmt_misc` and `update-binfmts --enable {qemu}`"
        )


def unpacked(name: str, packages: list[str], arch: Arch) -> Path:
    """The files of `packages`, under a folder of ours: nothing is installed, no service starts.

    apt gets lists of its own, so that another architecture than this machine's needs no change to its settings.
    """
    folder = WORK / arch.aws / name
    if folder.is_dir():
        return folder
    apt = WORK / arch.aws / "apt"
    shutil.rmtree(apt, ignore_errors=True)
    (apt / "lists" / "partial").mkdir(parents=True)
    debian = DEBIAN[arch.aws]
    settings = [f"APT::Architecture={debian}", "APT::Architectures::=" + debian, f"Dir::State::Lists={apt}/lists"]
    settings += ["Dir::State::status=/dev/null", f"Dir::Cache={apt}", "APT::Sandbox::User=root"]
    options = [word for setting in settings for word in ("-o", setting)]
    call(["apt-get", *options, "update"], f"fetch Debian's lists for {arch.aws}")
    call(["apt-get", *options, "download", *packages], f"download {', '.join(packages)}", cwd=apt)
    fresh = apt / "files"
    for package in apt.glob("*.deb"):
        call(["dpkg-deb", "--extract", package, fresh], f"unpack {package.name}")
    # Renamed when whole: what has the final name is never half done.
    fresh.rename(folder)
    shutil.rmtree(apt)
    return folder
