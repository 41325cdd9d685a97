"""The figures of a finished run and of comparable runs, from which an experiment makes its sentences."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keraserve_training.records import caveats, history, predictions, run_folder
from keraserve_training.records.run_folder import FinishedRun

Metrics = Mapping[str, float]
_DEAD = 1e-6  # a feature's standard deviation, below which a head can't learn from it


class Findings:
    """The figures of one finished run, and those of the runs that it can be compared with."""

    def __init__(self, run: FinishedRun, runs: Path) -> None:
        self._run = run
        self._runs = runs

    @property
    def metrics(self) -> Metrics:
        """The experiment's figures by name."""
        return self._run.metrics["metrics"]

    @property
    def networks(self) -> Mapping[str, Mapping[str, Any]]:
        """Each network's entry in `metrics.json`: `test`, `phases`, `seconds`, `parameters`…"""
        return self._run.networks

    @property
    def random_weights(self) -> bool:
        """Whether the pre-trained network had random weights, so that nothing was transferred."""
        return caveats.RANDOM in caveats.of(self._run.config)

    @property
    def caveats(self) -> list[str]:
        """Sentences that belong before the figures if those mean little."""
        banner = caveats.banner(self._run.config)
        return ([f"{banner}."] if banner else []) + self._dead_features()

    def _dead_features(self) -> list[str]:
        """A sentence if features of random weights hardly differ from image to image."""
        records = self._run.metrics.get("features", [])
        deviations = [record["deviation"] for record in records if "deviation" in record]
        if not deviations or min(deviations) >= _DEAD:
            return []
        how = (
            "The head gets them standardised."
            if self.metrics.get("features_standardised")
            else "The head gets them as they are and can hardly learn from them, so this is no measure of"
            " what pre-training is worth."
        )
        return [
            "The features of the random weights hardly differ from image to image (median deviation"
            f" {min(deviations):.1g}). {how}"
        ]

    def history(self, network: str) -> list[dict[str, Any]]:
        """A network's rows, one an epoch."""
        return history.read(self._run.folder / network / run_folder.HISTORY)

    def paired(self, network: str, others: "Findings", other: str) -> predictions.Paired:
        """Compare a network of this run with one of another run, or of this one, on the same test images.

        Raises:
            NotComparableError: the images differ, or a run did not keep its predictions.
        """
        mine = predictions.read(self._run.folder, network)
        theirs = predictions.read(others._run.folder, other)
        # The same images at another size have another digest, but both runs used the whole of one test set.
        data, other_data = self._run.config["data"], others._run.config["data"]
        whole = len(mine.labels) == len(theirs.labels) == data["test_images"]
        same = whole and data["sha256"] == other_data["sha256"]
        return predictions.compare(mine, theirs, same_images=same)

    def of(self, experiment: str) -> "Findings | None":
        """Those of another experiment's latest run with the same profile, seed and images, or None.

        Settings must be the same, too, and options as far as the other experiment takes them: one without a
        backbone takes fewer.
        """
        sides = [other for other in run_folder.finished(self._runs, experiment) if self._comparable(other)]
        return Findings(sides[-1], self._runs) if sides else None

    def _comparable(self, other: FinishedRun) -> bool:
        mine, theirs = self._run.config, other.config
        same = (
            mine["profile"]["name"] == theirs["profile"]["name"]
            and mine["seed"] == theirs["seed"]
            and mine["data"]["sha256"] == theirs["data"]["sha256"]
            and mine.get("settings") == theirs.get("settings")
        )
        options, others = mine.get("options", {}), theirs.get("options", {})
        compared = set(others) | (set(options) if theirs["weights"] != "none" else set())
        return same and all(options.get(name) == others.get(name) for name in compared - {"data", "name"})
