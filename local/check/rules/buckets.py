"""What lies in S3."""

from rules import Fault, rule
from template import text, texts

DATA = ("InputBucket", "OutputBucket")

# Days after which what lies under a prefix goes; the least that is safe, and why.
EXPIRES = {
    "OutputBucket": {
        "claims/": (15, "a claim is needed as long as its message can come back: 14 days"),
        "rejects/": (1, "rejected rows have to expire"),
    },
    "InputBucket": {},
}


@rule
def buckets_are_private(template):
    """A bucket is one setting away from being public; all four blocks and owner-enforced ownership leave none."""
    wanted = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    for id, bucket in template.of_type("AWS::S3::Bucket"):
        block = bucket.get("PublicAccessBlockConfiguration", {})
        for setting in wanted:
            if block.get(setting) is not True:
                yield Fault(id, f"is open: {setting} has to be true")
        ownership = [r.get("ObjectOwnership") for r in bucket.get("OwnershipControls", {}).get("Rules", [])]
        if id in DATA and ownership != ["BucketOwnerEnforced"]:
            yield Fault(id, "takes ACLs: ObjectOwnership has to be BucketOwnerEnforced")


@rule
def buckets_are_encrypted(template):
    """At rest everything is encrypted; with the key that was given, where one was."""
    key = template.holds("HasKmsKey")
    for id, bucket in template.of_type("AWS::S3::Bucket"):
        rules = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
        defaults = [r.get("ServerSideEncryptionByDefault", {}) for r in rules]
        if key and id in DATA:
            wanted = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}}
            if defaults != [wanted] or rules[0].get("BucketKeyEnabled") is not True:
                yield Fault(id, "has to be encrypted with KmsKeyArn, with a bucket key")
        elif defaults != [{"SSEAlgorithm": "AES256"}]:
            yield Fault(id, "has to be encrypted: SSEAlgorithm: AES256")


@rule
def buckets_speak_tls_only(template):
    """S3 answers plain HTTP too; a policy that denies it keeps files and credentials off the wire."""
    policies = {text(p["Bucket"]): p for _, p in template.of_type("AWS::S3::BucketPolicy")}
    for id, _ in template.of_type("AWS::S3::Bucket"):
        statements = policies.get(f"${{{id}}}", {}).get("PolicyDocument", {}).get("Statement", [])
        if not any(_denies_plain_http(statement, id) for statement in statements):
            yield Fault(id, "needs a policy that denies s3:* without aws:SecureTransport, on it and all its objects")
        for statement in statements:
            if statement["Effect"] == "Allow":
                yield Fault(id, "its policy lets somebody in; rights belong to the roles")


def _denies_plain_http(statement, id):
    arns = {f"${{{id}.Arn}}", f"arn:${{AWS::Partition}}:s3:::${{{id}}}"}
    resources = set(texts(statement["Resource"]))
    return (
        statement["Effect"] == "Deny"
        and statement["Principal"] == "*"
        and statement["Action"] == "s3:*"
        and any(resources == {arn, f"{arn}/*"} for arn in arns)
        and list(statement.get("Condition", {})) == ["Bool"]
        and str(statement["Condition"]["Bool"].get("aws:SecureTransport")).lower() == "false"
    )


@rule
def buckets_are_kept(template):
    """Removing the stack must not remove anybody's files; a first deployment that fails must leave no bucket behind."""
    for id in DATA:
        bucket = template.resources.get(id, {})
        if bucket.get("DeletionPolicy") != "RetainExceptOnCreate":
            yield Fault(id, "needs DeletionPolicy: RetainExceptOnCreate")
        if bucket.get("UpdateReplacePolicy") != "Retain":
            yield Fault(id, "needs UpdateReplacePolicy: Retain")


@rule
def uploads_have_versions(template):
    """The processor reads the version that its event names; those that were overwritten have to end some day, but
    not before the failures queue has forgotten the events that name them."""
    bucket = template.properties("InputBucket")
    if bucket.get("VersioningConfiguration", {}).get("Status") != "Enabled":
        yield Fault("InputBucket", "needs versions: VersioningConfiguration: Status: Enabled")
    days = [
        lifecycle["NoncurrentVersionExpiration"].get("NoncurrentDays", 0)
        for lifecycle in _lifecycle(bucket)
        if "NoncurrentVersionExpiration" in lifecycle and "Prefix" not in lifecycle
    ]
    if not days:
        yield Fault("InputBucket", "keeps overwritten uploads for ever: NoncurrentVersionExpiration is missing")
    elif min(days) < 15:
        yield Fault("InputBucket", "noncurrentVersionRetentionDays has to outlast the failures queue: 15 or more")


@rule
def only_what_may_expires(template):
    """A lifecycle rule with the wrong prefix, or with none, deletes results without anybody asking."""
    for id, prefixes in EXPIRES.items():
        found = {}
        for lifecycle in _lifecycle(template.properties(id)):
            if "ExpirationInDays" in lifecycle or "ExpirationDate" in lifecycle:
                found[lifecycle.get("Prefix", "everything")] = lifecycle.get("ExpirationInDays", 0)
        for prefix in sorted(found.keys() - prefixes.keys()):
            yield Fault(id, f"a lifecycle rule deletes {prefix}, which has to stay")
        for prefix, (least, why) in prefixes.items():
            if found.get(prefix, 0) < least:
                yield Fault(id, f"{prefix} needs a lifecycle rule of {least} days or more: {why}")


@rule
def broken_uploads_are_aborted(template):
    """The parts of an upload that was never completed are invisible, and paid for until they are aborted."""
    for id in DATA:
        days = [
            lifecycle["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation")
            for lifecycle in _lifecycle(template.properties(id))
            if "AbortIncompleteMultipartUpload" in lifecycle and "Prefix" not in lifecycle
        ]
        if days != [1]:
            yield Fault(id, "needs a lifecycle rule: AbortIncompleteMultipartUpload: DaysAfterInitiation: 1")


def _lifecycle(bucket):
    rules = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
    return [lifecycle for lifecycle in rules if lifecycle.get("Status") == "Enabled"]
