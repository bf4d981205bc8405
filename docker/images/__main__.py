"""Builds the functions' images, and checks them without Docker and without AWS.

  build     both images, with docker, podman or buildah; with --push also into a repository, for deployment by digest
  check     builds both with buildah on a stand-in for Lambda's base, judges what a registry serves of them, runs
            their entry points against a Runtime API and MiniStack, all of it on loopback
  mutate    builds faults into the image, one at a time, each of which the check's rules must find

The binaries are built by this machine's cargo, for either architecture (cargo-zigbuild, pinned, from PyPI).
"""

import argparse
import os
import signal
import sys
import time
from typing import Any

import binaries
from binaries import ARCHITECTURES, FUNCTIONS, HOST
from command import Failed
from engine import NAMES, choose

EXAMPLES = """\
examples:
  just images                                        both for arm64, as penstock-processor and penstock-consumer
  just images --arch x86_64 --engine podman
  just images --base public.ecr.aws/lambda/provided@sha256:<digest>
  just images --push <account>.dkr.ecr.<region>.amazonaws.com/<repository>
  just check-images                                  check, then mutate
  just check-images --features processor/parquet     with recipes that write Parquet
  just check-images --arch arm64                     on x86-64 by qemu-user-static

--push prints the parameters for `osls deploy`. Log in to the registry with the engine's own `login` before.
check and mutate want root on Debian, and take what they lack (buildah, a registry, a base's files) from its packages.

exit codes: 0 done; 1 failed, or something is wrong with an image; 2 wrong usage; 128 + n ended by signal n
"""

BEGAN = time.monotonic()


def say(text: str) -> None:
    """A line about what was found, with the time since the beginning."""
    minutes, seconds = divmod(int(time.monotonic() - BEGAN), 60)
    print(f"[{minutes:3}:{seconds:02}] {text}", flush=True)


def arguments() -> argparse.Namespace:
    form: dict[str, Any] = {
        "epilog": EXAMPLES,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }
    parser = argparse.ArgumentParser(prog="images", description=__doc__, **form)
    commands = parser.add_subparsers(dest="command", required=True, metavar="build|check|mutate")
    build = commands.add_parser("build", help="build both images", description=__doc__, **form)
    check = commands.add_parser("check", help="build both images and check them", description=__doc__, **form)
    mutate = commands.add_parser("mutate", help="see that the check finds faults", description=__doc__, **form)
    for command, default in ((build, "arm64"), (check, HOST), (mutate, HOST)):
        command.add_argument(
            "--arch", choices=ARCHITECTURES, default=default, help=f"architecture of the functions (default: {default})"
        )
        command.add_argument(
            "--features",
            default="",
            help="cargo features of the functions: processor/parquet for recipes that write Parquet",
        )
    build.add_argument("--engine", choices=NAMES, help="what builds (default: the first of these that works)")
    build.add_argument(
        "--base", metavar="IMAGE", help="base image instead of the Dockerfile's, by digest for a release"
    )
    build.add_argument(
        "--push", metavar="REPOSITORY", help="push both to this repository, tagged by function and revision"
    )
    check.add_argument(
        "--inside",
        action="store_true",
        help="compile in the image, as `osls deploy` does (takes as long as cargo does)",
    )
    return parser.parse_args()


def build(given: argparse.Namespace) -> None:
    engine = choose(given.engine)
    context = binaries.build(ARCHITECTURES[given.arch], given.features)
    options = {"BASE": given.base} if given.base else {}
    for function in FUNCTIONS:
        tag = f"penstock-{function}:{context.revision}"
        engine.build(context, function, tag, options)
        say(f"built {tag} for {given.arch} with {engine.name}")
        if given.push:
            digest = engine.push(tag, f"{given.push}:{function}-{context.revision}")
            print(f'--param="{function}Image={given.push}@{digest}"', flush=True)


def main() -> None:
    given = arguments()
    if given.command == "build":
        return build(given)
    # No proxy leads to this machine.
    os.environ["NO_PROXY"] = f"127.0.0.1,{os.environ.get('NO_PROXY', '')}"
    # Only these need what comes with them.
    import check
    import mutations

    arch = ARCHITECTURES[given.arch]
    if given.command == "check":
        return check.check(arch, given.features, given.inside, say)
    with check.harness(arch, given.features) as the:
        return mutations.run(the, say)


if __name__ == "__main__":
    # Ended by a signal it cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    except Failed as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
