"""Not a test: a Ray cluster of two machines, both here, of which one can be lost.

cluster_to_break.py         prints its address, then does what it reads, a line each:
    lose                    kills the second machine with all its processes, as if it lost its power
It ends with its input, and takes every process with it.
"""

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_DISABLE_IMPORT_WARNING"] = "1"

import ray.cluster_utils

MEMORY = 80 * 2**20
# A lost machine is noticed within a second or two instead of ten.
NOTICED = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


def say(line: str) -> None:
    """Print for the test that reads."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Start both machines, obey, and end."""
    head = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
    cluster = ray.cluster_utils.Cluster(
        initialize_head=True, head_node_args={**head, "_system_config": NOTICED}
    )
    try:
        second = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
        cluster.wait_for_nodes()
        say(cluster.address)
        for line in sys.stdin:
            if line.strip() == "lose":
                cluster.remove_node(second, allow_graceful=False)
                say("lost")
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
