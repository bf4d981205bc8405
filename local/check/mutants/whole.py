"""A template that works in one place only, or in none."""

from mutants.edit import YML, Mutant

WHOLE = [
    Mutant(
        "an account's number", YML, "\n      InputBucketPermission:\n", "!Ref AWS::AccountId", "'111122223333'",
        "nothing_belongs_to_one_account", "account",
    ),
    Mutant(
        "a region", YML, "- Sid: EncryptEvents", "sns.${AWS::Region}.", "sns.us-east-1.",
        "nothing_belongs_to_one_account", "region",
    ),
    Mutant(
        "a partition", YML, "- Sid: TellAbsentFromForbidden\n                    Effect: Allow\n"
        "                    Action: s3:ListBucket\n                    Resource:\n",
        "arn:${AWS::Partition}", "arn:aws", "nothing_belongs_to_one_account", "partition",
    ),
    Mutant(
        "a secret", YML, "\nprovider:\n", "RUST_LOG: info", "AWS_KEY: AKIAIOSFODNN7EXAMPLE",
        "no_secret_is_written_down", "secret",
    ),
    Mutant(
        "a name that nothing has", YML, "- Sid: ClaimAndCatalogue",
        "${OutputBucket.Arn}/catalog", "${Catalog.Arn}/catalog", "references_name_resources", "Catalog.Arn",
    ),
    Mutant(
        "an output that is gone", YML, "\n    Outputs:\n", "FailuresQueueUrl:", None,
        "outputs_are_there", "FailuresQueueUrl",
    ),
    Mutant(
        "a property that is misspelt", YML, "\n      EventQueue:\n", "VisibilityTimeout:", "VisibiltyTimeout:",
        "cfn-lint", "VisibiltyTimeout",
    ),
    Mutant(
        "an attribute that a resource has not", YML, "\n    Outputs:\n", "!Ref EventQueue", "!GetAtt EventQueue.Url",
        "cfn-lint", "Url",
    ),
    Mutant(
        "a reference to nothing", YML, "\n      EventSubscription:\n", "!Ref EventTopic", "!Ref EventsTopic",
        "cfn-lint", "EventsTopic",
    ),
    Mutant(
        "a log retention that CloudWatch does not have", YML, "\n  dev:\n", "logRetentionDays: 14",
        "logRetentionDays: 20", "osls", "logRetentionInDays",
    ),
    Mutant(
        "an unknown condition", YML, "\n      AlertEmailSubscription:\n",
        "Condition: HasAlertEmail", "Condition: HasEmail", "cfn-lint", "HasEmail",
    ),
    Mutant(
        "a setting that osls does not know", YML, "\n  processor:\n", "memorySize:", "memory:",
        "osls", "unrecognized property 'memory'",
    ),
    Mutant(
        "a recipe that is wrong", "recipes/feed.yml", "", "", "match: feed/**\nselct: [id]\n",
        "osls", "recipes/feed.yml:2:1: unknown key `selct`: did you mean `select`?",
    ),
    Mutant(
        "a recipe whose schema is wrong", "recipes/feed.yml", "", "",
        "match: feed/**\nschema:\n  fields:\n    - name: id\n      type: intger\n",
        "osls", "recipes/feed.yml:5:13: ",
    ),
]  # fmt: skip
