"""What a run has found out, as it is kept in `build/bench-results.json`."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import percentile
from bench.plan import Round
from bench.systems import System


@dataclass
class Load:
    """One way to ask, at one number of clients: a figure for each round.

    Attributes:
        rates: pictures a second.
        p50, p99: milliseconds.
        processor: milliseconds of processor time that the system took for a picture.
        generator: the same of the load generator.
    """

    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    generator: list[float] = field(default_factory=list)

    def add(self, one: Round, processor_seconds: float) -> None:
        """Take a round."""
        self.rates.append(len(one.milliseconds) / one.seconds)
        self.p50.append(percentile(one.milliseconds, 50))
        self.p99.append(percentile(one.milliseconds, 99))
        self.processor.append(processor_seconds * 1000 / len(one.milliseconds))
        self.generator.append(one.processor_seconds * 1000 / len(one.milliseconds))


@dataclass
class Results:
    """A run.

    Attributes:
        about: machine, versions, date, how it was measured: name and sentence.
        limit: pictures a second of the signature in process, by batch size.
        doors: by name of the door, then by clients.
        facts: all other figures by name, one for each round.
        skipped: what was not measured, and why.
    """

    about: dict[str, str] = field(default_factory=dict)
    limit: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    doors: dict[str, dict[str, Load]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Load)))
    facts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    skipped: dict[str, str] = field(default_factory=dict)

    def write(self, file: Path) -> None:
        """Keep it."""
        file.write_text(json.dumps(vars(self), default=vars, indent=1))

    @classmethod
    def read(cls, file: Path) -> "Results":
        """Read it again."""
        kept = json.loads(file.read_text())
        doors = {
            name: {clients: Load(**one) for clients, one in loads.items()}
            for name, loads in kept.pop("doors").items()
        }
        return cls(doors=doors, **kept)

    def leave_out(self, system: System, why: str) -> None:
        """Forget what was measured of a system, so that all have as many rounds."""
        for door in system.doors:
            self.doors.pop(door.name, None)
            self.skipped[door.title] = why

    def load(self, door: str, clients: int) -> Load | None:
        """What was measured there, if anything was."""
        return self.doors.get(door, {}).get(str(clients))
