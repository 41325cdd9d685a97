"""A `Show` that records what an extraction of features tells: for tests."""

from keraserve_training import progress


class Progress(progress.Show):
    """Records sentences, and shards as pairs: how many are done, of how many."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.shards: list[tuple[int, int]] = []

    def tell(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def start(self, name: str, total: int, done: int, unit: str = "epoch") -> None:  # noqa: ARG002
        assert unit == "shard"
        self.shards.append((done, total))

    def part(self, done: int) -> None:
        self.shards.append((done, self.shards[0][1]))
