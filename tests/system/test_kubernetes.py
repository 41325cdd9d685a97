"""The Kubernetes overlays, built by Kustomize: valid by Kubernetes' schemas, and accepted by our programs."""

import shutil
import subprocess
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml
from programs import ROOT

from keraserve_embedded.batching.options import IMPLICIT_BATCHING
from keraserve_embedded.process import cli
from keraserve_embedded.process.settings import Settings as EngineSettings
from keraserve_gateway.settings import ENV_PREFIX, Settings

FOLDER = ROOT / "docker/kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
# All that is used is stable since 1.31 (the budgets' policy is the youngest).
OLDEST, NEWEST = "1.31", kubernetes_validate.latest_version()

Resource = dict[str, Any]


@cache
def built(overlay: str) -> tuple[Resource, ...]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not here")
    command = ["kubectl", "kustomize", str(FOLDER / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


@pytest.fixture(params=OVERLAYS)
def resources(request: pytest.FixtureRequest) -> tuple[Resource, ...]:
    return built(request.param)


def of(resources: tuple[Resource, ...], kind: str) -> dict[str, Resource]:
    return {one["metadata"]["name"]: one for one in resources if one["kind"] == kind}


def pod(resources: tuple[Resource, ...], name: str) -> Resource:
    return of(resources, "Deployment")[name]["spec"]["template"]


def container(resources: tuple[Resource, ...], name: str) -> Resource:
    (only,) = pod(resources, name)["spec"]["containers"]
    return only


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_resource_is_valid(resources: tuple[Resource, ...], version: str) -> None:
    assert len(resources) >= 14
    for one in resources:
        kubernetes_validate.validate(one, version, strict=True)  # strict: no unknown field either


def test_a_wrong_resource_is_found(resources: tuple[Resource, ...]) -> None:
    wrong = {**of(resources, "Deployment")["gateway"], "spek": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


def test_every_reference_has_its_target(resources: tuple[Resource, ...]) -> None:
    labels = {name: pod(resources, name)["metadata"]["labels"] for name in of(resources, "Deployment")}
    ports = {
        name: {port["name"] for port in container(resources, name)["ports"]}
        for name in of(resources, "Deployment")
    }
    for name, service in of(resources, "Service").items():
        assert service["spec"]["selector"].items() <= labels[name].items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports[name]
    for name, budget in of(resources, "PodDisruptionBudget").items():
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels[name].items()
    for one in of(resources, "HorizontalPodAutoscaler").values():
        assert one["spec"]["scaleTargetRef"]["name"] in labels
        assert one["spec"]["minReplicas"] >= 2  # so that a budget of one leaves one
    claims, configs = of(resources, "PersistentVolumeClaim"), of(resources, "ConfigMap")
    for name in labels:
        for volume in pod(resources, name)["spec"]["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
            if "configMap" in volume:
                assert volume["configMap"]["name"] in configs


def test_pods_have_no_privileges(resources: tuple[Resource, ...]) -> None:
    """As the namespace's `restricted` standard demands, and with a read-only root."""
    (namespace,) = of(resources, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name in of(resources, "Deployment"):
        spec = pod(resources, name)["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert container(resources, name)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_only_the_gateway_reaches_the_model_server(resources: tuple[Resource, ...]) -> None:
    policies = of(resources, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    labels = pod(resources, "model-server")["metadata"]["labels"]
    allowed = [
        (source, port["port"])
        for policy in policies.values()
        if (chosen := policy["spec"]["podSelector"].get("matchLabels")) and chosen.items() <= labels.items()
        for rule in policy["spec"]["ingress"]
        for source in rule["from"]
        for port in rule["ports"]
    ]
    gateway = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}}}
    assert [source for source, port in allowed if port == 8500] == [gateway]
    assert {port for _, port in allowed} == {8500, 8501}
    egress = policies["gateway"]["spec"]["egress"]
    assert {port["port"] for rule in egress for port in rule["ports"]} == {8500, 53}


def test_the_gateway_takes_the_model_servers_in_turns(resources: tuple[Resource, ...]) -> None:
    assert of(resources, "Service")["model-server"]["spec"]["clusterIP"] == "None"
    given = {one["name"]: one["value"] for one in container(resources, "gateway")["env"]}
    settings = Settings(**{name.removeprefix(ENV_PREFIX).lower(): value for name, value in given.items()})
    assert settings.model_server == "dns:///model-server:8500"


def model_server_settings(resources: tuple[Resource, ...]) -> EngineSettings:
    """The arguments, as Kubernetes and the embedded server read them."""
    server = container(resources, "model-server")
    text = "\n".join(server["args"]).replace("/etc/keraserve", str(ROOT / "serving/tfserving"))
    for one in server["env"]:
        text = text.replace(f"$({one['name']})", one["value"])
    return cli.parse(text.splitlines())


def test_the_embedded_server_takes_the_same_arguments(resources: tuple[Resource, ...]) -> None:
    settings = model_server_settings(resources)
    assert settings.batching == IMPLICIT_BATCHING
    assert (settings.mixed_precision, settings.xla_cpu_compilation_enabled) == ("", False)
    assert (settings.port, settings.rest_api_port) == (8500, 8501)
    assert dict(settings.channel_arguments)["grpc.max_connection_age_ms"] == 20_000


def test_a_pod_has_enough_time_to_end(resources: tuple[Resource, ...]) -> None:
    def seconds(name: str) -> tuple[int, int]:
        sleep = container(resources, name)["lifecycle"]["preStop"]["exec"]["command"]
        return int(sleep[1]), pod(resources, name)["spec"]["terminationGracePeriodSeconds"]

    settings = model_server_settings(resources)
    before, whole = seconds("model-server")
    # gRPC adds up to a tenth to a connection's age; then the cluster's DNS may still know the pod for 30 s.
    assert before > 1.1 * dict(settings.channel_arguments)["grpc.max_connection_age_ms"] / 1000 + 30
    assert whole > before + settings.drain_seconds
    before, whole = seconds("gateway")
    assert whole > before + Settings().drain_seconds


def test_the_configuration_is_the_one_of_compose() -> None:
    for file in (ROOT / "serving/tfserving").iterdir():
        assert (FOLDER / "base" / file.name).read_bytes() == file.read_bytes()


def test_the_gpu_overlay_gives_each_model_server_a_card() -> None:
    server = container(built("gpu"), "model-server")
    assert server["image"].endswith("-gpu")
    assert server["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in container(built("cpu"), "model-server")["resources"]["limits"]
