"""The calls of the four clients: `Verbs` for the two sync ones, `AsyncVerbs` for the two async ones.

They execute the steps of `carry_out`; each transport's subclass sends a request (`_send`).
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import Generic, Self

from keraserve_client._errors import InvalidInput, KeraserveError
from keraserve_client._images import Image, Images, load
from keraserve_client._many import Outcomes, Shape, check, loaded, stream, stream_async
from keraserve_client._plans import Plans, Target
from keraserve_client._steps import ONCE, Deadline, Plan, Request, Response, Result, Retry, Wait, carry_out
from keraserve_client._tensors import Inputs
from keraserve_client._types import Arrays, Explanation, Failure, Metadata, Model, ModelStatus, Prediction
from keraserve_protocol.signatures import DEFAULT_SIGNATURE


class _Settings(Generic[Request, Response]):
    def __init__(self, plans: Plans[Request, Response], timeout: float, retries: int | None) -> None:
        if retries is not None and retries < 0:
            raise InvalidInput(f"retries has to be 0 or more, not {retries}")
        self._plans = plans
        self._timeout = Deadline(timeout).seconds
        self._retry = Retry(times=retries)

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._timeout if timeout is None else timeout)


class Verbs(_Settings[Request, Response], ABC):
    """The calls of `Client` and `GrpcClient`.

    Every call may raise a `KeraserveError`. `timeout` is the seconds that it may take in all, retries
    included; None takes the client's own.
    """

    @abstractmethod
    def _send(self, request: Request, seconds: float) -> Response | KeraserveError: ...

    @abstractmethod
    def close(self) -> None:
        """Close the connections; the client can't be used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def classify(
        self,
        model: str,
        images: Images,
        top_k: int = 5,
        version: int | None = None,
        label: str | None = None,
        *,
        timeout: float | None = None,
    ) -> list[Prediction]:
        """Classify images.

        Args:
            model: the model's name.
            images: a path, the bytes of an encoded image (JPEG, PNG, GIF, BMP, WebP), a uint8 array [H,W],
                [H,W,1], [H,W,3] or [H,W,4] of values 0 to 255 (4: with alpha), a PIL image, or a list of
                these. The model sees them upright, as EXIF says, and on white where they are transparent.
            top_k: how many classes to return for each image, 1 or more.
            version: a version's number, instead of the newest.
            label: a version's label, such as "stable", instead of the newest.
            timeout: seconds in all.

        Returns:
            One prediction for each image, in order; also for a single image a list.

        Raises:
            InvalidInput: no image, an array of another shape or dtype, or a PIL image of mode I or F, whose
                values have no fixed range.
            OSError: a file that can't be read.
            BadRequest: an image that can't be decoded; the message says which.
            KeraserveError: see the tree in `keraserve_client._errors`.
        """
        deadline = self._deadline(timeout)
        target, encoded = _target(model, version, label, top_k), load(images)
        if not encoded:
            return []
        return self._run(self._plans.classify(target, encoded, top_k), deadline)

    def classify_many(
        self,
        model: str,
        images: Iterable[Image],
        top_k: int = 5,
        version: int | None = None,
        label: str | None = None,
        *,
        concurrency: int = 32,
        timeout: float | None = None,
    ) -> Generator[Prediction | Failure]:
        """Classify any number of images; yields each outcome as soon as it is there, in the images' order.

            for outcome in client.classify_many("fashion-mnist", Path("photos").rglob("*.jpg")):
                match outcome:
                    case Prediction():
                        print(outcome.filename, outcome.best.label)
                    case Failure():
                        print(outcome.filename, outcome.error)

        An image that fails gives a `Failure`, and the others go on. An error that all images would have is
        raised: no server there, no such model, a key that may not use it. Up to 8 images are sent in one
        request, and a few more are read ahead; memory does not grow with the number of images.

        Args:
            model, top_k, version, label: as for `classify`.
            images: an iterable of images as `classify` takes them, iterated over in the caller's thread. If
                they come slowly, `concurrency=1` sends each at once.
            concurrency: how many images may be in flight at a time, 1 or more.
            timeout: seconds that a request may take in all, retries included.

        Returns:
            A generator of one `Prediction` or `Failure` for each image. Closing it ends the work.

        Raises:
            InvalidInput: a single image, or a setting out of range.
            ConnectionFailed, NotAuthorized, NotFound, InvalidResponse: from the generator, if no image can
                succeed.
        """
        target, shape = _target(model, version, label, top_k), Shape.of(concurrency)
        check(images, asynchronous=False)
        self._deadline(timeout)

        def classify(group: list[Image]) -> Outcomes:
            outcomes: Outcomes = []
            for part in loaded(group):
                if isinstance(part, Failure):
                    outcomes.append(part)
                else:
                    plan = self._plans.classify_each(target, part, top_k)
                    outcomes += self._run(plan, self._deadline(timeout))
            return outcomes

        return stream(images, shape, classify)

    def explain(
        self,
        model: str,
        images: Images,
        class_label: str = "",
        version: int | None = None,
        label: str | None = None,
        *,
        timeout: float | None = None,
    ) -> list[Explanation]:
        """Map the places of images that speak for a class.

        The map is that of the model's last convolution, which is coarse; what it does not say is in
        docs/serving.md. Models without such a map have no signature `explain`, and their card says why.

        Args:
            model, images, version, label, timeout: as for `classify`.
            class_label: the label of the class; empty: the most probable one of each image.

        Returns:
            One explanation for each image, in order; also for a single image a list.

        Raises:
            BadRequest: an image that can't be decoded, no such class, or a model without maps.
            KeraserveError: as `classify`.
        """
        deadline = self._deadline(timeout)
        target, encoded = Target(model, version, label), load(images)
        if not encoded:
            return []
        return self._run(self._plans.explain(target, encoded, class_label), deadline)

    def predict(
        self,
        model: str,
        inputs: Inputs,
        signature: str = DEFAULT_SIGNATURE,
        version: int | None = None,
        label: str | None = None,
        *,
        timeout: float | None = None,
    ) -> Arrays:
        """Call a signature of a model with tensors.

        The first call of a model also gets its signatures, in a request of its own.

        Args:
            model, version, label, timeout: as for `classify`.
            inputs: an array or nested lists for a signature with one input, else a dict by name. Values are
                cast to the signature's dtype if that loses nothing but digits of decimals; text and bytes
                are strings; bfloat16 is cast from and returned as float32.
            signature: the signature's name.

        Returns:
            Every output by name, of the signature's dtype and the model's shape; strings are `object` arrays
            of bytes.

        Raises:
            InvalidInput: no such signature, other names than its inputs', or values that a cast would change.
            NotSupported: complex numbers over HTTP, or a type that no array has (quantized, resources).
            KeraserveError: see the tree in `keraserve_client._errors`.
        """
        plan = self._plans.predict(Target(model, version, label), inputs, signature)
        return self._run(plan, self._deadline(timeout))

    def models(self, *, timeout: float | None = None) -> list[Model]:
        """List the models that the gateway serves, with their versions and labels.

        Raises:
            NotSupported: over gRPC, as TensorFlow Serving has no such call.
        """
        return self._run(self._plans.models(), self._deadline(timeout))

    def status(
        self,
        model: str,
        version: int | None = None,
        label: str | None = None,
        *,
        timeout: float | None = None,
    ) -> ModelStatus:
        """Return which versions a model has, and the state of each.

        Raises:
            NotFound: no such model, version or label.
        """
        return self._run(self._plans.status(Target(model, version, label)), self._deadline(timeout))

    def metadata(
        self,
        model: str,
        version: int | None = None,
        label: str | None = None,
        *,
        timeout: float | None = None,
    ) -> Metadata:
        """Describe the signatures of a model: names, dtypes and shapes of inputs and outputs.

        Raises:
            NotFound: no such model, version or label.
        """
        return self._run(self._plans.metadata(Target(model, version, label)), self._deadline(timeout))

    def ready(self, *, timeout: float | None = None) -> bool:
        """Return whether the server would serve a request now: False while it loads, drains or is away.

        Sent once, without retries. Over gRPC, a server without a health service is ready if it responds.
        """
        return self._run(self._plans.ready(), self._deadline(timeout), ONCE)

    def _run(
        self, plan: Plan[Request, Response, Result], deadline: Deadline, retry: Retry | None = None
    ) -> Result:
        steps = carry_out(plan, retry or self._retry, deadline)
        outcome: Response | KeraserveError | None = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Wait):
                    time.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = self._send(step.request, step.seconds)
        except StopIteration as done:
            return done.value


