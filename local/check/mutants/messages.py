"""Queues and topics that lose messages, or let others in."""

from mutants.edit import PARAMS, YML, Mutant

MESSAGES = [
    Mutant(
        "visibility below the consumer's time-out", YML, PARAMS, "visibilityTimeout: 180", "visibilityTimeout: 60",
        "messages_are_not_handed_out_twice", "EventQueue",
    ),
    Mutant(
        "a batch window that visibility does not cover", YML, PARAMS,
        "eventSourceBatchWindow: 0", "eventSourceBatchWindow: 60", "messages_are_not_handed_out_twice", "240",
    ),
    Mutant(
        "a consumer without time to tell", YML, PARAMS, "consumerTimeout: 30", "consumerTimeout: 5",
        "the_consumer_has_time_to_tell", "15 or more",
    ),
    Mutant(
        "the dead-letter queue unhooked", YML, "\n      EventQueue:\n", "RedrivePolicy:", None,
        "bad_messages_end_somewhere", "EventQueue",
    ),
    Mutant(
        "bad messages go to the failures queue", YML, "\n      EventQueue:\n",
        "DeadLetterQueue.Arn", "FailuresQueue.Arn", "bad_messages_end_somewhere", "EventQueue",
    ),
    Mutant(
        "given up at the first failure", YML, PARAMS, "maxReceiveCount: 5", "maxReceiveCount: 1",
        "bad_messages_end_somewhere", "maxReceiveCount",
    ),
    Mutant(
        "the consumer counts receives otherwise than the queue", YML, "\n  consumer:\n",
        "MAX_RECEIVE_COUNT: ${param:maxReceiveCount}", "MAX_RECEIVE_COUNT: 3", "bad_messages_end_somewhere", "MAX_RECEIVE_COUNT",
    ),
    Mutant(
        "an e-mail without an address", YML, "\n      AlertEmailSubscription:\n", "Condition: HasAlertEmail", None,
        "people_can_be_told", "AlertEmailSubscription",
    ),
    Mutant(
        "dead letters are gone after four days", YML, "\n      DeadLetterQueue:\n",
        "MessageRetentionPeriod: 1209600", None, "bad_messages_end_somewhere", "DeadLetterQueue",
    ),
    Mutant(
        "any topic may send", YML, "\n      EventQueuePolicy:\n", "Condition:", None,
        "only_our_topic_sends", "EventQueuePolicy",
    ),
    Mutant(
        "anybody may send", YML, "\n      EventQueuePolicy:\n", "Service: sns.amazonaws.com", "AWS: '*'",
        "only_our_topic_sends", "EventQueuePolicy",
    ),
    Mutant(
        "queues under the key that AWS manages for SQS", YML, "<<: &queueKey",
        "KmsMasterKeyId: !If [HasKmsKey, !Ref KmsKeyArn, !Ref AWS::NoValue]", "KmsMasterKeyId: alias/aws/sqs",
        "encryption_still_delivers", "alias/aws/sqs",
    ),
    Mutant(
        "queues in plain text", YML, "<<: &queueKey", "!Ref AWS::NoValue, true]", "!Ref AWS::NoValue, false]",
        "encryption_still_delivers", "SqsManagedSseEnabled",
    ),
    Mutant(
        "alerts under alias/aws/sns", YML, "\n      AlertTopic:\n", "!Ref AWS::NoValue]", "alias/aws/sns]",
        "encryption_still_delivers", "AlertTopic",
    ),
    Mutant(
        "events in plain text", YML, "\n      EventTopic:\n", "alias/aws/sns]", "!Ref AWS::NoValue]",
        "encryption_still_delivers", "EventTopic",
    ),
    Mutant(
        "events wrapped in SNS's own JSON", YML, "\n      EventSubscription:\n",
        "RawMessageDelivery: true", "RawMessageDelivery: false", "events_arrive_as_they_were_sent", "Raw",
    ),
    Mutant(
        "a protocol that SNS does not know", YML, "\n      EventSubscription:\n", "Protocol: sqs", "Protocol: sqsx",
        "events_arrive_as_they_were_sent", "no protocol",
    ),
    Mutant(
        "people hear of every file", YML, "\n      AlertEmailSubscription:\n",
        "TopicArn: !Ref AlertTopic", "TopicArn: !Ref EventTopic", "people_can_be_told", "with an address",
    ),
]  # fmt: skip
