"""Which runtime runs a version's network: TensorFlow, or OpenVINO where the version has a form for it.

Both run the same requests when a version is loaded: OpenVINO is taken only if its results are the same.
"""

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from keraserve_embedded.batching.arrays import Arrays, rows_of
from keraserve_embedded.batching.batcher import lower_priority
from keraserve_embedded.batching.options import BatchingOptions, cores
from keraserve_embedded.calls.work import Results, Work
from keraserve_embedded.errors import EmbeddedError
from keraserve_embedded.models import model_card
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.signature import Signature
from keraserve_embedded.runtimes import INSTALL_OPENVINO, Precision, Runtime, has_openvino
from keraserve_protocol import differences
from keraserve_protocol.openvino_form import NETWORK, NETWORK_INPUT, NETWORK_OUTPUT, WEIGHTS
from keraserve_protocol.tensors import Array

if TYPE_CHECKING:
    from keraserve_embedded.models.quiet_openvino import CompiledNetwork

log = logging.getLogger(__name__)

Run = Callable[[Arrays], Sequence[Array]]

_ROUNDS, _SECONDS = 7, 0.5  # of the measurement: at most so many, and so long


class UnsuitedError(Exception):
    """OpenVINO can't run a version; the message says why."""


@dataclass
class WarmUp:
    """The largest request of each signature that a version was warmed up with, and TensorFlow's results."""

    requests: dict[str, tuple[Work, Results]] = field(default_factory=dict[str, tuple[Work, Results]])
    _lock: Lock = field(default_factory=Lock)

    def add(self, work: Work, results: Results) -> None:
        """Keep a request if it is the largest one so far."""
        name = work.signature.origin.signature
        with self._lock:
            if name not in self.requests or rows_of(self.requests[name][0].arrays) < rows_of(work.arrays):
                self.requests[name] = work, results


@dataclass(frozen=True)
class Wanted:
    """What the operator wants.

    Attributes:
        runtime: `auto`: the faster one.
        precision: bfloat16 only where a version's card has what that costs, and that is little.
        batching: says how many batches run at once; None: each request runs alone.
    """

    runtime: Runtime = "tensorflow"
    precision: Precision = "float32"
    batching: BatchingOptions | None = None


def choose(version: LoadedVersion, folder: Path, wanted: Wanted, warm: WarmUp) -> None:
    """Let OpenVINO run a version's network, if that is wanted and possible; the log and the version say so.

    Args:
        version: loaded, and warmed up.
        folder: of the version.
        wanted: by the operator.
        warm: what it was warmed up with.
    """
    if wanted.runtime == "tensorflow":
        return
    write = log.info
    try:
        converted = _Converted.of(version, folder, wanted.batching)
        signatures = converted.signatures("f32")
        _compare(signatures, warm)
        in_words = "float32"
        if wanted.precision == "bfloat16":
            allowed, cost = _cost(folder)
            if allowed:
                signatures = converted.signatures("bf16")
            else:
                write = log.warning
            in_words = f"bfloat16 ({cost})" if allowed else f"float32, not bfloat16 ({cost})"
        rates = _rates(version.signatures, signatures, warm) if wanted.runtime == "auto" else {}
    except UnsuitedError as unsuited:
        version.runtime = f"TensorFlow runs it: {unsuited}"
        write = log.warning if wanted.runtime == "openvino" else log.info
    else:
        fastest = max(rates, key=lambda name: rates[name]) if rates else "OpenVINO"
        compared = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        measured = f": images or rows a second, {compared}" if rates else ""
        if fastest == "OpenVINO":
            version.signatures |= signatures
        else:
            in_words = "float32"
        version.runtime = f"{fastest} runs it, in {in_words}{measured}"
    write("%s %d: %s", version.model, version.number, version.runtime)


def _cost(folder: Path) -> tuple[bool, str]:
    """Whether bfloat16 may be taken, and what it costs or why not, in words."""
    from keraserve_embedded.models.quiet_openvino import has_bfloat16

    return model_card.cost_of_bfloat16(folder) if has_bfloat16() else (False, "this processor has none")


