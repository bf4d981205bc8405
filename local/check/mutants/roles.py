"""Rights that are missing, or too many."""

from mutants.edit import YML, Mutant

ROLES = [
    Mutant(
        "the processor may not list its input", YML, "\n      ProcessorRole:\n",
        "- !Sub arn:${AWS::Partition}:s3:::${self:custom.inputBucket}", None,
        "roles_hold_exactly_what_is_needed", "lacks s3:ListBucket",
    ),
    Mutant(
        "the consumer may not list the output", YML, "\n      ConsumerRole:\n",
        "- Sid: TellAbsentFromForbidden", None, "roles_hold_exactly_what_is_needed", "lacks s3:ListBucket",
    ),
    Mutant(
        "no reading by version", YML, "- Sid: ReadInput", "- s3:GetObjectVersion", None,
        "roles_hold_exactly_what_is_needed", "lacks s3:GetObjectVersion",
    ),
    Mutant(
        "no giving up of uploads", YML, "- Sid: WriteOutput", "- s3:AbortMultipartUpload", None,
        "roles_hold_exactly_what_is_needed", "lacks s3:AbortMultipartUpload",
    ),
    Mutant(
        "earlier partitions can't be removed", YML, "- Sid: RemoveStale", "s3:DeleteObject", "s3:GetObject",
        "roles_hold_exactly_what_is_needed", "lacks s3:DeleteObject",
    ),
    Mutant(
        "the processor may remove receipts", YML, "- Sid: RemoveStale", "/clean/*", "/*",
        "roles_hold_exactly_what_is_needed", "may s3:DeleteObject",
    ),
    Mutant(
        "the processor may not publish", YML, "\n      ProcessorRole:\n", "- Sid: PublishEvents", None,
        "roles_hold_exactly_what_is_needed", "lacks sns:Publish",
    ),
    Mutant(
        "failed events can't be sent", YML, "\n      ProcessorRole:\n", "- Sid: ReportFailures", None,
        "roles_hold_exactly_what_is_needed", "lacks sqs:SendMessage",
    ),
    Mutant(
        "failed events may go to another queue only", YML, "- Sid: ReportFailures",
        "FailuresQueue.Arn", "DeadLetterQueue.Arn", "roles_hold_exactly_what_is_needed", "lacks sqs:SendMessage",
    ),
    Mutant(
        "messages can't be deleted when done", YML, "- Sid: ReceiveEvents", "- sqs:DeleteMessage", None,
        "roles_hold_exactly_what_is_needed", "lacks sqs:DeleteMessage",
    ),
    Mutant(
        "the consumer may write results", YML, "- Sid: ClaimAndCatalogue", "/claims/*", "/*",
        "roles_hold_exactly_what_is_needed", "may s3:PutObject",
    ),
    Mutant(
        "the consumer may delete objects", YML, "- Sid: ClaimAndCatalogue",
        "Action: s3:PutObject", "Action: [s3:PutObject, s3:DeleteObject]",
        "roles_hold_exactly_what_is_needed", "may s3:DeleteObject",
    ),
    Mutant(
        "every action on the output", YML, "- Sid: WriteOutput", "- s3:PutObject", "- s3:*",
        "roles_hold_exactly_what_is_needed", "may s3:*",
    ),
    Mutant(
        "publishing to every topic", YML, "- Sid: PublishEvents", "Resource: !Ref EventTopic", "Resource: '*'",
        "roles_hold_exactly_what_is_needed", "may sns:Publish on *",
    ),
    Mutant(
        "messages can't be set aside", YML, "\n      ConsumerRole:\n", "- Sid: SetAside", None,
        "roles_hold_exactly_what_is_needed", "lacks sqs:SendMessage",
    ),
    Mutant(
        "messages are set aside into the event queue", YML, "- Sid: SetAside",
        "DeadLetterQueue.Arn", "EventQueue.Arn", "roles_hold_exactly_what_is_needed", "may sqs:SendMessage",
    ),
    Mutant(
        "with recipes, every object may be read", YML, "- Sid: ReadRecipes",
        "s3:::${Recipes}/*", "s3:::*", "roles_hold_exactly_what_is_needed", "may s3:GetObject",
    ),
    Mutant(
        "with recipes, no pointer is told from forbidden", YML, "- Sid: TellNoRecipesFromForbidden",
        "Action: s3:ListBucket", "Action: s3:GetObject", "roles_hold_exactly_what_is_needed", "lacks s3:ListBucket",
    ),
    Mutant(
        "with a key for masks, every secret may be read", YML, "- Sid: Mask\n",
        "!Ref MaskKeyArn", "'*'", "roles_hold_exactly_what_is_needed", "may secretsmanager:GetSecretValue on *",
    ),
    Mutant(
        "with notifications, every object may be read", YML, "- Sid: ReadNotifications",
        "s3:::${Notifications}", "s3:::*", "roles_hold_exactly_what_is_needed", "may s3:GetObject",
    ),
    Mutant(
        "with topics to tell, every topic may be told", YML, "- Sid: TellTopics",
        "!Split [',', !Ref NotificationTopics]", "'*'", "roles_hold_exactly_what_is_needed", "may sns:Publish on *",
    ),
    Mutant(
        "with secrets, every secret may be read", YML, "- Sid: SignWebhooks",
        "!Split [',', !Ref NotificationSecrets]", "'*'",
        "roles_hold_exactly_what_is_needed", "may secretsmanager:GetSecretValue on *",
    ),
    Mutant(
        "secrets may be read without any that is named", YML, "\n      ConsumerRole:\n",
        "- HasNotificationSecrets", "- HasNotifications", "roles_hold_exactly_what_is_needed", "secretsmanager",
    ),
    Mutant(
        "with buses to tell, every bus may be told", YML, "- Sid: TellBuses",
        "!Split [',', !Ref NotificationBuses]", "'*'", "roles_hold_exactly_what_is_needed", "may events:PutEvents on *",
    ),
    Mutant(
        "no right to send traces", YML, "- &trace\n", "- xray:PutTraceSegments", None,
        "roles_hold_exactly_what_is_needed", "lacks xray:PutTraceSegments",
    ),
    Mutant(
        "with a key, the consumer may not use it", YML, "\n      ConsumerRole:\n", "- *useKey", "- !Ref AWS::NoValue",
        "roles_hold_exactly_what_is_needed", "with a KMS key",
    ),
    Mutant(
        "with a key, every key may be used", YML, "- &useKey", "Resource: !Ref KmsKeyArn", "Resource: '*'",
        "roles_hold_exactly_what_is_needed", "may kms:Decrypt on *",
    ),
    Mutant(
        "rights on networks without a VPC", YML, "- &interfaces", "- InVpc", "- HasKmsKey",
        "roles_hold_exactly_what_is_needed", "may ec2:CreateNetworkInterface",
    ),
    Mutant(
        "the code may use the network rights", YML, "- &notFromCode", "Effect: Deny", "Effect: Allow",
        "networks_are_lambdas_business", "has to deny",
    ),
    Mutant(
        "anybody may take on a role", YML, "AssumeRolePolicyDocument: &lambdaAssumes",
        "Service: lambda.amazonaws.com", "AWS: '*'", "each_function_has_its_own_role", "others than lambda",
    ),
    Mutant(
        "the consumer runs as the processor", YML, "\n  consumer:\n", "role: ConsumerRole", "role: ProcessorRole",
        "each_function_has_its_own_role", "ConsumerRole",
    ),
]  # fmt: skip
