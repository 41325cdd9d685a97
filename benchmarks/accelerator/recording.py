"""The steps of the experiments, recorded by running these without training.

Every experiment runs at its document's sizes, on a few procedural images and with random weights; in place of
each epoch its network is recorded, compiled and with its frozen layers.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accelerator.steps import Step
from keraserve_training import open_run, runtime
from keraserve_training.data.examples import Examples
from keraserve_training.experiment import Experiment
from keraserve_training.options import Options
from keraserve_training.profiles import Profile, Share
from keraserve_training.run import Run, RunSpec

_NAMES = {"name", "keras_history", "input_layers", "output_layers"}
_PROFILE = Profile("steps", True, Share(0.0, 200), Share(0.0, 24), 1, False, "Nothing is learnt.")


def recorded(experiments: Sequence[Experiment]) -> Iterator[Step]:
    """Yield the steps of experiments, without those that differ from an earlier one in names only."""
    runtime.prepare()
    import keras

    known: set[str] = set()
    for experiment in experiments:
        keras.utils.clear_session()
        options = Options(weights="random") if "weights" in experiment.takes else Options()
        spec = RunSpec(_PROFILE, 0, options)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "run"
            with open_run.opened(experiment, folder, spec):
                run = _Recording(experiment.name, folder, spec)
                experiment.do(run)
        for step in run.steps:
            shape = json.dumps(_unnamed([json.loads(step.network), step.batch, step.loss, step.optimizer]))
            if shape not in known:
                known.add(shape)
                yield step


class _Recording(Run):
    """A run that records the steps instead of training."""

    def __init__(self, experiment: str, folder: Path, spec: RunSpec) -> None:
        super().__init__(folder, spec)
        self._experiment = experiment
        self.steps: list[Step] = []

    def features(self, name: str, model: Any, examples: Examples) -> Any:
        """Record the network as it computes features, and compute them."""
        from keraserve_training.pretrained import folding, inference

        batch = inference.batch(model.input_shape[1:])  # as a GPU takes it
        network = folding.folded(model).to_json()
        self.steps.append(Step(self._experiment, model.name, batch, network, None, None, 0))
        return super().features(name, model, examples)

    def fit(self, name: str, *, phases: Sequence[Any], batch: int = 32, **plan: Any) -> Any:
        """Record the network in each phase; there is one epoch of each."""
        left = iter(phases)

        def loop(model: Any, batches: Any, tell: Callable[[int], None]) -> Mapping[str, float]:  # noqa: ARG001
            self.steps.append(self._learning(f"{name}, {next(left).name}", batch, model))
            return {"loss": 0.0, "accuracy": 0.0}

        plan |= {"loop": loop, "also_in": None}
        return super().fit(name, phases=phases, batch=batch, **plan)

    def _learning(self, name: str, batch: int, model: Any) -> Step:
        import keras

        serialized: Any = keras.saving.serialize_keras_object
        return Step(
            self._experiment,
            name,
            batch,
            model.to_json(),
            serialized(model.loss),
            serialized(model.optimizer),
            sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        )


def _unnamed(config: Any) -> Any:
    """Keras' JSON without the names of layers and the like, which change nothing that is computed."""
    if isinstance(config, dict):
        return {key: _unnamed(value) for key, value in config.items() if key not in _NAMES}
    return [_unnamed(value) for value in config] if isinstance(config, list) else config
