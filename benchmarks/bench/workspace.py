"""`Workspace`: the folder of a run's models, request bodies and logs, below `build/bench`."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PHOTOGRAPHS, CLOTHES = "photographs", "clothes"
"""The names of our own models."""
NETWORKS = {
    "mobilenet-224": "MobileNet",
    "resnet50-224": "ResNet50",
    "efficientnetv2b0-224": "EfficientNetV2B0",
}
"""Those of realistic size, each in a repository of its own: their names, and Keras'."""
ROOT = Path(__file__).resolve().parents[2]


class BodyKind(StrEnum):
    """The kinds of request bodies; there is one of each for every image."""

    JPEG = "jpeg"
    BASE64 = "base64"
    PREDICT = "predict"
    PIXELS = "pixels"
    LARGE_PIXELS = "large-pixels"
    LARGE_INSTANCES = "large-instances"
    CLOTHES_PNG = "clothes-png"
    CLOTHES_INSTANCES = "clothes-instances"


@dataclass(frozen=True)
class Workspace:
    """A folder with models, images and logs.

    Attributes:
        folder: its path.
        given: a model repository of the user's, and the name of a model in it; None: we make our own.
    """

    folder: Path
    given: tuple[Path, str] | None = None

    @property
    def own(self) -> bool:
        """Whether the models are our own."""
        return self.given is None

    @property
    def models(self) -> Path:
        """The model repository."""
        return self.given[0] if self.given else self.folder / "models"

    @property
    def model(self) -> str:
        """The name of the model for photographs."""
        return self.given[1] if self.given else PHOTOGRAPHS

    @property
    def saved_model(self) -> Path:
        """Its newest version."""
        versions = (self.models / self.model).iterdir()
        return max((one for one in versions if one.name.isdigit()), key=lambda one: int(one.name))

    def of_network(self, name: str) -> "Workspace":
        """The same bodies with one of `NETWORKS`."""
        return Workspace(self.folder, (self.folder / "networks" / name, name))

    @property
    def keras_model(self) -> Path:
        """The same network as Keras saves it, for systems that serve such a file."""
        return self.folder / "photographs.keras"

    @property
    def logs(self) -> Path:
        """The folder of the systems' output."""
        return self.folder / "logs"

    def body(self, kind: BodyKind, number: int) -> Path:
        """The file of a request body."""
        folder = self.folder / "bodies" / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{number:03}"

    def bodies(self, kind: BodyKind) -> list[str]:
        """All request bodies of a kind, in the order of the images."""
        return sorted(str(file) for file in (self.folder / "bodies" / kind).iterdir())
