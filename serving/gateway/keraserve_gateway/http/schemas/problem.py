"""The JSON of an error: RFC 9457's problem."""

from pydantic import BaseModel, Field


class ProblemImage(BaseModel):
    """Which image of the request a problem is about."""

    index: int
    filename: str | None


class Problem(BaseModel):
    """A problem, as RFC 9457 writes it."""

    type: str = Field(examples=["urn:keraserve:error:bad-image"])
    title: str = Field(examples=["Bad image"])
    status: int = Field(examples=[400])
    detail: str = Field(examples=["image 1 ('b.png'): the png is cut off"])
    request_id: str = Field(examples=["5f0c7d1e9a0b4c5d8e7f6a5b4c3d2e1f"])
    image: ProblemImage | None = None
