"""The exceptions of this package, as one tree; every message is one sentence that says what to do.

TrainingError
├── UnknownExperimentError        no experiment of that name
├── UnknownProfileError           no profile of that name
├── UnknownVariantError           a study can't vary that
├── OptionError                   an experiment does not take that option, or not that value
├── DataUnavailableError          the images are not here and can't be fetched
├── WeightsUnavailableError       pre-trained weights are not here and can't be fetched, or don't fit
├── FeaturesError                 stored features can't be written or read
├── RunError                      about one run folder
│   ├── RunBusyError              another process is training in it
│   ├── RunDamagedError           a file in it can't be read
│   │   └── OlderVersionError     an older version wrote it, in a form that is no longer read
│   ├── RunDiffersError           it was made with other settings
│   └── RunMissingError           there is no finished run to report or export
├── RuleError                     a rule of transfer learning was violated by the code of an experiment
│   ├── NotCompiledError          `trainable` changed after `compile`
│   ├── FrozenWeightsChangedError a frozen layer learnt something
│   ├── OriginalChangedError      a reused model was not cloned
│   ├── FineTuningTooFastError    layers were unfrozen without lowering the learning rate
│   └── PathsDisagreeError        the composed model does not give what the head gave on stored features
├── WorkerError                   the processes or machines that were to do the work can't
├── NotComparableError            two networks were not tested on the same images
├── StudyError                    a piece of a study did not finish
└── ExportError                   a servable could not be written
    └── OutdatedError             a run's images have changed since it learnt from them

What is wrong with the model repository is a `RepositoryError` of `keraserve_models`.
"""


class TrainingError(Exception):
    """Root of everything that this package raises on purpose."""


class UnknownExperimentError(TrainingError):
    """No experiment has this name."""


class UnknownProfileError(TrainingError):
    """No profile has this name."""


class UnknownVariantError(TrainingError):
    """A study has no such variant."""


class OptionError(TrainingError):
    """An option has no such value, or the experiment does not take it."""


class DataUnavailableError(TrainingError):
    """The images are not on this machine and can't be fetched."""


class WeightsUnavailableError(TrainingError):
    """Pre-trained weights are not on this machine and can't be fetched, or they don't fit the network."""


class FeaturesError(TrainingError):
    """Stored features can't be written or read."""


class RunError(TrainingError):
    """Something about one run folder."""


class RunBusyError(RunError):
    """Another process is training in the folder."""


class RunDamagedError(RunError):
    """A file in the folder can't be read."""


class OlderVersionError(RunDamagedError):
    """The folder holds a run of an older version, whose files have another form."""


class RunDiffersError(RunError):
    """The folder holds a run with other settings, data or library versions."""


class RunMissingError(RunError):
    """There is no finished run where one is needed."""


class RuleError(TrainingError):
    """The code of an experiment breaks a rule of transfer learning."""


class NotCompiledError(RuleError):
    """`trainable` was changed after `compile`: the change would silently do nothing."""


class FrozenWeightsChangedError(RuleError):
    """Weights of a frozen layer are not bit-identical after training."""


class OriginalChangedError(RuleError):
    """A model that was reused by another one has changed: it was not cloned."""


class FineTuningTooFastError(RuleError):
    """Layers were unfrozen at a learning rate that is not lower than before."""


class PathsDisagreeError(RuleError):
    """Backbone and head, put together, give other numbers than the head on stored features."""


class WorkerError(TrainingError):
    """Processes or machines that were to do pieces of work are not fit for it, or were lost."""


class NotComparableError(TrainingError):
    """Two networks can't be compared in pairs: other test images, or predictions that were not kept."""


class StudyError(TrainingError):
    """At least one piece of a study did not finish."""


class ExportError(TrainingError):
    """A servable could not be written."""


class OutdatedError(ExportError):
    """A run no longer fits the images that it learnt from."""
