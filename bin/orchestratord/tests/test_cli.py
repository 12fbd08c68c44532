"""The command line without serving."""

import pytest

from orchestratord.cli import main


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLORCH_CONFIG", "ORCHD_BIND_ADDR", "LLORCH_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def test_show_prints_every_value_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--admission-capacity", "5", "--no-auto-pull"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "admission_capacity = 5  # command line --admission-capacity" in lines
    assert "auto_pull = false  # command line --auto-pull" in lines
    assert 'pinning = "allow"  # default' in lines


def test_options_may_stand_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bind-addr", "127.0.0.1:7", "config", "show"]) == 0
    assert 'bind_addr = "127.0.0.1:7"' in capsys.readouterr().out


def test_check_says_that_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == "the configuration is valid\n"


def test_check_tells_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["config", "check", "--bind-adr", "x", "--retry-budget", "-1", "--profile", "cloud"]
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert "--bind-adr: unknown option; did you mean --bind-addr?" in told
    assert "retry_budget" in told
    assert "the cloud profile needs TLS" in told


def test_serving_refuses_a_bad_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bind-addr", "0.0.0.0:8080"]) == 2
    assert "no authentication" in capsys.readouterr().err


def test_options_are_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--bind", "127.0.0.1:1"]) == 2
    assert "--bind: unknown option" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--modl", "file:x.gguf"], ["--modl=file:x.gguf"], ["config", "--modl", "x", "check"]],
    ids=str,
)
def test_an_unknown_option_is_named_and_not_its_value(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert "unknown option; did you mean --model?" in told
    assert told.count("\n") == 1


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("orchestratord ")
