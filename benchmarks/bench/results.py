"""`Results`: all figures of a run, and their file below `build/`."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.load.specification import LoadResult
from bench.spread import percentile
from bench.systems.compared import System
from bench.systems.endpoint import Endpoint


@dataclass(frozen=True)
class Figure:
    """Something that is measured once a round, with the unit of its values."""

    name: str
    unit: str

    @property
    def title(self) -> str:
        """Name and unit, as the page has them."""
        return f"{self.name}, {self.unit}"


@dataclass
class ClosedLoop:
    """An endpoint's figures at one number of clients; a value for each round.

    Attributes:
        rates: images a second.
        p50, p99: milliseconds.
        processor: milliseconds of the system's processor time for an image.
        generator: the same of the load generator.
    """

    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    generator: list[float] = field(default_factory=list)

    def add(self, one: LoadResult, processor_seconds: float) -> None:
        """Add a round."""
        self.rates.append(one.rate)
        self.p50.append(percentile(one.milliseconds, 50))
        self.p99.append(percentile(one.milliseconds, 99))
        self.processor.append(processor_seconds * 1000 / len(one.milliseconds))
        self.generator.append(one.processor_seconds * 1000 / len(one.milliseconds))


@dataclass
class Results:
    """The figures of a run.

    Attributes:
        about: machine, versions, date and the like, by name.
        upper_bounds: images a second of the signature in process, by batch size.
        endpoints: by name, then by clients.
        figures: all other figures by title, a value for each round.
        skipped: what was not measured, and the reason.
    """

    about: dict[str, str] = field(default_factory=dict)
    upper_bounds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    endpoints: dict[str, dict[str, ClosedLoop]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(ClosedLoop))
    )
    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    skipped: dict[str, str] = field(default_factory=dict)

    def write(self, file: Path) -> None:
        """Write all as JSON."""
        file.write_text(json.dumps(vars(self), default=vars, indent=1))

    @classmethod
    def read(cls, file: Path) -> "Results":
        """Read what `write` wrote."""
        kept = json.loads(file.read_text())
        endpoints = {
            name: {clients: ClosedLoop(**one) for clients, one in loops.items()}
            for name, loops in kept.pop("endpoints").items()
        }
        return cls(endpoints=endpoints, **kept)

    def leave_out(self, system: System, why: str) -> None:
        """Drop the figures of a system, so that all systems have the same number of rounds."""
        for endpoint in system.endpoints:
            self.endpoints.pop(endpoint.name, None)
            self.skipped[endpoint.title] = why

    def add(self, figure: Figure, value: float) -> None:
        """Add a round's value."""
        self.figures[figure.title].append(value)

    def values(self, figure: Figure) -> Sequence[float]:
        """Return a figure's values; none if it was not measured."""
        return self.figures.get(figure.title, [])

    def add_loop(self, endpoint: Endpoint, clients: int, one: LoadResult, spent: float) -> ClosedLoop:
        """Add a round of an endpoint, in which the system took `spent` seconds of processor time."""
        loop = self.endpoints[endpoint.name][str(clients)]
        loop.add(one, spent)
        return loop

    def loop(self, endpoint: Endpoint, clients: int) -> ClosedLoop | None:
        """Return an endpoint's figures at this number of clients, if it was measured."""
        return self.endpoints.get(endpoint.name, {}).get(str(clients))

    def add_upper_bound(self, batch: int, rate: float) -> None:
        """Add a round's images a second with batches of this size."""
        self.upper_bounds[str(batch)].append(rate)

    def upper_bound(self, batch: int) -> Sequence[float]:
        """Return the images a second of each round with batches of this size."""
        return self.upper_bounds.get(str(batch), [])
