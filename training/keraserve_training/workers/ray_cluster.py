"""Workers that are the machines of a Ray cluster. `ray` is an optional dependency and imported late.

Ray only sends each piece to a machine with free processors and detects that a machine is lost. The pieces
read and write the folder of all runs, which every machine has to mount under the same path, from a file
system whose locks hold between machines, such as NFS 4.
"""

import contextlib
import importlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keraserve_training.errors import WorkerError
from keraserve_training.workers import ray_worker
from keraserve_training.workers.work import Done, Work, packed

_TRIES = 4  # how often a piece is begun
_SECONDS = 5.0  # for a connection to the address that was given


@dataclass(frozen=True)
class RayCluster:
    """The machines of a Ray cluster.

    Attributes:
        address: as Ray has it: `auto` or `HOST:6379` on a machine of the cluster, `ray://HOST:10001` from
            elsewhere.
        folder: of all runs; every machine has to mount it.
        cpus: processors, and so threads, of each piece.
        gpus: GPUs of each piece; with none, Ray hides them from it.
        notice: is called with a sentence when a machine is lost.
    """

    address: str
    folder: Path
    cpus: int = 1
    gpus: int = 0
    notice: Callable[[str], None] = lambda _: None

    def do(self, work: Sequence[Work], tell: Callable[[Done], None]) -> list[Done]:
        """As `work.Workers.do`; a piece whose machine is lost is done again on another one.

        Raises:
            WorkerError: there is no such cluster, or no machine of it is large enough; or a machine lacks
                this package or the folder, or has other versions of what results depend on.
        """
        if not work:
            return []
        ray = _import_ray()
        with _joined(ray, self.address), ray_worker.probe(self.folder) as probe:
            self._check_size(ray)
            submit = _remote(ray, self.cpus, self.gpus)
            machine = asdict(ray_worker.Machine(self.cpus, str(Path.cwd()), ray_worker.versions(), probe))

            def begin(number: int, before: int) -> Any:
                return submit.remote(packed(work[number]), machine, before)

            return _gather(ray, work, begin, tell, self.notice)

    def _check_size(self, ray: Any) -> None:
        """Raise WorkerError if no machine is large enough for one piece: Ray would wait for one forever."""
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        if not any(all(machine.get(name, 0) >= wanted[name] for name in wanted) for machine in machines):
            raise WorkerError(
                f"No machine of the Ray cluster has {self.cpus} processors"
                + (f" and {self.gpus} GPUs" if self.gpus else "")
                + ", which is what each piece is to get: ask for fewer with --cpus or --gpus."
            )


def processors(address: str) -> int:
    """The default number of processors of a piece: as many as here, or as the largest machine has.

    Raises:
        WorkerError: there is no such cluster.
    """
    ray = _import_ray()
    with _joined(ray, address):
        largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    return max(1, min(int(largest), os.cpu_count() or 1))


def _import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no usage report to Ray's makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # unset, Ray warns that it may change
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise WorkerError(
            "--ray needs the package ray, which is not installed here: pip install 'keraserve-training[ray]',"
            " on every machine of the cluster."
        ) from error


@contextlib.contextmanager
def _joined(ray: Any, address: str) -> Iterator[None]:
    """Join the cluster for the duration of the block; a piece of work is in it already."""
    if ray.is_initialized():
        yield
        return
    _check_address(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:  # Ray raises whatever its parts raise
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise WorkerError(
            f"There is no Ray cluster to join at {address} ({reason}). Start one with `ray start --head`;"
            " from a machine that is no part of it, say ray://HOST:10001; all need the same versions of Ray"
            " and Python."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Connect to the address once: Ray would try for a minute, and then end the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), _SECONDS).close()
    except (OSError, ValueError) as error:
        raise WorkerError(
            f"Nothing responds at {address} ({error}): is the Ray cluster running (`ray status`)?"
        ) from error


def _remote(ray: Any, cpus: int, gpus: int) -> Any:
    """The function that runs on the machines. Nested, so that its code is sent: one may lack the package."""

    # max_retries=0: a lost piece is begun again by `_gather`, which counts and reports it.
    @ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)
    def work(content: bytes, machine: dict[str, Any], before: int) -> Any:
        try:
            from keraserve_training.workers import ray_worker
        except ImportError as error:
            import platform

            return (
                f"{platform.node()} can't import keraserve_training ({error}): install the same version"
                " there as here."
            )
        return ray_worker.do(content, ray_worker.Machine(**machine), before)

    return work


def _gather(
    ray: Any,
    work: Sequence[Work],
    begin: Callable[[int, int], Any],
    tell: Callable[[Done], None],
    notice: Callable[[str], None],
) -> list[Done]:
    """Begin every piece, wait for all, begin lost ones again; on an exception cancel those that run."""
    running = {begin(number, 0): (number, 0) for number in range(len(work))}
    done: dict[int, Done] = {}
    try:
        while running:
            over, _ = ray.wait(list(running), num_returns=1)
            number, before = running.pop(over[0])
            name = work[number].name
            each = _result(ray, over[0], name)
            if each is None and before + 1 < _TRIES:
                notice(f"{name}: its machine or process was lost; it goes on elsewhere.")
                running[begin(number, before + 1)] = (number, before + 1)
                continue
            done[number] = each or Done(name, error=f"lost with its machine or process {_TRIES} times")
            tell(done[number])
    except BaseException:
        for reference in running:
            with contextlib.suppress(Exception):  # it may be over by now, or the cluster gone
                ray.cancel(reference, force=True)
        raise
    return [done[number] for number in range(len(work))]


def _result(ray: Any, reference: Any, name: str) -> Done | None:
    """The outcome of a piece; None where it was lost.

    Raises:
        WorkerError: its machine is not fit for any piece.
    """
    try:
        result = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return Done(name, error=str(error.cause), trace=str(error))
    except ray.exceptions.RayError:
        return None
    if isinstance(result, str):
        raise WorkerError(result)
    return result
