"""Pieces of work on the machines of a Ray cluster. `ray` is an extra and imported late.

Ray only brings each piece to a machine with free processors and notices that a machine is lost. What the
pieces read and write goes through the folder of all runs, which every machine has to see under the same path,
with locks that count on all of them, as NFS 4 has them.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keraserve_training.errors import WorkerError
from keraserve_training.workers import ray_worker
from keraserve_training.workers.work import Done, Work, packed

_TRIES = 4  # how many machines a piece may lose
_SECONDS = 5.0  # for a response from the address that was given


def _no_notice(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class RayCluster:
    """The machines of a Ray cluster.

    Attributes:
        address: as Ray has it: `auto` or `HOST:6379` on a machine of the cluster, `ray://HOST:10001` from
            elsewhere.
        folder: of all runs; every machine has to see it.
        cpus: processors, and so threads, that each piece gets.
        gpus: graphics processors that each piece gets; with none, Ray hides them from it.
        notice: is told in a sentence what happens to the cluster.
    """

    address: str
    folder: Path
    cpus: int = 1
    gpus: int = 0
    notice: Callable[[str], None] = _no_notice

    def do(self, work: Sequence[Work], tell: Callable[[Done], None]) -> list[Done]:
        """As `work.Workers.do`; a piece whose machine is lost is done again on another one.

        Raises:
            WorkerError: there is no such cluster, or no machine of it is large enough; or a machine lacks
                this package, has other versions of what results depend on, or does not see the folder.
        """
        if not work:
            return []
        ray = _import_ray()
        with _joined(ray, self.address), ray_worker.probe(self.folder) as probe:
            self._check_size(ray)
            submit = _remote(ray, self.cpus, self.gpus)
            machine = ray_worker.Machine(self.cpus, str(Path.cwd()), ray_worker.versions(), probe).record()

            def begin(number: int, tried: int) -> Any:
                return submit.remote(packed(work[number]), machine, tried)

            return _gather(ray, work, begin, tell, self.notice)

    def _check_size(self, ray: Any) -> None:
        """Reject what Ray would wait for in silence: no machine that is large enough for one piece."""
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        if not any(all(machine.get(name, 0) >= wanted[name] for name in wanted) for machine in machines):
            raise WorkerError(
                f"No machine of the Ray cluster has {self.cpus} processors"
                + (f" and {self.gpus} GPUs" if self.gpus else "")
                + ", which is what each piece is to get: ask for fewer with --cpus or --gpus."
            )


def processors(address: str) -> int:
    """Processors that a piece gets where nobody says: this machine's number, as in a run here, if that many.

    Raises:
        WorkerError: there is no such cluster.
    """
    ray = _import_ray()
    with _joined(ray, address):
        largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    return max(1, min(int(largest), os.cpu_count() or 1))


def _import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nobody is told that this runs
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # said, or Ray warns that it may change
    try:
        import ray
    except ImportError as error:
        raise WorkerError(
            "--ray needs the package ray, which is not installed here: pip install 'keraserve-training[ray]',"
            " on every machine of the cluster."
        ) from error
    return ray


@contextlib.contextmanager
def _joined(ray: Any, address: str) -> Iterator[None]:
    """Be part of the cluster for a while; a piece of work already is."""
    if ray.is_initialized():
        yield
        return
    _check_responses(address)
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


def _check_responses(address: str) -> None:
    """Try the address: Ray would for a minute, and then end the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), _SECONDS).close()
    except (OSError, ValueError) as error:
        raise WorkerError(
            f"Nothing answers at {address} ({error}): is the Ray cluster running? `ray status` says so there."
        ) from error


def _remote(ray: Any, cpus: int, gpus: int) -> Any:
    """The function that runs on the machines. Nested, so that its code travels: one may lack the package."""

    # max_retries=0: a lost piece is begun anew here, where it can be told and counted.
    @ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)
    def work(content: bytes, machine: dict[str, Any], tried: int) -> Any:
        try:
            from keraserve_training.workers import ray_worker
        except ImportError as error:
            import platform

            return (
                f"{platform.node()} can't import keraserve_training ({error}): install the same version"
                " there as here."
            )
        return ray_worker.do(content, ray_worker.Machine(**machine), tried)

    return work


def _gather(
    ray: Any,
    work: Sequence[Work],
    begin: Callable[[int, int], Any],
    tell: Callable[[Done], None],
    notice: Callable[[str], None],
) -> list[Done]:
    """Begin every piece, wait for all, begin again what was lost; on an exception cancel what runs."""
    running = {begin(number, 0): (number, 0) for number in range(len(work))}
    done: dict[int, Done] = {}
    try:
        while running:
            over, _ = ray.wait(list(running), num_returns=1)
            number, tried = running.pop(over[0])
            name = work[number].name
            each = _result(ray, over[0], name)
            if each is None and tried + 1 < _TRIES:
                notice(f"{name}: its machine or process was lost; it goes on elsewhere.")
                running[begin(number, tried + 1)] = (number, tried + 1)
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
    """What came of a piece; None where it was lost.

    Raises:
        WorkerError: the machine that had it is not fit for any piece.
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
