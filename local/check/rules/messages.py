"""Queues and topics."""

from rules import Fault, rule
from rules.functions import CONSUMER
from template import text, texts

# Queues without a dead-letter queue, and why that is right.
LAST = {
    "DeadLetterQueue": "here messages end; an alarm says so",
    "FailuresQueue": "nobody receives from it but a person",
}

# SQS's longest.
FOURTEEN_DAYS = 1_209_600

PROTOCOLS = {"sqs", "email", "email-json", "lambda", "https", "http", "sms", "application", "firehose"}


@rule
def messages_are_not_handed_out_twice(template):
    """Lambda asks for six times the function's time-out, plus the batch window: a throttled poll comes back that much
    later, and a message handed out twice in between has used up a receive."""
    timeout = int(template.properties("ConsumerLambdaFunction").get("Timeout", 0))
    for _, mapping in template.of_type("AWS::Lambda::EventSourceMapping"):
        id = text(mapping.get("EventSourceArn"))[2:].removesuffix(".Arn}")
        least = 6 * timeout + int(mapping.get("MaximumBatchingWindowInSeconds", 0))
        visible = int(template.properties(id).get("VisibilityTimeout", 30))
        if visible < least:
            yield Fault(id, f"visibilityTimeout is {visible} s: {least} or more, 6 x consumerTimeout and the window")
        if visible > 43_200:
            yield Fault(id, f"visibilityTimeout is {visible} s, and SQS's longest 43200")


@rule
def the_consumer_has_time_to_tell(template):
    """A target that hangs is given up two seconds before the consumer's time is up; a webhook that answers slowly is
    tried up to three times, 8 s each."""
    timeout = int(template.properties("ConsumerLambdaFunction").get("Timeout", 0))
    if timeout < 15:
        yield Fault("ConsumerLambdaFunction", f"consumerTimeout is {timeout} s: 15 or more, to verify and tell")


@rule
def bad_messages_end_somewhere(template):
    """A queue without a dead-letter queue hands a bad message out until it expires, and then it is gone."""
    for id, queue in template.of_type("AWS::SQS::Queue"):
        redrive = queue.get("RedrivePolicy", {})
        if id in LAST:
            if queue.get("MessageRetentionPeriod") != FOURTEEN_DAYS:
                yield Fault(id, f"needs MessageRetentionPeriod: {FOURTEEN_DAYS}: people need days")
        elif text(redrive.get("deadLetterTargetArn", "")) != "${DeadLetterQueue.Arn}":
            yield Fault(id, "needs a RedrivePolicy to DeadLetterQueue, or a reason in local/check/rules/messages.py")
        elif not 3 <= int(redrive.get("maxReceiveCount", 0)) <= 1000:
            yield Fault(id, "maxReceiveCount is from 3 to 1000: fewer give up at the first outage")
    told = template.properties(CONSUMER).get("Environment", {}).get("Variables", {}).get("MAX_RECEIVE_COUNT")
    used = template.properties("EventQueue").get("RedrivePolicy", {}).get("maxReceiveCount")
    if str(told) != str(used):
        yield Fault(CONSUMER, f"MAX_RECEIVE_COUNT is {told}, the queue's maxReceiveCount {used}: traces would lie")


@rule
def encryption_still_delivers(template):
    """SNS can't deliver to a queue under the key that AWS manages for SQS, and CloudWatch can't publish to a topic
    under alias/aws/sns; both fail without a word."""
    key = "${KmsKeyArn}" if template.holds("HasKmsKey") else None
    for id, queue in template.of_type("AWS::SQS::Queue"):
        given = queue.get("KmsMasterKeyId") and text(queue["KmsMasterKeyId"])
        if given != key:
            yield Fault(id, f"is under the key {given}: KmsKeyArn or, without one, SqsManagedSseEnabled")
        if not key and queue.get("SqsManagedSseEnabled") is not True:
            yield Fault(id, "has to be encrypted: SqsManagedSseEnabled: true")
        if key and "SqsManagedSseEnabled" in queue:
            yield Fault(id, "can't have SqsManagedSseEnabled beside a key")
    for id, default in (("EventTopic", "alias/aws/sns"), ("AlertTopic", None)):
        topic = template.properties(id)
        given = topic.get("KmsMasterKeyId") and text(topic["KmsMasterKeyId"])
        if given != (key or default):
            yield Fault(id, f"is under the key {given}: KmsKeyArn or, without one, {default or 'none'}")


@rule
def only_our_topic_sends(template):
    """A queue policy that names a service alone lets every account's topics in."""
    policies = template.of_type("AWS::SQS::QueuePolicy")
    if [texts(p.get("Queues")) for _, p in policies] != [["${EventQueue}"]]:
        yield Fault("EventQueue", "needs one policy, for it alone: others are reached by roles")
    for id, policy in policies:
        wanted = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": {"Fn::GetAtt": ["EventQueue", "Arn"]},
            "Condition": {"ArnEquals": {"aws:SourceArn": {"Ref": "EventTopic"}}},
        }
        statements = policy.get("PolicyDocument", {}).get("Statement", [])
        if [{k: v for k, v in s.items() if k != "Sid"} for s in statements] != [wanted]:
            yield Fault(id, "has to let sns.amazonaws.com send to EventQueue from EventTopic alone (aws:SourceArn)")
    for id, _ in template.of_type("AWS::SNS::TopicPolicy"):
        yield Fault(id, "is not needed: topics are reached by roles and by this account's alarms")


@rule
def events_arrive_as_they_were_sent(template):
    """The queue holds the CloudEvent itself, with its attributes: wrapped in SNS's own JSON it has neither trace nor
    type. A protocol that SNS does not know fails the deployment."""
    for id, subscription in template.of_type("AWS::SNS::Subscription"):
        if subscription.get("Protocol") not in PROTOCOLS:
            yield Fault(id, f"{subscription.get('Protocol')!r} is no protocol of SNS's")
    event = template.properties("EventSubscription")
    wanted = {"TopicArn": "${EventTopic}", "Protocol": "sqs", "Endpoint": "${EventQueue.Arn}"}
    for name, value in wanted.items():
        if text(event.get(name, "")) != value:
            yield Fault("EventSubscription", f"needs {name}: {value}")
    if event.get("RawMessageDelivery") is not True:
        yield Fault("EventSubscription", "needs RawMessageDelivery: true")
    if "FilterPolicy" in event:
        yield Fault("EventSubscription", "a filter keeps events from the catalogue")


@rule
def people_can_be_told(template):
    """The address goes to the topic of the alarms, where there is one."""
    mail = template.properties("AlertEmailSubscription")
    if template.holds("HasAlertEmail"):
        if (text(mail.get("TopicArn", "")), mail.get("Protocol")) != ("${AlertTopic}", "email"):
            yield Fault("AlertEmailSubscription", "has to subscribe alertEmail to AlertTopic by email")
    elif mail:
        yield Fault("AlertEmailSubscription", "has to be there only with an address: SNS refuses an empty one")
