"""The table: every system in turn, started anew for each round, with one, eight and thirty-two clients."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench import asking
from bench.place import ROOT, SIZES, Place
from bench.plan import Plan, Round
from bench.processes import BenchError, Started, started
from bench.results import Results
from bench.systems import System

CLIENTS = (1, 8, 32)
Tell = Callable[[str], None]
Right = tuple[list[str], list[float]]


@dataclass(frozen=True)
class Timing:
    """How long and how often."""

    rounds: int
    warm_up: float
    seconds: float

    def applied(self, plan: Plan) -> Plan:
        """Give the plan with these times."""
        return replace(plan, warm_up=self.warm_up, seconds=self.seconds)


def limit(place: Place, timing: Timing, results: Results) -> Right:
    """Measure the model alone; gives what it says of each picture."""
    command = [sys.executable, "-m", "bench.limit", str(place.saved_model.resolve()), str(timing.seconds)]
    done = subprocess.run(
        [*command, *place.bodies("jpeg")],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BenchError(f"the model can't be run:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    for size in SIZES:
        results.limit[str(size)].append(found["rates"][str(size)])
    return found["labels"], found["probabilities"]


def measure(system: System, place: Place, timing: Timing, results: Results, right: Right, tell: Tell) -> None:
    """Measure one system in one round, once its answers have been found right."""
    ports = system.ports()
    with started(system.name, system.commands(place, ports), place.logs) as running:
        for door in system.doors:
            port, bodies = ports[door.port], place.bodies(door.bodies)
            first = asking.body(bodies[0])
            running.wait(lambda door=door, port=port, first=first: asking.answers(door, port, first))
            asking.check(door, port, bodies, right)
            for clients in CLIENTS:
                plan = Plan(port, door.path, door.content_type, bodies, clients)
                one, spent = watched(running, timing.applied(plan))
                load = results.doors[door.name][str(clients)]
                load.add(one, spent)
                tell(f"{door.title}, {clients}: {load.rates[-1]:.0f}/s, p99 {load.p99[-1]:.1f} ms")


def watched(running: Started, plan: Plan) -> tuple[Round, float]:
    """Carry out a plan; gives also the processor time that the system took in the time that counts."""
    before = running.processor_seconds()
    one = asking.load(plan)
    spent = running.processor_seconds() - before
    return one, spent * one.seconds / (one.seconds + plan.warm_up)


def installed(systems: list[System], place: Place, results: Results) -> list[System]:
    """Leave out what can't run here, and say so."""
    kept: list[System] = []
    for system in systems:
        if not system.installed:
            results.leave_out(system, "not installed; `make bench-peers` installs it")
        elif system.name == "tutorial" and not place.own:
            results.leave_out(system, "needs a `.keras` file, and a repository has none")
        else:
            kept.append(system)
    return kept
