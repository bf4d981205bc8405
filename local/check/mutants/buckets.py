"""Buckets that are open, or lose what lies in them."""

from mutants.edit import PARAMS, YML, Mutant

BUCKETS = [
    Mutant(
        "an open bucket", YML, "&noPublicAccess", "BlockPublicPolicy: true", "BlockPublicPolicy: false",
        "buckets_are_private", "InputBucket: is open",
    ),
    Mutant(
        "ACLs on the output", YML, "\n      OutputBucket:\n", "OwnershipControls: *noAcls", None,
        "buckets_are_private", "OutputBucket",
    ),
    Mutant(
        "plain HTTP to the output", YML, "# ---- Output", "OutputBucketPolicy:", None,
        "buckets_speak_tls_only", "OutputBucket",
    ),
    Mutant(
        "plain HTTP to the input's list of keys", YML, "\n      InputBucketPolicy:\n",
        "- !GetAtt InputBucket.Arn", None, "buckets_speak_tls_only", "InputBucket",
    ),
    Mutant(
        "a bucket for everybody", YML, "\n      OutputBucketPolicy:\n", "Effect: Deny", "Effect: Allow",
        "buckets_speak_tls_only", "lets somebody in",
    ),
    Mutant(
        "files under the key that AWS manages for S3", YML, "&encrypted", "SSEAlgorithm: AES256",
        "SSEAlgorithm: aws:kms", "buckets_are_encrypted", "AES256",
    ),
    Mutant(
        "with a key, files are not under it", YML, "&encrypted", "SSEAlgorithm: aws:kms", "SSEAlgorithm: AES256",
        "buckets_are_encrypted", "with a KMS key",
    ),
    Mutant(
        "an input without versions", YML, "VersioningConfiguration:", "Status: Enabled", "Status: Suspended",
        "uploads_have_versions", "Enabled",
    ),
    Mutant(
        "versions that end before their events", YML, PARAMS, "noncurrentVersionRetentionDays: 30",
        "noncurrentVersionRetentionDays: 7", "uploads_have_versions", "outlast",
    ),
    Mutant(
        "overwritten uploads are kept for ever", YML, "- Id: forget-overwritten-uploads",
        "NoncurrentVersionExpiration:", None, "uploads_have_versions", "for ever",
    ),
    Mutant(
        "parts of broken uploads are kept for ever", YML, "\n      OutputBucket:\n",
        "- Id: abort-incomplete-uploads", None, "broken_uploads_are_aborted", "OutputBucket",
    ),
    Mutant(
        "results expire with the rejects", YML, "- Id: forget-rejects", "Prefix: rejects/", None,
        "only_what_may_expires", "everything",
    ),
    Mutant(
        "claims end before their messages", YML, "- Id: forget-claims", "ExpirationInDays: 15",
        "ExpirationInDays: 5", "only_what_may_expires", "claims/",
    ),
    Mutant(
        "removing the stack removes the files", YML, "\n      OutputBucket:\n",
        "DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Delete", "buckets_are_kept", "OutputBucket",
    ),
]  # fmt: skip
