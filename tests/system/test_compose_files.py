"""The Compose files with each override and profile, as Compose reads them."""

import json
import os
import re
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from programs import ROOT

from keraserve_embedded.batching.options import IMPLICIT_BATCHING
from keraserve_embedded.process import cli
from keraserve_protocol import messages

EVERYTHING = ("--profile", "*")
SWITCHED_ON = {"MODEL_SERVER_MIXED_PRECISION": "bfloat16", "MODEL_SERVER_XLA": "true"}
OVERRIDES: tuple[tuple[str, ...], ...] = ((), ("docker/compose.embedded.yaml",), ("docker/compose.gpu.yaml",))


@cache
def read(*overrides: str) -> dict[str, Any]:
    files = [part for file in ("compose.yaml", *overrides) for part in ("-f", file)]
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    done = subprocess.run(
        ["docker", "compose", *files, *EVERYTHING, "config", "--format", "json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(params=OVERRIDES, ids=lambda files: " ".join(files) or "alone")
def stack(request: pytest.FixtureRequest) -> dict[str, Any]:
    try:
        if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0:
            pytest.skip("Docker Compose is not here")
    except FileNotFoundError:
        pytest.skip("Docker is not here")
    return read(*request.param)


def test_only_the_gateway_is_published_by_default_and_all_of_it_on_loopback(stack: dict[str, Any]) -> None:
    services = stack["services"]
    published = {name: one["ports"] for name, one in services.items() if one.get("ports")}
    assert {name for name in published if not services[name].get("profiles")} == {"gateway"}
    assert {port["host_ip"] for ports in published.values() for port in ports} == {"127.0.0.1"}


def test_no_service_has_privileges_or_a_root_to_write_to(stack: dict[str, Any]) -> None:
    for name, one in stack["services"].items():
        assert one["read_only"], name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert not one.get("privileged"), name
        assert not one.get("cap_add"), name
        assert all(mount.get("read_only") for mount in one["volumes"] if "/etc/" in mount["target"]), name


def test_services_have_limits_and_are_restarted(stack: dict[str, Any]) -> None:
    for name, one in stack["services"].items():
        if name != "training":
            assert one["restart"] == "unless-stopped", name
            assert {"memory", "pids"} <= one["deploy"]["resources"]["limits"].keys(), name
            assert one["logging"]["options"]["max-size"], name


def test_the_model_server_has_an_internal_network_and_is_stopped_last(stack: dict[str, Any]) -> None:
    model_server, gateway = stack["services"]["model-server"], stack["services"]["gateway"]
    assert [*model_server["networks"]] == ["models"]
    assert stack["networks"]["models"]["internal"]
    # Compose stops services in reverse order.
    assert gateway["depends_on"]["model-server"]["condition"] == "service_healthy"
    # Process 1 is Docker's init: TensorFlow Serving as process 1 would ignore SIGTERM.
    assert model_server["init"]


def test_the_gpu_override_asks_for_the_card() -> None:
    model_server = read("docker/compose.gpu.yaml")["services"]["model-server"]
    assert model_server["image"].endswith("-gpu")
    (device,) = model_server["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert model_server["command"] == read()["services"]["model-server"]["command"]


def test_the_model_servers_metrics_are_where_prometheus_looks() -> None:
    text = (ROOT / "serving/tfserving/monitoring.config").read_text()
    config = text_format.Parse(text, messages.MonitoringConfig())
    assert config.prometheus_config.enable
    prometheus = (ROOT / "docker/prometheus/prometheus.yml").read_text()
    assert f"metrics_path: {config.prometheus_config.path}\n" in prometheus


@pytest.mark.parametrize("values", [{}, SWITCHED_ON])
@pytest.mark.parametrize("file", ["compose.yaml", "docker/swarm/stack.yaml"])
def test_the_model_server_batches_as_in_one_process_and_takes_flags_from_variables(
    file: str, values: dict[str, str]
) -> None:
    written = yaml.safe_load((ROOT / file).read_text())["services"]["model-server"]["command"]
    text = re.sub(r"\$\{(\w+):-(\w*)\}", lambda found: values.get(found[1], found[2]), "\n".join(written))
    here = re.sub(r"=\S*/(\w+ing\.config)", rf"={ROOT}/serving/tfserving/\1", text)
    settings = cli.parse(here.splitlines())
    assert settings.batching == IMPLICIT_BATCHING
    assert settings.mixed_precision == values.get("MODEL_SERVER_MIXED_PRECISION", "")
    assert settings.xla_cpu_compilation_enabled is bool(values)


def test_every_variable_is_in_the_documentation() -> None:
    documented = (ROOT / "docs/deployment.md").read_text()
    files = [ROOT / "compose.yaml", *(ROOT / "docker").glob("*.yaml"), ROOT / "docker/swarm/stack.yaml"]
    named = {name for file in files for name in re.findall(r"\$\{([A-Z_]+)", file.read_text())}
    named |= set(re.findall(r"(KERASERVE_\w+):$", (ROOT / "compose.yaml").read_text(), re.MULTILINE))
    assert len(named) > 15
    assert {name for name in named if f"`{name}" not in documented} == set()