class AsyncVerbs(_Settings[Request, Response], ABC):
    """The calls of `AsyncClient` and `AsyncGrpcClient`: those of `Verbs`, to be awaited in asyncio."""

    @abstractmethod
    async def _send(self, request: Request, seconds: float) -> Response | KeraserveError: ...

    @abstractmethod
    async def close(self) -> None:
        """Close the connections; the client can't be used afterwards."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def classify(
        self,
        model: str,
        images: Images,
        top_k: int = 5,
        version: int | None = None,
        label: str | None = None,
        *,
        timeout: float | None = None,
    ) -> list[Prediction]:
        """Classify images, as `Client.classify`; files are read and arrays encoded in a thread."""
        deadline = self._deadline(timeout)
        target, encoded = _target(model, version, label, top_k), await asyncio.to_thread(load, images)
        if not encoded:
            return []
        return await self._run(self._plans.classify(target, encoded, top_k), deadline)

    def classify_many(
        self,
        model: str,
        images: Iterable[Image] | AsyncIterable[Image],
        top_k: int = 5,
        version: int | None = None,
        label: str | None = None,
        *,
        concurrency: int = 32,
        timeout: float | None = None,
    ) -> AsyncGenerator[Prediction | Failure]:
        """Classify any number of images, as `Client.classify_many`, for `async for`.

        `images` may be an async iterable. Leaving the loop early ends the work when the generator is closed:
        `async with contextlib.aclosing(client.classify_many(…)) as outcomes`.
        """
        target, shape = _target(model, version, label, top_k), Shape.of(concurrency)
        check(images, asynchronous=True)
        self._deadline(timeout)

        async def classify(group: list[Image]) -> Outcomes:
            outcomes: Outcomes = []
            for part in await asyncio.to_thread(loaded, group):
                if isinstance(part, Failure):
                    outcomes.append(part)
                else:
                    plan = self._plans.classify_each(target, part, top_k)
                    outcomes += await self._run(plan, self._deadline(timeout))
            return outcomes

        return stream_async(images, shape, classify)

    async def explain(
        self,
        model: str,
        images: Images,
        class_label: str = "",
        version: int | None = None,
        label: str | None = None,
        *,
        timeout: float | None = None,
    ) -> list[Explanation]:
        """Map the places of images that speak for a class, as `Client.explain`."""
        deadline = self._deadline(timeout)
        target, encoded = Target(model, version, label), await asyncio.to_thread(load, images)
        if not encoded:
            return []
        return await self._run(self._plans.explain(target, encoded, class_label), deadline)

    async def predict(
        self,
        model: str,
        inputs: Inputs,
        signature: str = DEFAULT_SIGNATURE,
        version: int | None = None,
        label: str | None = None,
        *,
        timeout: float | None = None,
    ) -> Arrays:
        """Call a signature of a model with tensors, as `Client.predict`."""
        plan = self._plans.predict(Target(model, version, label), inputs, signature)
        return await self._run(plan, self._deadline(timeout))

    async def models(self, *, timeout: float | None = None) -> list[Model]:
        """List the models that the gateway serves, as `Client.models`."""
        return await self._run(self._plans.models(), self._deadline(timeout))

    async def status(
        self,
        model: str,
        version: int | None = None,
        label: str | None = None,
        *,
        timeout: float | None = None,
    ) -> ModelStatus:
        """Return which versions a model has, as `Client.status`."""
        return await self._run(self._plans.status(Target(model, version, label)), self._deadline(timeout))

    async def metadata(
        self,
        model: str,
        version: int | None = None,
        label: str | None = None,
        *,
        timeout: float | None = None,
    ) -> Metadata:
        """Describe the signatures of a model, as `Client.metadata`."""
        return await self._run(self._plans.metadata(Target(model, version, label)), self._deadline(timeout))

    async def ready(self, *, timeout: float | None = None) -> bool:
        """Return whether the server would serve a request now, as `Client.ready`."""
        return await self._run(self._plans.ready(), self._deadline(timeout), ONCE)

    async def _run(
        self, plan: Plan[Request, Response, Result], deadline: Deadline, retry: Retry | None = None
    ) -> Result:
        steps = carry_out(plan, retry or self._retry, deadline)
        outcome: Response | KeraserveError | None = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = await self._send(step.request, step.seconds)
        except StopIteration as done:
            return done.value


def _target(model: str, version: int | None, label: str | None, top_k: int) -> Target:
    if top_k < 1:
        raise InvalidInput(f"top_k has to be 1 or more, not {top_k}")
    return Target(model, version, label)
