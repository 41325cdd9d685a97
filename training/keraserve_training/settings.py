"""The settings of an experiment: what a user may change of it with `--set`; the default is the document's.

An experiment declares them as a frozen dataclass, a subclass of `Settings`, whose fields the functions below
make; its code gets an instance. Values are int, float, str, or whole numbers in a tuple (in JSON a list).
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, get_type_hints

from keraserve_training.errors import OptionError

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "adamax", "nadam")
ALL = "all"


@dataclass(frozen=True)
class Setting:
    """One of them.

    Attributes:
        name: on the command line and in the experiment's code.
        kind: of its values.
        default: the source document's value, or ours where the document has none.
        about: a short sentence.
        low: the lowest value.
        high: the highest one.
        choices: the only values; empty: others, too.
        below: the setting that it has to be lower than.
        epochs: whether it counts epochs, of which a profile allows so many unless they are given.
        rate: whether it is a learning rate.
        option: the name of the option without which it has no effect.
        of_study: only a study changes it, since the experiment's texts name it.
    """

    name: str
    kind: type
    default: Any
    about: str
    low: float = -math.inf
    high: float = math.inf
    choices: Sequence[str] = ()
    below: str = ""
    epochs: bool = False
    rate: bool = False
    option: str = ""
    of_study: bool = False

    @property
    def allowed(self) -> str:
        """Its values in words."""
        if self.choices:
            return ", ".join(self.choices)
        if self.kind is str:
            return "the name of a layer, or how it begins"
        what = {int: "whole, ", tuple: "whole, joined by '-', each "}.get(self.kind, "")
        return f"{what}{self.low:g} to {self.high:g}" + (f", below {self.below}" if self.below else "")

    def read(self, word: str) -> Any:
        """The value that a word of the command line stands for.

        Raises:
            OptionError: it is none.
        """
        try:
            value = tuple(map(int, word.split("-"))) if self.kind is tuple else self.kind(word)
        except ValueError:
            value = None
        good = value is not None and bool(word)
        if good and self.kind is not str:
            numbers: Any = value if isinstance(value, tuple) else (value,)
            good = all(self.low <= number <= self.high for number in numbers)
        if good and (not self.choices or value in self.choices):
            return value
        near = difflib.get_close_matches(word, self.choices, n=2, cutoff=0.4)
        did = f" Did you mean {' or '.join(near)}?" if near else ""
        raise OptionError(f"{self.name} can't be {word!r}: it takes {self.allowed}.{did}")


@dataclass(frozen=True)
class Settings:
    """Those of an experiment that has none; the others inherit."""

    @classmethod
    def declared(cls) -> dict[str, Setting]:
        """Each by its name, in the order in which they are declared."""
        kinds = get_type_hints(cls)
        kinds = {name: getattr(kind, "__origin__", kind) for name, kind in kinds.items()}
        return {
            each.name: Setting(each.name, kinds[each.name], each.default, **each.metadata)
            for each in fields(cls)
        }

    @classmethod
    def read(
        cls, experiment: str, words: Sequence[str], epochs: Callable[[int], int] = lambda count: count
    ) -> dict[str, Any]:
        """What `--set NAME=VALUE` changes, in JSON's types; a value that is the default changes nothing.

        `epochs` is as for `of`: where it limits the default, that one, given, is a change.

        Raises:
            OptionError: there is no such setting, or not this value; names the nearest ones.
        """
        given: dict[str, Any] = {}
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise OptionError(f"{word!r} is no setting: write NAME=VALUE, like {cls._example()}.")
            given[name] = cls.find(experiment, name).read(value)
        cls.of(given)
        given = json.loads(json.dumps({name: given[name] for name in cls.declared() if name in given}))
        return cls.changed(given, epochs)

    @classmethod
    def find(cls, experiment: str, name: str) -> Setting:
        """The setting of that name; raises OptionError if there is none."""
        known = {name: each for name, each in cls.declared().items() if not each.of_study}
        if name in known:
            return known[name]
        if not known:
            raise OptionError(f"{experiment} has no settings.")
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        did = f"Did you mean {' or '.join(near)}?" if near else f"It has {', '.join(known)}."
        raise OptionError(f"{experiment} has no setting {name!r}. {did}")

    @classmethod
    def of(cls, given: Mapping[str, Any], epochs: Callable[[int], int] = lambda count: count) -> Self:
        """The settings with these values; `epochs` limits those epochs that are not given.

        Raises:
            OptionError: two values don't go together.
        """
        values = {
            name: epochs(each.default) if each.epochs else each.default
            for name, each in cls.declared().items()
        }
        values |= {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        for name, each in cls.declared().items():
            if each.below and values[name] >= values[each.below]:
                raise OptionError(
                    f"{name} ({written(values[name])}) has to be lower than {each.below}"
                    f" ({written(values[each.below])}): it trains on from there."
                )
        return cls(**values)

    @classmethod
    def changed(
        cls, given: Mapping[str, Any], epochs: Callable[[int], int] = lambda count: count
    ) -> dict[str, Any]:
        """What differs from the defaults, of values in JSON's types; `epochs` is as for `of`."""
        defaults = json.loads(json.dumps(asdict(cls.of({}, epochs))))
        return {name: value for name, value in given.items() if defaults.get(name) != value}

    @classmethod
    def sentence(cls, given: Mapping[str, Any]) -> str:
        """What was changed, and what it is otherwise; empty if nothing was."""
        changed, known = cls.changed(given), cls.declared()
        each = [
            f"{name} is {written(value)} ({written(known[name].default)} if not changed)"
            for name, value in changed.items()
            if name in known
        ]
        return f"Changed here: {', '.join(each)}." if each else ""

    @classmethod
    def _example(cls) -> str:
        first = next(iter(cls.declared().values()), None)
        return f"{first.name}={written(first.default)}" if first else "epochs=5"


def written(value: Any) -> str:
    """A value as the command line writes it."""
    return "-".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def words(given: Mapping[str, Any]) -> list[str]:
    """Given values as the command line writes them: `epochs=5`."""
    return [f"{name}={written(value)}" for name, value in given.items()]


def slug(given: Mapping[str, Any]) -> str:
    """A readable part of a folder's or model's name: `epochs-5-learning-rate-0-001`; or empty."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(sorted(words(given))).lower()).strip("-")


def setting(default: Any, about: str, **more: Any) -> Any:
    """A field of a `Settings`; `more` are attributes of `Setting`."""
    return field(default=default, metadata={"about": about, **more})


def epochs(default: int, about: str, **more: Any) -> Any:
    """How often all images are learnt from."""
    return setting(default, about, low=1, high=10_000, epochs=True, **more)


def rate(default: float, about: str, **more: Any) -> Any:
    """A learning rate."""
    return setting(default, about, low=1e-8, high=10, rate=True, **more)


def optimizer(default: str, about: str = "Optimizer.", **more: Any) -> Any:
    """An optimizer, as `learning.optimizers` makes them."""
    return setting(default, about, choices=OPTIMIZERS, **more)


def batch(default: int, about: str = "Images a step.", **more: Any) -> Any:
    """A batch size."""
    return setting(default, about, low=1, high=65_536, **more)


def dropout(default: float, about: str) -> Any:
    """A share of activations that are dropped in training."""
    return setting(default, about, low=0, high=0.95)


def units(default: Any, about: str) -> Any:
    """A number of units of a layer, or a tuple with that of each of several layers."""
    return setting(default, about, low=1, high=65_536)


def thaw(default: str, about: str, **more: Any) -> Any:
    """A layer of the pre-trained network: it and those after it learn in fine-tuning."""
    return setting(default, about, **more)
