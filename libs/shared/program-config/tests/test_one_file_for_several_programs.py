"""A file that HOME was started with serves a node as well."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import SecretStr

from program_config import (
    Alias,
    Bind,
    BindAddress,
    ConfigError,
    ProgramSettings,
    Schema,
    Variable,
    describe,
    load,
)


class NodeSettings(ProgramSettings):
    bind_addr: Annotated[Bind, Variable("POOL_MANAGERD_BIND_ADDR")] = BindAddress("::1", 9200)
    node_id: Annotated[str, Variable("POOL_MANAGERD_NODE_ID", (Alias("NODE"),))] = "here"
    api_token: Annotated[SecretStr | None, Variable("LLORCH_API_TOKEN")] = None


NODE = Schema(
    program="pool-managerd",
    settings=NodeSettings,
    secret=frozenset({"api_token"}),
    elsewhere=frozenset({"bind_addr", "admission_capacity"}),
)


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "shared.toml"
    path.write_text(text)
    return str(path)


def read(path: str, **environ: str):
    return load(NODE, command_line={}, environ=environ, config_path=path)


def test_a_programs_own_table_wins_over_the_top(tmp_path: Path) -> None:
    text = 'node_id = "both"\n[pool_managerd]\nnode_id = "mine"\nbind_addr = "0.0.0.0:1"\n'
    loaded = read(written(tmp_path, text))
    assert loaded.settings.node_id == "mine"
    assert str(loaded.settings.bind_addr) == "0.0.0.0:1"
    assert loaded.origins["node_id"].endswith("[pool_managerd]")


def test_what_belongs_to_another_program_is_left_to_it(tmp_path: Path) -> None:
    text = "admission_capacity = 3\n[orchestratord]\nanything = 1\n"
    assert read(written(tmp_path, text)).warnings == ()


def test_a_key_that_both_have_and_only_the_other_reads_is_a_warning(tmp_path: Path) -> None:
    loaded = read(written(tmp_path, 'bind_addr = "127.0.0.1:8080"\n'))
    assert loaded.settings.bind_addr.port == 9200
    (warning,) = loaded.warnings
    assert "bind_addr" in warning
    assert "[pool_managerd]" in warning


def test_an_unknown_key_in_the_own_table_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nod_id .*did you mean node_id"):
        read(written(tmp_path, '[pool_managerd]\nnod_id = "x"\n'))


def test_a_table_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be a table"):
        read(written(tmp_path, "pool_managerd = 1\n"))


def test_a_secret_is_masked_and_its_absence_is_not(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    without, with_one = read(path), read(path, LLORCH_API_TOKEN="s" * 40)
    assert "api_token = null  # default" in list(describe(NODE, without))
    assert 'api_token = "********"  # environment LLORCH_API_TOKEN' in list(
        describe(NODE, with_one)
    )
