"""Warm-up: replay the requests that the exporter stored with a version, before the version serves."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from google.protobuf.message import DecodeError

from keraserve_embedded.batching.arrays import merge, rows_of
from keraserve_embedded.batching.options import cores
from keraserve_embedded.calls.classify import classify
from keraserve_embedded.calls.predict import predict
from keraserve_embedded.calls.work import Results, Work, finish, run_here
from keraserve_embedded.errors import Code, EmbeddedError, LoadError
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.quiet_tensorflow import tf
from keraserve_protocol.messages import PredictionLog

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
_MOST_RECORDS = 1000  # TensorFlow Serving's limit


def warm_up(
    version: LoadedVersion,
    folder: Path,
    sizes: Sequence[int] = (),
    seen: Callable[[Work, Results], object] = lambda *_: None,
) -> int:
    """Replay the records of the version in `folder`; model names and versions in them are ignored.

    Args:
        version: the loaded version.
        folder: of the version.
        sizes: each record also runs as batches of these numbers of rows, if it has fewer.
        seen: gets what each record runs, with its results.

    Returns:
        How many requests were replayed.

    Raises:
        LoadError: the file is damaged or too long, or a request fails: as in TensorFlow Serving, such a
            version does not serve.
    """
    path = folder / WARMUP_FILE
    if not path.is_file():
        return 0
    replayed = 0
    try:
        records = iter(tf.data.TFRecordDataset(str(path)))
        # A signature's first run, in which TensorFlow optimizes the graph, uses one core: run one on each.
        with ThreadPoolExecutor(cores()) as pool:
            while some := list(islice(records, cores())):
                if replayed + len(some) > _MOST_RECORDS:
                    raise LoadError(
                        f"Number of warmup records exceeds the maximum ({_MOST_RECORDS}) at {path}",
                        Code.INVALID_ARGUMENT,
                    )
                for _ in pool.map(lambda record: _replay(version, bytes(record.numpy()), sizes, seen), some):
                    replayed += 1
    except LoadError:
        raise
    except EmbeddedError as error:
        raise LoadError(f"warm-up request {replayed} failed: {error}", error.code) from None
    except tf.errors.OpError as error:
        raise LoadError(
            f"{path} is damaged: {error.message}. Please verify your warmup data is in TFRecord format.",
            Code(error.error_code),
        ) from None
    except DecodeError as error:
        raise LoadError(f"Failed to parse warmup record {replayed} of {path}: {error}") from None
    return replayed


def _replay(
    version: LoadedVersion, record: bytes, sizes: Sequence[int], seen: Callable[[Work, Results], object]
) -> None:
    def run(work: Work) -> Results:
        rows = rows_of(work.arrays)
        if rows and work.signature.batched:
            for size in sizes:
                if size > rows:
                    work.signature.run(merge([work.arrays], size))
        results = run_here(work)
        seen(work, results)
        return results

    entry = PredictionLog.FromString(record)
    match entry.WhichOneof("log_type"):
        case "predict_log":
            finish(predict(version, entry.predict_log.request), run)
        case "classify_log":
            finish(classify(version, entry.classify_log.request), run)
