import pytest

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


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("allocating 9.00 MiB on device 0: cudaMalloc failed: out of memory", "the GPU is"),
        ("alloc_tensor_range: failed to allocate CUDA0 buffer of size 99", "the GPU is"),
        ("ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory", "the GPU is"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "the host is"),
        ("failed to allocate CPU_REPACK buffer of size 99", "the host is"),
        ("error loading model: mmap failed: Cannot allocate memory", "the host is"),
    ],
)
def test_memory_that_ran_out_is_told_apart_by_whose_it_is(tmp_path, line, named):
    log = tmp_path / "log"
    log.write_text(f"loading\n{line}\n")
    assert enginelog.cause(log).startswith(f"{named} out of memory: ")
    log.write_text("loading\nunknown model architecture: 'x'\n")
    assert "out of memory" not in enginelog.cause(log)
