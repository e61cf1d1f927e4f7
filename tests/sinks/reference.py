#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What leaves Lictor, read by others: OCSF by the published schema, OTLP by the protocol's own definitions, the archive by DuckDB.

usage: reference.py EMIT ARCHIVE EVENTS     EMIT, ARCHIVE: crates/lictor-sinks/examples/emit.rs, crates/lictor-store/examples/archive.rs;
                                            EVENTS: a recording
"""
import collections
import http.server
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import threading

import duckdb
import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

HOSTILE = "/tmp/\u202ea\n\x1b[31m\"]</script>\\xff \u0085'=1+1"
CLASSES = {"exec": 1007, "file": 1001, "network": 4001, "process": 1007, "memory": 1004, "privilege": 1003, "lost": 0}
LOGS, METRICS = [], []


def made_up():
    """Each kind and operation with each verdict, once with everything known, once with next to nothing, once hostile."""
    objects = {
        "exec": [{"exec": {"path": "/bin/sh", "sha256": "ab" * 32, "interpreter": "/bin/sh", "args": ["sh", "-c", "id"]}}, {}],
        "file": [{"file": {"op": op, "path": "/etc/x", "to": "/etc/y"}} for op in "read write create delete rename link attributes".split()]
        + [{"file": {"op": "read"}}, {"file": {"op": "write", "path": HOSTILE}}, {"file": {"op": "read", "path": "/"}}],
        "network": [{"network": {"op": op, "family": "inet", "protocol": "tcp", "address": "10.0.0.1", "port": 443}} for op in "connect send listen accept socket".split()]
        + [
            {"network": {"op": "connect", "family": "inet6", "protocol": "udp", "address": "2001:db8::1", "port": 53, "domain": "a.example"}},
            {"network": {"op": "connect", "family": "unix", "protocol": "stream", "address": HOSTILE}},
            {"network": {"op": "socket", "family": "packet", "protocol": "768"}},
            {"network": {"op": "socket"}},
        ],
        "process": [{"process_event": {"op": op, "target": 5, "code": 9}} for op in "fork exit signal trace setuid".split()] + [{"process_event": {"op": "exit"}}],
        "memory": [{"memory": {"op": op, "path": "/lib/x.so"}} for op in "map_exec protect_exec".split()] + [{"memory": {"op": "map_exec"}}],
        "privilege": [{"privilege": {"op": "mount", "detail": HOSTILE}}, {"privilege": {"op": "bpf"}}],
        "lost": [{"lost": {"count": 7, "reason": "the ring was full"}}],
    }
    whole = {
        "session": "s-1", "agent": "coder",
        "process": {"pid": 7, "start_time": 123456789, "ppid": 6, "exe": "/bin/sh", "args": ["sh", HOSTILE], "cmdline": "sh " + HOSTILE, "cwd": "/", "uid": 1000, "gid": 1000,
                    "parent": {"pid": 6, "exe": HOSTILE, "cmdline": "x"}, "ancestors": [{"pid": 1, "exe": "/sbin/init"}, {}], "container": {"id": "c0ffee"}},
    }
    verdicts = [None] + [
        {"action": action, "tier": tier, "rule": "coder." + tier, "reason": HOSTILE, "source": "/p:1:2", "latency_us": 12, "tags": ["T1059.004", "T1041", "shell"], "severity": severity, **more}
        for (action, tier, severity), more in itertools.product(
            zip("allow deny kill hold alert".split(), "policy floor rules llm classifier".split(), "info low medium high critical".split()), [{}, {"enforced": False}])
    ]
    number = 0
    for kind, found in objects.items():
        for thing, verdict, who in itertools.product(found, verdicts, [whole, {"process": {"exe": "/bin/x"}}, {}]):
            number += 1
            event = {"id": f"E{number:05}", "time": "2026-01-02T03:04:05.678901234Z", "kind": kind, **thing, **who}
            if verdict:
                event["verdict"] = verdict
            yield event


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.headers["content-type"] == "application/x-protobuf", self.headers["content-type"]
        {"/v1/logs": LOGS, "/v1/metrics": METRICS}[self.path].append(body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def unknown_fields(message, path=""):
    """Fields that the protocol's definitions do not have: a wrong number would end up here."""
    from google.protobuf import unknown_fields as unknown
    for field in unknown.UnknownFieldSet(message):
        yield f"{path}:{field.field_number}"
    for descriptor, value in message.ListFields():
        if descriptor.message_type:
            for item in value if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]:
                yield from unknown_fields(item, f"{path}.{descriptor.name}")


