"""Names of the parts of a split GGUF model: `name-00001-of-00003.gguf`."""

import re

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf", re.DOTALL)
_MOST_SHARDS = 1000


def shard_names(name: str) -> tuple[str, ...]:
    """The names of all parts, in their order, if the name is that of a part; else the name."""
    found = _SHARD.fullmatch(name)
    if found is None:
        return (name,)
    number, count = int(found["number"]), int(found["count"])
    if not 1 <= number <= count <= _MOST_SHARDS:
        return (name,)
    return tuple(f"{found['stem']}-{each:05}-of-{count:05}.gguf" for each in range(1, count + 1))


def shard_stem(name: str) -> str:
    """The name without the number of the part, as if the model were not split."""
    found = _SHARD.fullmatch(name)
    return f"{found['stem']}.gguf" if found else name
