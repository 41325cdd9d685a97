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
from keraserve_embedded.runtimes import INSTALL_OPENVINO, Runtime, has_openvino
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


def choose(
    version: LoadedVersion, folder: Path, wanted: Runtime, batching: BatchingOptions | None, warm: WarmUp
) -> None:
    """Let OpenVINO run a version's network, if that is wanted and possible; the log and the version say so.

    Args:
        version: loaded, and warmed up.
        folder: of the version.
        wanted: `auto` takes the faster one.
        batching: says how many batches run at once; None: each request runs alone.
        warm: what it was warmed up with.
    """
    if wanted == "tensorflow":
        return
    write = log.info
    try:
        signatures = _converted(version, folder, batching)
        _compare(signatures, warm)
        rates = _rates(version.signatures, signatures, warm) if wanted == "auto" else {}
    except UnsuitedError as unsuited:
        version.runtime = f"TensorFlow runs it: {unsuited}"
        write = log.warning if wanted == "openvino" else log.info
    else:
        fastest = max(rates, key=lambda name: rates[name]) if rates else "OpenVINO"
        compared = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        measured = f": images or rows a second, {compared}" if rates else ""
        version.runtime = f"{fastest} runs it, in float32{measured}"
        if fastest == "OpenVINO":
            version.signatures |= signatures
    write("%s %d: %s", version.model, version.number, version.runtime)


def _converted(
    version: LoadedVersion, folder: Path, batching: BatchingOptions | None
) -> dict[str, Signature]:
    """The signatures that OpenVINO can run, prepared for it."""
    said = model_card.openvino(folder)
    if "signatures" not in said:
        again = "export or import it again with the extra openvino"
        raise UnsuitedError(f"it has no form for OpenVINO ({said.get('none', 'made without it')}): {again}")
    parts = {NETWORK, WEIGHTS, *_weights(folder)}
    if foreign := parts - version.checked:
        raise UnsuitedError(f"its form for OpenVINO may be another model's: no digest of {min(foreign)}")
    if not has_openvino():
        raise UnsuitedError(INSTALL_OPENVINO)
    from keraserve_embedded.models.quiet_openvino import CompiledNetwork

    try:
        streams = batching.num_batch_threads if batching else 1
        # Its threads have the priority of the one that makes them, and run what a batching thread waits for.
        make = CompiledNetwork.fastest if version.independent_rows else CompiledNetwork
        with ThreadPoolExecutor(1, initializer=lower_priority if batching else None) as pool:
            network = pool.submit(make, folder / NETWORK, streams, max(streams, cores())).result()
        names = [name for name in said["signatures"] if name in version.signatures]
        whole = [name for name in names if network.inputs == set(version.signatures[name].inputs)]
        cuts = version.cut(set(names) - set(whole), NETWORK_INPUT, NETWORK_OUTPUT)
        runs = {name: _whole(version.signatures[name], network) for name in whole}
        runs |= {name: _between(version.signatures[name], network, *parts) for name, parts in cuts.items()}
        return {name: version.signatures[name].replaced(run) for name, run in runs.items()}
    except (RuntimeError, ValueError) as error:
        raise UnsuitedError(f"OpenVINO can't load it: {str(error).splitlines()[0]}") from error


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
