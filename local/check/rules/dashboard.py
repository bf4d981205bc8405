"""What people look at: the dashboard and the saved queries."""

import json
import re

from package import ROOT
from rules import Fault, rule
from rules.metrics import KNOWN, wrong
from template import text, tokens

# Functions and keywords of metric math that look like ids.
MATH = {"IF", "FILL", "PERIOD", "SUM", "MAX", "MIN", "AVG", "SEARCH", "RATE"}

# What the functions' log lines hold beside CloudWatch's own @fields: where it is written, and as what.
PROCESSOR, CONSUMER = "processor/src/handler.rs", "consumer/src/handler.rs"
METRICS, TELEMETRY = "common/src/metrics.rs", "common/src/telemetry.rs"
FIELDS = {
    # tracing-subscriber's own, at the top level because of `flatten_event`.
    "level": (TELEMETRY, ".json().flatten_event(true)"),
    "message": (TELEMETRY, ".json().flatten_event(true)"),
    "span.key": (PROCESSOR, "key = source.key"),
    "span.trace_id": (PROCESSOR, "trace_id = %trace_id"),
    "status": (CONSUMER, "?status"),
    "code": (PROCESSOR, 'code, "failed'),
    "error": (PROCESSOR, "error = telemetry::chain(error)"),
    "rows_in": (PROCESSOR, "rows_in = counts.rows_in"),
    "rows_out": (PROCESSOR, "rows_out = counts.rows_out"),
    "rows_rejected": (PROCESSOR, "rows_rejected = counts.rows_rejected"),
    "reason": (PROCESSOR, '(reason, rows, "rejected")'),
    "rows": (PROCESSOR, '(reason, rows, "rejected")'),
    # The metrics' lines.
    "key": (METRICS, '("key", key.to_owned())'),
    "trace_id": (METRICS, '("trace_id", trace_id.to_string())'),
}

QUERIES = {"FileStoryQuery", "SlowestFilesQuery", "FrequentRejectsQuery"}

INSIGHTS = set(
    "fields filter sort stats limit parse dedup display by as asc desc and or not in like coalesce ispresent sum count "
    "count_distinct latest max min avg pct SOURCE".split()
)


def widgets(template):
    """The dashboard's widgets, or a fault."""
    body = text(template.properties("Dashboard").get("DashboardBody", ""))
    return json.loads(body).get("widgets", [])


@rule
def dashboard_shows_what_exists(template):
    """CloudWatch reads the body only when it is deployed, and cfn-lint never. What is not there shows an empty graph,
    which looks like a quiet day."""
    try:
        found = widgets(template)
    except ValueError as error:
        yield Fault("Dashboard", f"its body is no JSON: {error}")
        return
    for widget in found:
        title = widget.get("properties", {}).get("title", "a widget without title")
        for fault in _widget(template, widget):
            yield Fault("Dashboard", f"{title}: {fault}")
    shown = {alarm for w in found if w["type"] == "alarm" for alarm in w["properties"].get("alarms", [])}
    existing = {f"${{{id}.Arn}}" for id, _ in template.of_type("AWS::CloudWatch::Alarm")}
    for alarm in sorted(existing - shown):
        yield Fault("Dashboard", f"does not show {alarm}")
    for alarm in sorted(shown - existing):
        yield Fault("Dashboard", f"shows {alarm}, which is no alarm of this template")


def _widget(template, widget):
    properties = widget.get("properties", {})
    for token in tokens(json.dumps(properties)):
        if token.split(".")[0] not in template.resources:
            yield f"${{{token}}} is no resource of this template"
    if widget["type"] in ("metric", "log") and properties.get("region") != "${AWS::Region}":
        yield f"its region is {properties.get('region')}, not ${{AWS::Region}}"
    match widget["type"]:
        case "metric":
            yield from _metrics(template, properties)
        case "log":
            sources = re.findall(r"SOURCE '([^']*)'", properties.get("query", ""))
            groups = {f"${{{id}}}" for id, _ in template.of_type("AWS::Logs::LogGroup")}
            if not sources or not set(sources) <= groups:
                yield f"its sources are {sources}, the log groups {sorted(groups)}"
            query = re.sub(r"SOURCE '[^']*'\s*\|?", "", properties.get("query", ""))
            for field in unknown_fields(query):
                yield f"no log line holds {field}"
        case "alarm" | "text":
            pass
        case other:
            yield f"{other!r} is no type of widget that is used here"


def _metrics(template, properties):
    above, ids, used = [], set(), set()
    for metric in properties.get("metrics", []):
        options = metric[-1] if isinstance(metric[-1], dict) else {}
        ids.add(options.get("id"))
        if "expression" in options:
            used |= set(re.findall(r"[A-Za-z]\w*", options["expression"])) - MATH
            continue
        # "." repeats what stands above it.
        names = [n for n in metric if not isinstance(n, dict)]
        names = [above[i] if name == "." else name for i, name in enumerate(names)]
        above = names
        namespace, name, *dimensions = names
        if fault := wrong(template, namespace, name, dict(zip(dimensions[::2], dimensions[1::2]))):
            yield fault
        if not ("stat" in options or "stat" in properties):
            yield f"{name} has no stat"
    if not properties.get("metrics"):
        yield "shows no metric"
    for id in sorted(used - ids):
        yield f"an expression uses {id}, which is no id of the widget's"


@rule
def queries_find_something(template):
    """A query on a field that no line has, or on a log group that is not there, finds nothing and says nothing."""
    groups = {f"${{{id}}}" for id, _ in template.of_type("AWS::Logs::LogGroup")}
    queries = dict(template.of_type("AWS::Logs::QueryDefinition"))
    for id in sorted(QUERIES - queries.keys()):
        yield Fault(id, "is missing")
    for id, query in queries.items():
        if not query.get("LogGroupNames") or not {text(g) for g in query["LogGroupNames"]} <= groups:
            yield Fault(id, "asks log groups that are not of this template")
        for field in unknown_fields(query.get("QueryString", "")):
            yield Fault(id, f"no log line holds {field}")


def unknown_fields(query):
    """The fields of a query that no log line holds, as far as the code tells."""
    query = re.sub(r"'[^']*'", "", query)
    named = set(re.findall(r"\bas (\w+)", query))
    for field in sorted(set(re.findall(r"(?<![\w@.])[A-Za-z][\w.]*", query)) - INSIGHTS - named):
        if field in KNOWN["Penstock"]:
            continue
        path, needle = FIELDS.get(field, (None, None))
        if path is None or needle not in (ROOT / path).read_text("utf-8"):
            yield field