def check_otlp(events):
    records, names = [], collections.Counter()
    for body in LOGS:
        request = logs_service_pb2.ExportLogsServiceRequest.FromString(body)
        assert not list(unknown_fields(request)), list(unknown_fields(request))
        for resource in request.resource_logs:
            attributes = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            assert attributes["service.name"] == "lictord", attributes
            for scope in resource.scope_logs:
                assert scope.scope.name == "lictor"
                records += scope.log_records
    by_id = {}
    for record in records:
        names[record.event_name] += 1
        attributes = {pair.key: pair.value for pair in record.attributes}
        assert len(attributes) == len(record.attributes), "a key stands there twice"
        assert 9 <= record.severity_number <= 21 and record.severity_text and record.body.string_value and record.observed_time_unix_nano
        if record.event_name != "lictor.alert":
            by_id[attributes["lictor.event.id"].string_value] = (record, attributes)
    assert set(by_id) == {event["id"] for event in events}, "every event, and no other"
    for event in events:
        record, attributes = by_id[event["id"]]
        assert record.event_name == "lictor." + event["kind"]
        assert record.time_unix_nano == (1767323045678901234 if event.get("time") else 0)
        assert attributes["process.pid"].int_value == 7 if event.get("process", {}).get("pid") == 7 else True
        if "args" in event.get("process", {}):
            assert [value.string_value for value in attributes["process.command_args"].array_value.values] == event["process"]["args"]
        assert ("lictor.verdict.action" in attributes) == ("verdict" in event)
    assert names["lictor.alert"] > 5, names
    assert METRICS, "no metrics came"
    request = metrics_service_pb2.ExportMetricsServiceRequest.FromString(METRICS[-1])
    assert not list(unknown_fields(request)), list(unknown_fields(request))
    metrics = {metric.name: metric for metric in request.resource_metrics[0].scope_metrics[0].metrics}
    counted = sum(point.as_int for point in metrics["lictor.events"].sum.data_points)
    assert counted == len(events), (counted, len(events))
    assert metrics["lictor.events"].sum.is_monotonic and metrics["lictor.events"].sum.aggregation_temporality == 2
    print(f"OTLP: {len(records)} log records in {len(LOGS)} requests, {len(metrics)} metrics: {dict(names)}")


def check_ocsf(path, events):
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.5.0"))
    validators, classes = {}, collections.Counter()
    kinds = {event["id"]: event["kind"] for event in events}
    seen = set()
    for line in path.read_text().splitlines():
        assert "\u202e" not in line and "\x1b" not in line
        found = json.loads(line)
        assert found["metadata"]["version"] == "1.5.0"
        profiles = tuple(found["metadata"]["profiles"])
        key = (found["class_uid"], profiles)
        if key not in validators:
            name = schema.lookup_class_name_from_uid(class_uid=key[0])
            validators[key] = jsonschema.Draft202012Validator(schema.get_class_schema(class_name=name, profiles=list(profiles)))
        errors = sorted(validators[key].iter_errors(found), key=str)
        assert not errors, (line, [f"{list(error.path)}: {error.message[:200]}" for error in errors[:5]])
        assert found["type_uid"] == found["class_uid"] * 100 + found["activity_id"]
        classes[found["class_uid"]] += 1
        if found["class_uid"] != 2004:
            seen.add(found["metadata"]["uid"])
            assert CLASSES[kinds[found["metadata"]["uid"]]] == found["class_uid"]
    assert seen == set(kinds), "every event, and no other"
    assert set(classes) == {*CLASSES.values(), 2004}, classes
    print(f"OCSF 1.5.0: {sum(classes.values())} events valid: {dict(sorted(classes.items()))}")
    # The validator is one: what is wrong is found.
    wrong = dict(found, activity_id=4711, surprise=1)
    assert len(list(validators[(wrong["class_uid"], profiles)].iter_errors(wrong))) >= 2


def check_parquet(store, events):
    """Every event in its day's folder, as it was, in columns of the types that are promised."""
    files = f"{store}/archive/events/*/*.parquet"
    ask = lambda sql: duckdb.execute(sql.replace("ARCHIVE", "read_parquet(?, hive_partitioning = true)"), [files]).fetchall()
    found = {id: (json.loads(line), str(day), time) for id, line, day, time in ask("SELECT id, event, day, epoch_ns(time) FROM ARCHIVE")}
    assert set(found) == {event["id"] for event in events}, "every event, and no other"
    for event in events:
        line, day, time = found[event["id"]]
        assert line["id"] == event["id"] and line["kind"] == event["kind"] and line.get("verdict") == event.get("verdict"), (line, event)
        assert line.get("process", {}).get("cmdline") == event.get("process", {}).get("cmdline")
        assert "time" not in event or day == event["time"][:10] and (time == 1767323045678901234 or not event["id"].startswith("E")), (day, time, event)
    types = {name: kind for name, kind, *_ in ask("DESCRIBE SELECT * FROM ARCHIVE")}
    assert (types["time"], types["number"], types["program"], types["denied"]) == ("TIMESTAMPTZ_NS", "BIGINT", "VARCHAR", "BOOLEAN"), types
    actions = collections.Counter(event.get("verdict", {}).get("action") for event in events)
    assert dict(ask("SELECT verdict, count(*) FROM ARCHIVE GROUP BY verdict")) == actions, actions
    denied = sum(actions[action] for action in ("deny", "kill"))
    assert ask("SELECT count(*) FROM ARCHIVE WHERE denied") == [(denied,)], denied
    assert ask("SELECT count(DISTINCT number) FROM ARCHIVE") == [(len(events),)]
    print(f"Parquet, read by DuckDB {duckdb.__version__}: {len(found)} events in {len({day for _, day, _ in found.values()})} days, {len(types)} columns")


def main():
    emit, archive, recording = sys.argv[1:]
    events = list(made_up()) + [json.loads(line) for line in open(recording)]
    assert len({event["id"] for event in events}) == len(events)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        (work / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        (work / "lictord.yaml").write_text(
            f"sinks:\n  ocsf: {{type: file, path: {work}/ocsf.jsonl, format: ocsf, rotate_size: 1GB, queue: 100000}}\n"
            f"  otlp: {{type: otlp, url: 'http://127.0.0.1:{server.server_port}', interval: 1s, queue: 100000}}\n")
        (work / "state").mkdir()
        subprocess.run([emit, work / "lictord.yaml", work / "events.jsonl", work / "state"], check=True, timeout=120)
        check_ocsf(work / "ocsf.jsonl", events)
        subprocess.run([archive, work / "events.jsonl", work / "store"], check=True, timeout=120)
        check_parquet(work / "store", events)
    check_otlp(events)


main()
