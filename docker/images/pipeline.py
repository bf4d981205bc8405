"""A file through both images: S3, SNS and SQS are MiniStack's, Lambda is ours."""

import csv
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import botocore.session
from botocore.config import Config

import lambda_api
import loopback
from command import ROOT, Failed
from registry import Image

SAMPLE = ROOT / "local" / "samples" / "dirty-penguins.csv"
KEY = "orders/dirty penguins.csv"
COLUMNS_KEY = "columns/dirty penguins.csv"
RECIPE = "match: columns/**\noutput: { format: parquet }\n"
# Where it is wrong, and what to do, for a function that was built without Parquet.
REFUSAL = "columns.yml:2:19: this build of Penstock writes no Parquet: build it with the cargo feature `parquet`"
LAUNCH = ROOT / "local" / "src" / "stack" / "launch.py"
ACCOUNT, REGION = "123456789012", "us-east-1"


def _ministack(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """MiniStack as `penstock up` starts it."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}
    environment |= {"BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    environment |= {"MINISTACK_REGION": REGION, "MINISTACK_ACCOUNT_ID": ACCOUNT}
    # Without these two it listens on every address.
    environment |= {"IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
    run = folder / "run"
    run.mkdir()
    return [sys.executable, "-I", str(LAUNCH), "attached", str(run)], environment


class Account:
    """Buckets, topic and queues, as far as the two functions need them."""

    def __init__(self, endpoint: str) -> None:
        # A profile of the caller's has no business here, and may not exist for root.
        os.environ.pop("AWS_PROFILE", None)
        session = botocore.session.Session()
        session.set_credentials("test", "test")
        config = Config(region_name=REGION, s3={"addressing_style": "path"})
        self.s3, self.sns, self.sqs = (
            session.create_client(name, endpoint_url=endpoint, config=config) for name in ("s3", "sns", "sqs")
        )
        self.environment = {"AWS_ENDPOINT_URL": endpoint, "OUTPUT_BUCKET": "checked-output"}
        self.notices, self.events, self.dead_letters = (self._queue(n) for n in ("notices", "events", "dead-letters"))
        self.topic = self.sns.create_topic(Name="events")["TopicArn"]
        raw = {"RawMessageDelivery": "true"}
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=_arn("events"), Attributes=raw)
        for bucket in ("checked-input", "checked-output"):
            self.s3.create_bucket(Bucket=bucket)
        versioned = {"Status": "Enabled"}
        self.s3.put_bucket_versioning(Bucket="checked-input", VersioningConfiguration=versioned)
        notify = {"QueueConfigurations": [{"QueueArn": _arn("notices"), "Events": ["s3:ObjectCreated:*"]}]}
        self.s3.put_bucket_notification_configuration(Bucket="checked-input", NotificationConfiguration=notify)

    def _queue(self, name: str) -> str:
        return self.sqs.create_queue(QueueName=name)["QueueUrl"]

    def message(self, queue: str) -> dict[str, Any]:
        """The next message of a queue, with all its attributes."""
        wanted = {"MessageAttributeNames": ["All"], "AttributeNames": ["All"]}
        found = self.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10, MaxNumberOfMessages=1, **wanted)
        if not found.get("Messages"):
            raise Failed(f"no message came to {queue}")
        return found["Messages"][0]

    def published(self, event_id: str) -> dict[str, Any]:
        """The message of that event."""
        while event_id not in (message := self.message(self.events))["Body"]:
            pass
        return message

    def put(self, key: str, content: bytes) -> dict[str, Any]:
        """Puts a file, for S3's event of it; the first that S3 sends only says that it will send some."""
        self.s3.put_object(Bucket="checked-input", Key=key, Body=content)
        while True:
            event = json.loads(self.message(self.notices)["Body"])
            for record in event.get("Records", []):
                if unquote_plus(record["s3"]["object"]["key"]) == key:
                    return event

    def publish(self, name: str, recipe: str) -> str:
        """Brings a recipe into force; what RECIPES is then."""
        text = recipe.encode()
        sha256 = hashlib.sha256(text).hexdigest()
        pointer = json.dumps({"files": [{"name": name, "sha256": sha256}]}).encode()
        self.s3.create_bucket(Bucket="checked-recipes")
        for key, content in ((f"live/{sha256}/{name}", text), ("live/current.json", pointer)):
            self.s3.put_object(Bucket="checked-recipes", Key=key, Body=content)
        return "s3://checked-recipes/live"

    def read(self, key: str) -> bytes:
        try:
            return self.s3.get_object(Bucket="checked-output", Key=key)["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            raise Failed(f"{key} is not in the output bucket") from None


def _arn(queue: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"


def sqs_event(message: dict[str, Any]) -> dict[str, Any]:
    """A received message as Lambda hands it to the function."""
    attributes = {
        name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
        for name, value in message.get("MessageAttributes", {}).items()
    }
    record = {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"]}
    record |= {"attributes": message["Attributes"], "messageAttributes": attributes, "md5OfBody": message["MD5OfBody"]}
    record |= {"eventSource": "aws:sqs", "eventSourceARN": _arn("events"), "awsRegion": REGION}
    return {"Records": [record]}


def drive(images: dict[str, Image], roots: dict[str, Path], writes_parquet: bool) -> Iterator[str]:
    """Sends files through both images; what was found, a line each.

    What the first must have left behind is compared with the sample. A recipe for Parquet does its work where the image
    was built for it; elsewhere the function refuses to start, and says why.
    """
    with loopback.server("MiniStack", "/_ministack/health", _ministack) as address:
        account = Account(f"http://{address}")
        source = SAMPLE.read_bytes()
        receipt, entry = _through(account, images, roots, KEY, source, {})
        _compare(account, source, receipt)
        yield f"S3 event → processor → SNS → SQS → consumer: {entry['status']}, {entry['rows_in']} rows in"

        recipes = {"RECIPES": account.publish("columns.yml", RECIPE)}
        if writes_parquet:
            columns, entry = _through(account, images, roots, COLUMNS_KEY, source, recipes)
            _compare_parquet(account, receipt, columns)
            yield f"the same by a recipe, as Parquet: {entry['status']}, {entry['rows_in']} rows in"
            return
        try:
            with _started("processor", images, roots, account.environment | {"TOPIC_ARN": account.topic} | recipes):
                raise Failed("the processor starts with a recipe for Parquet, for which it was not built")
        except Failed as refused:
            if REFUSAL not in str(refused):
                raise
        yield "the processor refuses to start with a recipe for Parquet, for which it was not built"


def _through(
    account: Account,
    images: dict[str, Image],
    roots: dict[str, Path],
    key: str,
    source: bytes,
    environment: dict[str, str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sends a file through both images: its receipt, and the catalogue's entry of it."""
    given = account.environment | {"TOPIC_ARN": account.topic} | environment
    with _started("processor", images, roots, given) as processor:
        processor.invoke(account.put(key, source))
    receipt = json.loads(account.read(f"receipts/{key}.json"))
    given = account.environment | {"DLQ_URL": account.dead_letters}
    with _started("consumer", images, roots, given) as consumer:
        answer = consumer.invoke(sqs_event(account.published(receipt["event_id"])))
    if answer != {"batchItemFailures": []}:
        raise Failed(f"the consumer did not take the message: {answer}")
    day = receipt["timing"]["finished_at"][:10]
    entry = json.loads(account.read(f"catalog/dt={day}/{receipt['event_id']}.json"))
    if (entry["event_id"], entry["status"]) != (receipt["event_id"], "processed"):
        raise Failed(f"the catalogue's entry is of another file: {entry}")
    return receipt, entry


def _started(name: str, images: dict[str, Image], roots: dict[str, Path], environment: dict[str, str]) -> Any:
    return lambda_api.function(name, roots[name], images[name].config["config"], environment)


def _compare(account: Account, source: bytes, receipt: dict[str, Any]) -> None:
    """The clean file holds the sample's rows of the header's width, as Python's csv reads them."""
    # A blank line is no row.
    header, *rows = filter(None, csv.reader(source.decode().splitlines()))
    kept = [row for row in rows if len(row) == len(header)]
    clean = account.read(f"clean/{KEY}")
    if list(csv.reader(clean.decode().splitlines())) != [header, *kept]:
        raise Failed("the clean file does not hold the sample's rows")
    # The ETag of what was put in one piece.
    if [output["etag"] for output in receipt["outputs"]] != [hashlib.md5(clean).hexdigest()]:
        raise Failed(f"the receipt vouches for another output: {receipt['outputs']}")
    counts = {"rows_in": len(rows), "rows_out": len(kept), "rows_rejected": len(rows) - len(kept)}
    if {name: receipt["counts"][name] for name in counts} != counts:
        raise Failed(f"the receipt counts {receipt['counts']}, the sample has {counts}")
    if len(account.read(receipt["rejects"]["key"]).splitlines()) != counts["rows_rejected"]:
        raise Failed("there is not a reject for each row that is missing")


def _compare_parquet(account: Account, csv_receipt: dict[str, Any], receipt: dict[str, Any]) -> None:
    """What is in Parquet is told by others (`just reference`); here, that it is Parquet, of the same rows."""
    if receipt["recipe"]["name"] != "columns" or receipt["counts"] != csv_receipt["counts"]:
        raise Failed(f"by {receipt['recipe']} the rows are {receipt['counts']}, as CSV {csv_receipt['counts']}")
    [output] = receipt["outputs"]
    content = account.read(output["key"])
    if (content[:4], content[-4:]) != (b"PAR1", b"PAR1"):
        raise Failed(f"{output['key']} is no Parquet: {content[:4]!r} … {content[-4:]!r}")
    if output["etag"] != hashlib.md5(content).hexdigest():
        raise Failed(f"the receipt vouches for another output: {output}")
