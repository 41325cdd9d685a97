"""`GOALS`: the goals of all scenarios, in the order of docs/performance.md."""

from bench.goal import Goal
from bench.scenarios import (
    beside_lists,
    by_wrk,
    classify_many,
    cold_start,
    gateway_alone,
    images,
    json_lists,
    networks,
    overload,
    small_images,
)

GOALS: list[Goal] = [
    *images.GOALS,
    *by_wrk.GOALS,
    *networks.GOALS,
    *overload.GOALS,
    *gateway_alone.GOALS,
    *cold_start.GOALS,
    *json_lists.GOALS,
    *beside_lists.GOALS,
    *small_images.GOALS,
    *classify_many.GOALS,
]
