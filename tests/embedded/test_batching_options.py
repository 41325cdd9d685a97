"""The batching parameters file: TensorFlow Serving's, and what is wrong with one."""

from pathlib import Path

import pytest

from keraserve_embedded.batching.options import IMPLICIT_BATCHING, BatchingOptions, read
from keraserve_embedded.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_parameters_file_is_tensorflow_servings(tmp_path: Path) -> None:
    text = """
        max_batch_size { value: 128 }  # as in TensorFlow Serving's guide
        batch_timeout_micros { value: 1000 }
        max_enqueued_batches { value: 1000000 }
        num_batch_threads { value: 8 }
        thread_pool_name { value: "pool" }
        allowed_batch_sizes: 32
        allowed_batch_sizes: 128
        pad_variable_length_inputs: true
        enable_large_batch_splitting { value: true }
        max_execution_batch_size { value: 32 }
    """
    wanted = BatchingOptions(128, 1000, 1000000, 8, (32, 128), True, 32)
    assert read(write(tmp_path / "p", text)) == wanted
    assert read(write(tmp_path / "p", "")) == BatchingOptions()
    splitting = read(write(tmp_path / "p", "enable_large_batch_splitting { value: true }"))
    assert (splitting.rows, splitting.padded(7), wanted.padded(33)) == (1000, 7, 128)
    assert IMPLICIT_BATCHING.rows == 32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1; it is 0"),
        ("num_batch_threads { value: -2 }", "num_batch_threads must be at least 1; it is -2"),
        ("max_enqueued_batches { value: 0 }", "max_enqueued_batches must be at least 1"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must not be negative"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: 2", "must match max_batch_size; last entry was 2"),
        ("allowed_batch_sizes: [8, 8]", "allowed_batch_sizes must be positive and rising"),
        (
            "max_batch_size {value: 4} enable_large_batch_splitting {value: true} "
            "max_execution_batch_size {value: 8}",
            r"max_execution_batch_size must be from 1 to max_batch_size \(4\)",
        ),
        ("max_batch_size: 4", "is no BatchingParameters in text format: 1:17"),
        ("max_batch: { value: 4 }", 'no field named "max_batch"'),
    ],
)
def test_parameters_that_make_no_sense_are_rejected(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as rejected:
        read(write(tmp_path / "parameters", text))
    assert str(tmp_path / "parameters") in str(rejected.value)


def test_a_parameters_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read .*gone: No such file"):
        read(tmp_path / "gone")
