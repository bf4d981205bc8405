"""serverless.yml, packaged by osls: what would be deployed, without an AWS account."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OSLS = ROOT / "node_modules" / ".bin" / "osls"

# The account of the images: no other account's number may appear in a template.
ACCOUNT = "123456789012"

# Nobody listens there: a call to AWS fails the packaging instead of going out.
CLOSED = "http://127.0.0.1:9"


class PackagingFailed(Exception):
    """osls refused."""


def image(region):
    """An image in ECR by its digest, which is neither built nor looked up."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{ACCOUNT}.dkr.ecr.{region}.{suffix}/penstock@sha256:" + "0" * 64


def package(stage="dev", region="us-east-1", params=(), root=ROOT):
    """The template of a stage in a region, and what serverless.yml says of its provider."""
    with tempfile.TemporaryDirectory(prefix="penstock-template-") as out:
        command = [OSLS, "package", "--stage", stage, "--region", region, "--package", out]
        for param in (f"processorImage={image(region)}", f"consumerImage={image(region)}", *params):
            command += ["--param", param]
        # Neither the caller's AWS configuration nor credentials: packaging must need none.
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": out,
            "AWS_ENDPOINT_URL": CLOSED,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise PackagingFailed((done.stderr + done.stdout).strip())
        template = json.loads(Path(out, "cloudformation-template-update-stack.json").read_text("utf-8"))
        state = json.loads(Path(out, "serverless-state.json").read_text("utf-8"))
    return template, state["service"]["provider"]


def written(template):
    """A template as it is kept: keys in order, so that a difference is one that matters."""
    return json.dumps(template, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
