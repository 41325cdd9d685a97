"""What can go wrong in training, as one tree; every message is one sentence that says what to do.

TrainingError
├── UnknownExperimentError        no experiment of that name
├── UnknownProfileError           no profile of that name
├── UnknownVariantError           a study can't vary that
├── DataUnavailableError          the pictures are not here and can't be fetched
├── RunError                      about one run folder
│   ├── RunBusyError              another process is training in it
│   ├── RunDamagedError           a file in it can't be read
│   ├── RunDiffersError           it was made with other settings
│   └── RunMissingError           there is no finished run to report or export
├── RuleError                     a rule of transfer learning was violated by the code of an experiment
│   ├── NotCompiledError          `trainable` changed after `compile`
│   ├── FrozenWeightsChangedError a frozen layer learnt something
│   ├── OriginalChangedError      a reused model was not cloned
│   └── FineTuningTooFastError    layers were unfrozen without lowering the learning rate
├── StudyError                    a piece of a study did not finish
└── ExportError                   a servable could not be written
    └── RepositoryError           the model repository is not what it should be
"""


class TrainingError(Exception):
    """Root of everything that this package raises on purpose."""


class UnknownExperimentError(TrainingError):
    """No experiment has this name."""


class UnknownProfileError(TrainingError):
    """No profile has this name."""


class UnknownVariantError(TrainingError):
    """A study has no such variant."""


class DataUnavailableError(TrainingError):
    """The pictures are not on this machine and can't be fetched."""


class RunError(TrainingError):
    """Something about one run folder."""


class RunBusyError(RunError):
    """Another process is training in the folder."""


class RunDamagedError(RunError):
    """A file in the folder can't be read."""


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


class StudyError(TrainingError):
    """At least one piece of a study did not finish."""


class ExportError(TrainingError):
    """A servable could not be written."""


class RepositoryError(ExportError):
    """The model repository is not what it should be."""
