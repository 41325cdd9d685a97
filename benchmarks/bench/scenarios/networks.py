"""Networks of the size that teams serve, at 224 px, with 32 clients: TensorFlow and the faster runtime.

`benchmark_app`, OpenVINO's own program, says what it can do with the network alone: without decoding an
image, and without a server.
"""

import re
import subprocess
from dataclasses import replace

from bench.context import Context
from bench.goal import Goal, at_least, ratio_goal
from bench.processes import BenchError
from bench.results import Figure, Results
from bench.scenarios import images, upper_bound
from bench.scenarios.images import MOST_CLIENTS
from bench.systems import commands
from bench.systems.compared import IN_PROCESS, IN_PROCESS_AUTO, System
from bench.workspace import NETWORKS, Workspace
from keraserve_protocol.openvino_form import NETWORK

_UNIT = "images/s"
_THROUGHPUT = re.compile(r"Throughput:\s+([\d.]+)")


def _figure(network: str, what: str) -> Figure:
    return Figure(f"{network}: {what}", _UNIT)


def bound(network: str) -> Figure:
    """TensorFlow's upper bound."""
    return _figure(network, "upper bound, TensorFlow")


def served(network: str, system: System) -> Figure:
    """What a system serves."""
    return _figure(network, system.endpoints[0].title)


def limit(network: str) -> Figure:
    """OpenVINO's limit."""
    return _figure(network, "the network alone in OpenVINO, by `benchmark_app`")


FIGURES = [
    figure
    for network in NETWORKS
    for figure in (
        bound(network),
        limit(network),
        served(network, IN_PROCESS),
        served(network, IN_PROCESS_AUTO),
    )
]
GOALS: list[Goal] = [
    ratio_goal(
        f"{network}, 32 clients, `auto`: images/s, of TensorFlow's upper bound",
        at_least(2),
        served(network, IN_PROCESS_AUTO),
        bound(network),
    )
    for network in ("mobilenet-224", "resnet50-224")
]


def measure(context: Context) -> None:
    """Measure each network."""
    for network in NETWORKS:
        context.tell(network)
        own = replace(context, workspace=context.workspace.of_network(network), results=Results())
        expected = upper_bound.measure(own)
        context.results.add(bound(network), own.results.upper_bound(upper_bound.LARGEST_BATCH)[0])
        context.results.add(limit(network), _openvino(own.workspace, context.timing.seconds))
        for system in (IN_PROCESS, IN_PROCESS_AUTO):
            images.measure(system, own, expected, [MOST_CLIENTS])
            loop = own.results.loop(system.endpoints[0], MOST_CLIENTS)
            assert loop is not None
            context.results.add(served(network, system), loop.rates[0])


def _openvino(workspace: Workspace, seconds: float) -> float:
    """Images a second of the network alone, one image a call, as many at once as OpenVINO thinks best.

    Raises:
        BenchError: the version has no form for OpenVINO, or the program fails.
    """
    command = [commands.program("benchmark_app"), "-m", workspace.saved_model / NETWORK]
    command += ["-hint", "throughput", "-infer_precision", "f32", "-t", str(max(1, round(seconds)))]
    command += ["-shape", "[1,224,224,3]"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = _THROUGHPUT.search(done.stdout)
    if done.returncode or found is None:
        raise BenchError(f"benchmark_app failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return float(found[1])
