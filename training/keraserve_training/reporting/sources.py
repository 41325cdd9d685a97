"""The source documents: the title of each, and its question about each experiment."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One source document: its number in the list of experiments, and its subject in a line."""

    number: str
    title: str

    @property
    def own(self) -> bool:
        """Whether it is no document, but the user's own images, or an experiment of ours."""
        return self.number in (OWN, OURS)

    @property
    def name(self) -> str:
        """How texts name it."""
        return self.title if self.own else f"Source document {self.number}"

    @property
    def heading(self) -> str:
        """Its number and title."""
        return self.title if self.own else f"{self.number}: {self.title}"


OWN = "own"
"""In place of a number: the user's own images, which are of no document."""
OURS = "ours"
"""In place of a number: experiments that no document has, to compare the others with."""


_TITLES = {
    "000": "CIFAR-100 from scratch, from an autoencoder, and from VGG16",
    "001": "CIFAR-10 on the bottleneck features of InceptionV3",
    "002": "Fashion-MNIST: a network reused, and faster optimizers",
    "003": "Cats and dogs: activations of VGG16 computed once",
    "004": "Cats and dogs: Xception, frozen and then fine-tuned",
    OURS: "To compare with",
    OWN: "Your own images",
}

QUESTIONS = {
    "cifar100-cnn": "How do loss and accuracy develop on both sets, how long does it take, and how good is"
    " the final network on the test images?",
    "cifar100-cnn-dropout": "Where among the convolutions should a dropout of 0.25 be placed, and why?",
    "cifar100-autoencoder": "Does pre-training without labels improve on the network of (a)?",
    "cifar100-vgg16-dense": "What happens when a dense layer is trained on VGG16's features as they are?",
    "cifar100-vgg16-batchnorm": "Why is this better than (e), how does it converge beside the others, and how"
    " long does it take?",
    "cifar100-vgg16-finetune": "What do convergence and time look like when VGG16's last block learns too?",
    "cifar10-inceptionv3": "How good is a small head on features that were learnt from other images?",
    "fashion-mnist-reuse": "Does reuse of a network that was trained for another task help?",
    "fashion-mnist-optimizers": "Which optimizer gets the same network further in the same epochs?",
    "cats-dogs-vgg16": "What does it save to compute the activations once, and how much space do they take?",
    "cats-dogs-xception": "How far does the frozen network get, and what does fine-tuning add?",
    "cifar10-scratch": "How good does a network get on CIFAR-10 without anything learnt before?",
    "own-images": "How good a model do these images make, and is fine-tuning worth it?",
    "cats-dogs-xception-custom-loop": "Does a custom training loop reach what Keras' own reaches?",
}


def of(number: str) -> Source:
    """The source document of that number, listed here or not."""
    return Source(number, _TITLES.get(number, "further experiments"))
