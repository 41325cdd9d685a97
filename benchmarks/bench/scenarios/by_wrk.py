"""The same load by `wrk`, so that the figures do not depend on our load generator."""

import re
import shutil
import subprocess

from bench.context import Context
from bench.goal import at_least, at_most, ratio_goal
from bench.load.specification import LoadSpecification
from bench.processes import BenchError
from bench.results import Figure
from bench.scenarios.images import MOST_CLIENTS
from bench.systems.endpoint import JPEG, classify_path
from bench.workspace import BodyKind

BY_WRK = Figure("one process, 32 clients: by wrk", "images/s")
BY_OURS = Figure("one process, 32 clients: by our load generator", "images/s")
_NAME = "one process, 32 clients: images/s by wrk, of those by our load generator"
GOALS = [
    ratio_goal(_NAME, at_least(0.85), BY_WRK, BY_OURS),
    ratio_goal(_NAME, at_most(1.15), BY_WRK, BY_OURS),
]
_SCRIPT = """
local bodies, number = {}, 0
for name in string.gmatch([[NAMES]], "[^\\n]+") do
  local file = io.open(name, "rb")
  bodies[#bodies + 1] = file:read("*a")
  file:close()
end
request = function()
  number = number % #bodies + 1
  return wrk.format("POST", nil, {["Content-Type"] = "TYPE"}, bodies[number])
end
done = function(summary)
  local failed = summary.errors
  print("FAILED", failed.status + failed.connect + failed.read + failed.write + failed.timeout)
end
"""


def measure(port: int, context: Context) -> None:
    """Measure both, if wrk is installed."""
    if (wrk := shutil.which("wrk")) is None:
        context.results.skipped["wrk"] = "not installed; `apt install wrk` installs it"
        return
    workspace, seconds = context.workspace, max(1, round(context.timing.seconds))
    files, path = workspace.bodies(BodyKind.JPEG), classify_path(workspace.model)
    script = workspace.folder / "post.lua"
    script.write_text(_SCRIPT.replace("NAMES", "\n".join(files)).replace("TYPE", JPEG))
    command = [
        wrk,
        "-t1",
        f"-c{MOST_CLIENTS}",
        f"-d{seconds}s",
        "-s",
        script,
        f"http://127.0.0.1:{port}{path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if done.returncode or rate is None or "FAILED\t0" not in done.stdout:
        raise BenchError(f"wrk failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    context.results.add(BY_WRK, float(rate[1]))
    load = LoadSpecification(port, path, JPEG, files, MOST_CLIENTS)
    context.results.add(BY_OURS, context.load(load).rate)