@dataclass(frozen=True)
class _Converted:
    """A version with a form for OpenVINO that is its own.

    Attributes:
        version: it.
        network: the file.
        names: of the signatures that have the network in them, or are it.
        batching: the operator's.
    """

    version: LoadedVersion
    network: Path
    names: list[str]
    batching: BatchingOptions | None

    @classmethod
    def of(cls, version: LoadedVersion, folder: Path, batching: BatchingOptions | None) -> "_Converted":
        said = model_card.openvino(folder)
        if "signatures" not in said:
            reason = said.get("none", "made without it")
            again = "export or import it again with the extra openvino"
            raise UnsuitedError(f"it has no form for OpenVINO ({reason}): {again}")
        parts = {NETWORK, WEIGHTS, *_weights(folder)}
        if foreign := parts - version.checked:
            raise UnsuitedError(f"its form for OpenVINO may be another model's: no digest of {min(foreign)}")
        if not has_openvino():
            raise UnsuitedError(INSTALL_OPENVINO)
        names = [name for name in said["signatures"] if name in version.signatures]
        return cls(version, folder / NETWORK, names, batching)

    def signatures(self, precision: str) -> dict[str, Signature]:
        """The signatures, run by OpenVINO."""
        from keraserve_embedded.models.quiet_openvino import CompiledNetwork

        signatures, batching = self.version.signatures, self.batching
        make = CompiledNetwork.fastest if self.version.independent_rows else CompiledNetwork
        streams = batching.num_batch_threads if batching else 1
        try:
            # Its threads, for which batching threads wait, have the priority of the one that makes them.
            with ThreadPoolExecutor(1, initializer=lower_priority if batching else None) as pool:
                network = pool.submit(
                    make, self.network, streams, max(streams, cores()), precision=precision
                ).result()
            whole = {name for name in self.names if network.inputs == set(signatures[name].inputs)}
            cuts = self.version.cut(set(self.names) - whole, NETWORK_INPUT, NETWORK_OUTPUT)
        except (RuntimeError, ValueError) as error:
            raise UnsuitedError(f"OpenVINO can't load it: {str(error).splitlines()[0]}") from error
        runs = {name: _whole(signatures[name], network) for name in whole}
        runs |= {name: _between(signatures[name], network, *parts) for name, parts in cuts.items()}
        return {name: signatures[name].replaced(run) for name, run in runs.items()}


def _weights(folder: Path) -> set[str]:
    files = [folder / "saved_model.pb", *folder.glob("variables/*")]
    return {file.relative_to(folder).as_posix() for file in files}


def _whole(signature: Signature, network: "CompiledNetwork") -> Run:
    def run(arrays: Arrays) -> list[Array]:
        results = network(arrays)
        return [results[output] for output in signature.outputs]

    return run


def _between(signature: Signature, network: "CompiledNetwork", before: Any, after: Any) -> Run:
    """TensorFlow up to the network and behind it, so that images and labels are its own."""

    def run(arrays: Arrays) -> Sequence[Array]:
        (images,) = before(*(arrays[each] for each in signature.inputs))
        return after(network({NETWORK_INPUT: images})[NETWORK_OUTPUT])

    return run


def _compare(signatures: Mapping[str, Signature], warm: WarmUp) -> None:
    """Run what TensorFlow was warmed up with on OpenVINO, and compare the numbers."""
    for name, signature in signatures.items():
        if name not in warm.requests:
            raise UnsuitedError(f"there is no warm-up request for {name} to compare it with TensorFlow on")
        work, results = warm.requests[name]
        try:
            given = signature.run(work.arrays)
        except EmbeddedError as error:
            raise UnsuitedError(f"OpenVINO fails: {error}") from error
        difference = differences.largest(_numbers(given), _numbers(results))
        if not difference <= differences.TOLERANCE:
            allowed = f"{differences.TOLERANCE:g} is allowed"
            raise UnsuitedError(f"OpenVINO's results differ by {difference:.2g} in {name}, where {allowed}")


def _numbers(results: Results) -> dict[str, Any]:
    """Labels follow from the probabilities, and two classes at the same one may change places."""
    floats = {name: each for name, each in results.items() if np.issubdtype(each.dtype, np.inexact)}
    return floats or dict(results)


def _rates(
    tensorflow: Mapping[str, Signature], openvino: Mapping[str, Signature], warm: WarmUp
) -> dict[str, float]:
    """Rows a second of both, on the largest request, one call at a time and in turn."""
    name = max(openvino, key=lambda each: rows_of(warm.requests[each][0].arrays))
    arrays = warm.requests[name][0].arrays
    seconds: dict[str, list[float]] = {"OpenVINO": [], "TensorFlow": []}
    began = time.monotonic()
    for _ in range(_ROUNDS):
        for runtime, signatures in (("OpenVINO", openvino), ("TensorFlow", tensorflow)):
            seconds[runtime].append(_seconds(lambda: signatures[name].run(arrays)))  # noqa: B023
        if time.monotonic() - began > _SECONDS:
            break
    rows = max(1, rows_of(arrays))
    return {runtime: rows / statistics.median(each) for runtime, each in seconds.items()}


def _seconds(run: Callable[[], object]) -> float:
    began = time.monotonic()
    run()
    return time.monotonic() - began
