"""Alarms, dashboard and queries that see nothing."""

from mutants.edit import ALARMS, DASHBOARD, PARAMS, QUERIES, YML, Mutant

WATCHING = [
    Mutant(
        "an alarm on a queue that is not there", ALARMS, "\n  FailuresAlarm:\n",
        "!GetAtt FailuresQueue.QueueName", "penstock-failures", "alarms_watch_what_exists", "penstock-failures",
    ),
    Mutant(
        "an alarm on a metric that nobody writes", ALARMS, "\n  FilesFailedAlarm:\n",
        "MetricName: FilesFailed", "MetricName: FailedFiles", "alarms_watch_what_exists", "FailedFiles",
    ),
    Mutant(
        "an alarm on another queue", ALARMS, "\n  DeadLettersAlarm:\n",
        "DeadLetterQueue.QueueName", "EventQueue.QueueName", "everything_that_can_fail_is_watched", "DeadLetters",
    ),
    Mutant(
        "an alarm that is gone", ALARMS, "# ---- Consumer", "ConsumerErrorsAlarm:", "Other:",
        "everything_that_can_fail_is_watched", "ConsumerErrors",
    ),
    Mutant(
        "an alarm that tells nobody", ALARMS, "\n  ProcessorErrorsAlarm:\n",
        "- !Ref AlertTopic", "- !Ref EventTopic", "alarms_reach_somebody", "ProcessorErrorsAlarm",
    ),
    Mutant(
        "a queue whose alarm never ends", ALARMS, "Properties: &queueState", "OKActions:", None,
        "alarms_reach_somebody", "OKActions",
    ),
    Mutant(
        "an alarm each quiet night", ALARMS, "Properties: &queueState", "notBreaching", "breaching",
        "silence_is_well", "FailuresAlarm",
    ),
    Mutant(
        "an alarm that does not say what to do", ALARMS, "\n  ConsumerSlowAlarm:\n",
        "${param:runbook}#consumer-slow", "", "alarms_say_what_to_do", "#consumer-slow",
    ),
    Mutant(
        "a link to no section of the runbook", ALARMS, "\n  RejectRatioAlarm:\n",
        "#reject-ratio", "#rejects-ratio", "alarms_say_what_to_do", "#reject-ratio",
    ),
    Mutant(
        "a threshold in seconds on milliseconds", ALARMS, "\n  ProcessorSlowAlarm:\n",
        "100 * duration / (1000 *", "100 * duration / (", "thresholds_can_be_reached", "ProcessorSlowAlarm",
    ),
    Mutant(
        "an alarm for each bad message", YML, PARAMS, "eventQueueAge: 1800", "eventQueueAge: 600",
        "thresholds_can_be_reached", "eventQueueAge",
    ),
    Mutant(
        "a dashboard that is no JSON", "deploy/dashboard.js", "module.exports",
        "JSON.stringify(", "'{' + JSON.stringify(", "dashboard_shows_what_exists", "no JSON",
    ),
    Mutant(
        "a dashboard of a metric that nobody writes", DASHBOARD, "title: Bytes", "BytesOut", "BytesWritten",
        "dashboard_shows_what_exists", "BytesWritten",
    ),
    Mutant(
        "a dashboard without an alarm", DASHBOARD, "title: Alarms", "- ${DeadLettersAlarm.Arn}", None,
        "dashboard_shows_what_exists", "DeadLettersAlarm",
    ),
    Mutant(
        "a dashboard of one region", DASHBOARD, "title: Files", "${AWS::Region}", "us-east-1",
        "dashboard_shows_what_exists", "region",
    ),
    Mutant(
        "a dashboard of another function", DASHBOARD, "title: At once", "${ConsumerLambdaFunction}",
        "penstock-consumer", "dashboard_shows_what_exists", "penstock-consumer",
    ),
    Mutant(
        "a formula of what is not shown", DASHBOARD, "title: Throughput", "PERIOD(bytes)", "PERIOD(octets)",
        "dashboard_shows_what_exists", "octets",
    ),
    Mutant(
        "a query for a field that no line has", QUERIES, "\n  FrequentRejectsQuery:\n", "span.key", "span.file",
        "queries_find_something", "span.file",
    ),
    Mutant(
        "a query of another log group", QUERIES, "\n  SlowestFilesQuery:\n",
        "!Ref ProcessorLogGroup", "/aws/lambda/penstock", "queries_find_something", "log groups",
    ),
]  # fmt: skip
