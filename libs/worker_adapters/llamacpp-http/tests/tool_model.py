"""A model that always calls one tool, in the notation that its template teaches."""

import json
from functools import cached_property
from pathlib import Path

from demo_model import Recital, Step, build

TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
        },
    },
}
ARGUMENTS = {"place": "home"}
_TOKENS = (
    b"<tool_call>",
    b'\n{"name": "look",',
    b' "arguments": {',
    b'"place":',
    b' "home"}',
    b"}\n",
    b"</tool_call>",
)
TEMPLATE = """\
{%- if tools %}<|im_start|>system
You may call:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
Answer with <tool_call>
{"name": <name>, "arguments": <object>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


class ToolCaller(Recital):
    """Recites the call; a recital's own text cannot hold braces."""

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        return tuple(Step(token) for token in _TOKENS)


def build_tool_model(path: Path) -> Path:
    assert json.loads(b"".join(_TOKENS[1:-1]))["arguments"] == ARGUMENTS
    return build(path, spec=ToolCaller(name="tool", text="x"))
