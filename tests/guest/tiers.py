# SPDX-License-Identifier: Apache-2.0
"""What the tiers of the judge need in a guest: the classifier's files, the rules that are installed, a language model."""

import contextlib
import http.server
import json
import os
import pathlib
import shutil
import threading

from sequence import lictor, require, wait_until

MODEL_PORT = 7090
DENIED_BY_MODEL = "quarterly-figures"


def classifier(suite):
    """Settings of a judge with the shipped classifier, as `make classifier` would install it."""
    folder = suite.options.lictor / "classifier"
    return {"classifier": {"model": str(folder / "exec-classifier.onnx"), "library": str(folder / "libonnxruntime.so")}}


def classifier_and_model(suite):
    settings = {"provider": "openai", "base_url": f"http://127.0.0.1:{MODEL_PORT}/v1", "model": "suite-model", "timeout": "20s"}
    return {**classifier(suite), "llm": settings}


def status(suite):
    return json.loads(lictor(suite, "status", "--json").stdout)


def require_tiers(suite, *wanted):
    """A guest without a tier would show less than it says: that is a failure, and not passed over."""
    states = {tier["tier"]: tier for tier in status(suite).get("judge", [])}
    for name in wanted:
        tier = states.get(name, {"state": "absent", "reasons": []})
        require(tier["state"] == "working", f"the tier `{name}` is {tier['state']} in this guest: {'; '.join(tier.get('reasons', []))}")


@contextlib.contextmanager
def shipped_rules(suite):
    """The daemon judges by the rules that are installed with Lictor, and by no others."""
    shipped = suite.options.lictor / "rules"
    with only_rules(suite, {path.name: path.read_text() for path in sorted(shipped.glob("*.yaml"))}, "discovery-identity"):
        yield


@contextlib.contextmanager
def only_rules(suite, files, known):
    """The daemon judges by these files; `known` is the id of one of their rules."""
    folder = suite.daemon.rules
    aside = folder.with_name("rules.aside")
    folder.mkdir(exist_ok=True)
    os.rename(folder, aside)
    _fill(folder, files)
    wait_until(lambda: known in (status(suite).get("rules") or {}), 60, "the rules are in force")
    try:
        yield
    finally:
        nothing = '{version: 1, rules: [{id: nothing-else, description: nothing, state: draft, severity: info, kinds: [exec], condition: "false", action: alert}]}'
        shutil.rmtree(folder)
        _fill(folder, {"nothing.yaml": nothing} if not any(aside.iterdir()) else {path.name: path.read_text() for path in aside.iterdir()})
        shutil.rmtree(aside)
        wait_until(lambda: known not in (status(suite).get("rules") or {}), 60, "the rules are gone")


def _fill(folder, files):
    fresh = folder.with_name("rules.fresh")
    fresh.mkdir()
    for name, text in files.items():
        pathlib.Path(fresh, name).write_text(text)
    os.rename(fresh, folder)


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        question = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.questions.append(question)
        denied = DENIED_BY_MODEL in question
        said = {"verdict": "deny" if denied else "unsure", "confidence": 0.9, "reason": "figures leave the house", "technique": "T1567" if denied else ""}
        message = {"role": "assistant", "content": json.dumps(said)}
        body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def language_model():
    """A server of the OpenAI protocol that denies what names the figures, and is unsure of everything else. Ungoverned, as a
    person's own would be. A real model is asked by `make test-llm`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", MODEL_PORT), _Answers)
    server.questions = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
