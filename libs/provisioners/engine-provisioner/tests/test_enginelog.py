from engine_provisioner import enginelog

BAD_GGUF = """\
0.00.006.976 E gguf_init_from_reader: failed to read key-value pairs
0.00.007.095 E llama_model_load: error loading model: llama_model_loader: failed to load model
0.00.007.109 E llama_model_load_from_file_impl: failed to load model
0.00.007.121 E cmn  common_init_: failed to load model 'x'
0.00.008.198 E srv          init: exiting due to model loading error
"""


def test_the_cause_is_what_went_wrong_first_and_not_its_echoes(tmp_path):
    log = tmp_path / "log"
    log.write_text(BAD_GGUF)
    assert enginelog.cause(log) == "failed to read key-value pairs"


def test_without_llama_errors_the_last_line_is_the_cause(tmp_path):
    log = tmp_path / "log"
    log.write_text("Traceback (most recent call last):\n  ...\nRuntimeError: no memory\n\n")
    assert enginelog.cause(log) == "RuntimeError: no memory"


def test_only_the_present_process_is_asked_for_its_cause(tmp_path):
    log = tmp_path / "log"
    log.write_text(BAD_GGUF)
    assert enginelog.cause(log, enginelog.size_bytes(log)) is None
    assert enginelog.cause(tmp_path / "none") is None


def test_a_log_that_outgrew_its_limit_keeps_its_end_while_its_writer_goes_on(tmp_path):
    log = tmp_path / "log"
    with log.open("a") as writer:
        writer.write("x" * 1000 + "end")
        writer.flush()
        assert enginelog.trim(log, 100)
        writer.write("more")
    assert len(log.read_text()) == 54
    assert log.read_text().endswith("endmore")
    assert not enginelog.trim(log, 100)
    assert not enginelog.trim(tmp_path / "none")
