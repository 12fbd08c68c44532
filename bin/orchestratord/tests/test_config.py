"""Where settings come from, which source wins, and how mistakes are told."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestratord.config import SCHEMA, Settings
from program_config import BindAddress, ConfigError, Loaded, describe, load

TOKEN = "t" * 32


def loaded(
    command_line: Mapping[str, str | bool] | None = None,
    environ: Mapping[str, str] | None = None,
    config_path: Path | None = None,
) -> Loaded[Settings]:
    return load(
        SCHEMA,
        command_line=command_line or {},
        environ=environ or {},
        config_path=None if config_path is None else str(config_path),
    )


def problems(
    command_line: Mapping[str, str | bool] | None = None,
    environ: Mapping[str, str] | None = None,
    config_path: Path | None = None,
) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        loaded(command_line, environ, config_path)
    return caught.value.problems


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "orchestratord.toml"
    path.write_text(text)
    return path


def test_defaults_are_those_of_the_contract() -> None:
    settings = loaded().settings
    assert str(settings.bind_addr) == "127.0.0.1:8080"
    assert settings.admission_capacity == 100
    assert settings.admission_policy == "drop-lru"
    assert settings.admission_max_bytes == 64 * 1024 * 1024
    assert settings.event_log_max_bytes == 4 * 1024 * 1024
    assert settings.max_body_bytes == 1024 * 1024
    assert (settings.session_ttl_ms, settings.session_max_turns) == (600_000, 8)
    assert (settings.decode_idle_timeout_ms, settings.decode_wall_timeout_ms) == (60_000, 600_000)
    assert (settings.queue_max_wait_ms, settings.batch_max_wait_ms) == (600_000, 30_000)
    assert settings.device_policy == "gpu"
    assert settings.auto_pull
    assert not settings.keep_engines


def test_command_line_wins_over_environment_over_file(tmp_path: Path) -> None:
    path = written(tmp_path, "admission_capacity = 1\nretry_budget = 1\nsession_max_turns = 1\n")
    environ = {"ORCHD_ADMISSION_CAPACITY": "2", "ORCHD_RETRY_BUDGET": "2"}
    result = loaded({"admission_capacity": "3"}, environ, path)
    settings = result.settings
    assert settings.admission_capacity == 3
    assert settings.retry_budget == 2
    assert settings.session_max_turns == 1
    assert result.origins["admission_capacity"] == "command line --admission-capacity"
    assert result.origins["retry_budget"] == "environment ORCHD_RETRY_BUDGET"
    assert result.origins["session_max_turns"] == f"file {path}"
    assert result.origins["pinning"] == "default"


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path, "admission_capacity = 7\n")
    assert loaded(environ={"LLORCH_CONFIG": str(path)}).settings.admission_capacity == 7


def test_a_list_of_a_higher_source_replaces() -> None:
    environ = {"ORCHD_ALLOWED_HOSTS": "a.lan, b.lan"}
    assert loaded(environ=environ).settings.allowed_hosts == ("a.lan", "b.lan")
    higher = loaded({"allowed_hosts": "c.lan"}, environ)
    assert higher.settings.allowed_hosts == ("c.lan",)


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("ORCHESTRATORD_ADDR", "127.0.0.1:1", "bind_addr", BindAddress("127.0.0.1", 1)),
        ("ORCHD_ADDR", "[::1]:2", "bind_addr", BindAddress("::1", 2)),
        ("ORCHD_PROFILE", "home", "profile", "home"),
        ("ORCHESTRATORD_CLOUD_PROFILE", "false", "profile", "home"),
        ("ORCHD_EVENT_LOG_MAX_BYTES", "2 MiB", "event_log_max_bytes", 2 * 1024 * 1024),
        ("ORCHD_MODEL_ALIASES", "a=x, b=y", "model_aliases", {"a": "x", "b": "y"}),
        ("LLORCH_NETWORK_POLICY", "hf.co,a.b", "network_policy", ("hf.co", "a.b")),
        ("PROMETHEUS_METRICS_PORT", "9090", "metrics_port", 9090),
        ("LLORCH_KEEP_ENGINES", "true", "keep_engines", True),
    ],
)
def test_variables_and_their_older_spellings_are_read(
    name: str, value: str, field: str, expected: object
) -> None:
    assert getattr(loaded(environ={name: value}).settings, field) == expected


def test_fetches_know_the_hub_and_the_object_store_of_the_environment(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hf_secret\n")
    environ = {
        "HF_ENDPOINT": "https://hub.lan",
        "HF_TOKEN_FILE": str(token),
        "AWS_ENDPOINT_URL": "https://s3.lan",
    }
    result = loaded(environ=environ)
    fetch = result.settings.fetch
    assert (fetch.hub_endpoint, fetch.hub_token) == ("https://hub.lan", "hf_secret")
    assert fetch.object_store_options == {"s3": {"endpoint": "https://s3.lan"}}
    assert "hf_secret" not in "\n".join(describe(SCHEMA, result))
    assert loaded().settings.fetch.object_store_options == {"s3": {}}


def test_name_and_alias_may_agree() -> None:
    environ = {"ORCHD_BIND_ADDR": "127.0.0.1:1", "ORCHD_ADDR": "127.0.0.1:1"}
    assert loaded(environ=environ).origins["bind_addr"] == "environment ORCHD_BIND_ADDR"


def test_name_and_alias_that_differ_are_an_error() -> None:
    (problem,) = problems(environ={"ORCHD_BIND_ADDR": "127.0.0.1:1", "ORCHD_ADDR": "127.0.0.1:2"})
    assert "ORCHD_BIND_ADDR and ORCHD_ADDR" in problem


def test_an_empty_variable_is_unset() -> None:
    environ = {"ORCHD_ADMISSION_CAPACITY": "", "ORCHD_BIND_ADDR": " ", "LLORCH_CONFIG": ""}
    assert loaded(environ=environ).settings.admission_capacity == 100


def test_a_secret_and_its_file_together_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    environ = {"LLORCH_API_TOKEN": TOKEN, "LLORCH_API_TOKEN_FILE": str(path)}
    (problem,) = problems(environ=environ)
    assert "LLORCH_API_TOKEN)" in problem
    assert "LLORCH_API_TOKEN_FILE)" in problem


@pytest.mark.parametrize("name", ["LLORCH_API_TOKEN", "ORCHD_API_KEYS"])
def test_a_secret_is_never_shown(name: str) -> None:
    secret = TOKEN if name == "LLORCH_API_TOKEN" else f"alice:{TOKEN}"
    shown = "\n".join(describe(SCHEMA, loaded(environ={name: secret})))
    assert TOKEN not in shown
    assert f'"********"  # environment {name}' in shown
    (problem,) = problems(environ={name: "a:feeble"})
    assert "at least 32" in problem
    assert "feeble" not in problem


def test_the_cloud_binds_all_addresses_and_nobody_skips_the_token() -> None:
    environ = {"LLORCH_PROFILE": "cloud", "LLORCH_API_TOKEN": TOKEN}
    settings = loaded(environ={**environ, "LLORCH_INSECURE_PLAINTEXT": "true"}).settings
    assert str(settings.bind_addr) == "0.0.0.0:8080"
    assert not settings.auth_optional
    assert not settings.auto_pull
    assert settings.remote_nodes
    (warning,) = settings.exposure.warnings()
    assert "WITHOUT TLS" in warning


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"LLORCH_API_TOKEN": TOKEN}, "needs TLS"),
        ({"LLORCH_INSECURE_PLAINTEXT": "true"}, "no authentication"),
        ({"LLORCH_API_TOKEN": TOKEN, "ORCHD_TLS_CERT": "c.pem"}, "needs tls_key as well"),
        (
            {"ORCHD_BIND_ADDR": "127.0.0.1:1", "LLORCH_INSECURE_PLAINTEXT": "true"},
            "nobody could come in",
        ),
    ],
)
def test_the_cloud_refuses_to_be_open(environ: Mapping[str, str], told: str) -> None:
    (problem,) = problems(environ={"LLORCH_PROFILE": "cloud", **environ})
    assert told in problem


def test_any_credential_lets_home_leave_the_machine() -> None:
    environ = {"ORCHD_BIND_ADDR": "0.0.0.0:1", "ORCHD_API_KEYS": f"alice:{TOKEN}"}
    assert loaded(environ=environ).settings.bind_addr.host == "0.0.0.0"


def test_home_polls_nodes_of_this_machine_only() -> None:
    local = {"ORCHD_POOL_MANAGERS": "http://127.0.0.1:9200/, http://localhost:9201"}
    settings = loaded(environ=local).settings
    assert settings.pool_managers == ("http://127.0.0.1:9200", "http://localhost:9201")
    assert settings.remote_nodes
    (problem,) = problems(environ={"POOL_MANAGERD_URLS": "http://10.0.0.1:9200"})
    assert "10.0.0.1" in problem


def test_the_timeout_of_nodes_may_be_given_in_seconds() -> None:
    environ = {"ORCHESTRATORD_NODE_TIMEOUT_SECS": "45"}
    assert loaded(environ=environ).settings.node_timeout_ms == 45_000


def test_an_unknown_key_in_the_file_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    (problem,) = problems(config_path=written(tmp_path, "admision_capacity = 1\n"))
    assert "admision_capacity" in problem
    assert "did you mean admission_capacity?" in problem


def test_pools_come_from_the_file(tmp_path: Path) -> None:
    text = '[[pools]]\nid = "a"\nmodel_ref = "file:/m.gguf"\nslots = 2\n[[pools]]\nid = "b"\n'
    pools = loaded(config_path=written(tmp_path, text)).settings.pools
    assert [(pool.id, pool.slots) for pool in pools] == [("a", 2), ("b", 4)]


def test_mistakes_inside_pools_are_named(tmp_path: Path) -> None:
    text = '[[pools]]\nid = "a"\nslotz = 2\n[[pools]]\nid = "B"\n'
    first, second = problems(config_path=written(tmp_path, text))
    assert "pools.0.slotz" in first
    assert "did you mean slots?" in first
    assert "pools.1.id" in second


def test_a_pool_id_given_twice_is_an_error(tmp_path: Path) -> None:
    text = '[[pools]]\nid = "a"\n[[pools]]\nid = "a"\n'
    assert "'a' is given twice" in problems(config_path=written(tmp_path, text))[0]


@pytest.mark.parametrize("text", ["admission_capacity = ", "\xff", "[[pools"])
def test_a_file_that_is_not_toml_is_one_problem(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(text.encode("latin-1"))
    assert str(path) in problems(config_path=path)[0]


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    assert "none.toml" in problems(config_path=tmp_path / "none.toml")[0]


def test_all_problems_of_all_sources_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        {"bind_addr": "0.0.0.0:80", "retry_budget": "many"},
        {"ORCHD_ADMISSION_POLICY": "coin", "ORCHD_STATE_URL": "r", "LLORCH_PROFILE": "cloud"},
        written(tmp_path, "max_body_bytes = -1\nfoo = 1\n"),
    )
    text = "\n".join(found)
    for part in ("0.0.0.0", "retry_budget", "coin", "ORCHD_STATE_URL", "TLS", "max_body", "foo"):
        assert part in text
    assert len(found) == 7


@pytest.mark.parametrize("address", ["0.0.0.0:8080", "10.0.0.1:80", "[::]:80", "example.org:80"])
def test_an_address_that_others_can_reach_is_refused(address: str) -> None:
    (problem,) = problems({"bind_addr": address})
    assert "no authentication" in problem


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "8080", "::1:80", "localhost:x", "localhost:99999"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    assert "bind_addr" in problems({"bind_addr": address})[0]


def test_demo_implies_the_cpu_policy() -> None:
    result = loaded({"demo": True}, {"LLORCH_DEVICE_POLICY": "gpu"})
    assert result.settings.device_policy == "cpu"
    assert result.origins["device_policy"] == "implied by demo (command line --demo)"


def test_demo_contradicts_a_gpu_policy_of_its_own_source() -> None:
    assert "demo runs on the CPU" in problems({"demo": True, "device_policy": "gpu"})[0]


def test_demo_and_model_exclude_each_other() -> None:
    assert "demo serves its own model" in problems({"demo": True, "model": "file:/x"})[0]


def test_a_setting_that_means_nothing_alone_names_what_it_needs() -> None:
    (told,) = problems({"session_cost_budget": 1})
    assert "needs price_per_1k_tokens" in told
    (told,) = problems({"transcript_prompts": True})
    assert "needs transcripts" in told


def test_prices_are_read_from_a_variable_too() -> None:
    settings = loaded(environ={"ORCHD_PRICE_PER_1K_TOKENS": "small=0.5, large=2"}).settings
    assert settings.price_per_1k_tokens == {"small": 0.5, "large": 2.0}
    assert "small" in problems(environ={"ORCHD_PRICE_PER_1K_TOKENS": "small=x"})[0]


def test_an_unknown_variable_of_our_prefixes_is_a_warning() -> None:
    (warning,) = loaded(environ={"ORCHD_ADMISION_CAPACITY": "1"}).warnings
    assert "did you mean ORCHD_ADMISSION_CAPACITY?" in warning


def test_variables_of_our_other_programs_are_known() -> None:
    environ = {"POOL_MANAGERD_BIND_ADDR": "x", "ENGINE_PROVISIONER_GPU_MASK": "0", "HOME": "/"}
    assert loaded(environ=environ).warnings == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORCHESTRATORD_PORT", "tcp://10.0.0.1:8080"),
        ("ORCHD_ADDR", "tcp://10.0.0.1:8080"),
        ("ORCHD_SERVICE_HOST", "10.0.0.1"),
        ("ORCHD_SERVICE_PORT_HTTP", "8080"),
        ("ORCHD_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_service_links_of_kubernetes_are_ignored(name: str, value: str) -> None:
    result = loaded(environ={name: value})
    assert result.warnings == ()
    assert result.settings.bind_addr.port == 8080


def test_an_artifacts_url_must_be_a_local_folder() -> None:
    assert "file:///" in problems(environ={"ORCHD_ARTIFACTS_URL": "s3://bucket"})[0]


def test_folders_follow_home(tmp_path: Path) -> None:
    settings = loaded(environ={"LLORCH_HOME": str(tmp_path)}).settings
    assert settings.runtime_dir == tmp_path / "engines"
    assert settings.artifacts_url == (tmp_path / "artifacts").as_uri()


def test_a_runtime_folder_in_the_working_folder_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".runtime/engines").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert loaded().settings.runtime_dir == tmp_path / ".runtime/engines"


def test_every_setting_that_is_not_said_by_file_or_flag_alone_has_a_variable() -> None:
    assert Settings.model_fields.keys() - SCHEMA.variables.keys() == {"demo", "model", "pools"}


def test_durations_and_sizes_carry_their_unit() -> None:
    for name in ("timeout", "ttl", "wait", "interval", "grace", "retention"):
        assert all(
            field.endswith("_ms") for field in Settings.model_fields if name in field.split("_")
        )
