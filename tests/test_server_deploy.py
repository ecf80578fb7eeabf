"""The files of deploy/ without the tools they are for: a chart rendered here, fields that Kubernetes, Compose, Docker
and Grafana know, and names that must agree between files."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import facerig
from facerig.server.config import ServerConfig

DEPLOY = Path(facerig.__file__).parent / "server" / "deploy"
ROOT = DEPLOY.parents[2]
PORTS = {ServerConfig.port, ServerConfig.a2f_port, ServerConfig.http_port}


# ---- Helm ----------------------------------------------------------------------------------------------------------


class Chart:
    """As much of Go's templates as the chart uses: values, if/else, range over a map, quote, toYaml, nindent, dict."""

    TAG = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.S)

    def __init__(self, values: dict[str, Any]) -> None:
        self.scope: dict[str, Any] = {"Values": values, "Release": {"Name": "x"}}

    def render(self, text: str) -> str:
        pieces: list[tuple[str, str]] = []
        at, trimmed = 0, ""
        for tag in self.TAG.finditer(text):
            left, words, right = tag.groups()
            before = text[at : tag.start()]
            before = before.lstrip() if trimmed else before
            pieces += [("text", before.rstrip() if left else before), ("tag", words)]
            at, trimmed = tag.end(), right
        out, rest = self._block([*pieces, ("text", text[at:])], self.scope)
        assert not rest, "an end too many"
        return out

    def _block(self, pieces: list[tuple[str, str]], scope: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
        out = ""
        while pieces:
            kind, words = pieces[0]
            pieces = pieces[1:]
            if kind == "text":
                out += words
            elif words in ("end", "else"):
                return out, [(kind, words), *pieces]
            elif words.startswith(("if ", "range ")):
                made, pieces = self._branch(words, pieces, scope)
                out += made
            else:
                out += str(self.value(words, scope))
        return out, []

    def _branch(self, words: str, pieces: list[tuple[str, str]], scope: dict[str, Any]) -> tuple[str, Any]:
        head, _, rest = words.partition(" ")
        if head == "if":
            turns, otherwise = ([scope] if self.value(rest, scope) else []), not self.value(rest, scope)
        else:
            names, _, over = rest.partition(" := ")
            key, item = (name.strip() for name in names.split(","))
            turns, otherwise = [{**scope, key: k, item: v} for k, v in sorted(self.value(over, scope).items())], False
        out = "".join(self._block(pieces, turn)[0] for turn in turns)
        after = self._over(pieces)
        if after[0] == ("tag", "else"):
            out += self._block(after[1:], scope)[0] if otherwise else ""
            after = self._over(after[1:])
        return out, after[1:]

    def _over(self, pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """From the else or end that belongs to these pieces on."""
        depth = 0
        for place, (kind, words) in enumerate(pieces):
            if kind == "tag" and not depth and words in ("end", "else"):
                return pieces[place:]
            if kind == "tag":
                depth += words.startswith(("if ", "range ")) - (words == "end")
        raise AssertionError("an end is missing")

    def value(self, words: str, scope: dict[str, Any]) -> Any:
        first, *filters = (part.strip() for part in words.split("|"))
        found = self._plain(first, scope)
        for one in filters:
            name, *numbers = one.split()
            if name == "quote":
                found = json.dumps(str(found))
            else:
                assert name == "nindent", name
                found = "\n" + "\n".join(" " * int(numbers[0]) + line for line in str(found).splitlines())
        return found

    def _plain(self, words: str, scope: dict[str, Any]) -> Any:
        if words.startswith("toYaml "):
            return yaml.safe_dump(self._plain(words[7:], scope)).rstrip()
        if words.startswith("dict "):
            parts = [ast.literal_eval(part) for part in words[5:].split()]
            return dict(zip(parts[::2], parts[1::2], strict=True))
        found: Any = self.scope if words.startswith("$.") else scope
        for name in words.removeprefix("$").strip(".").split(".") if not words[1:].isalpha() else [words]:
            found = found[name]  # a name that is not there is an error, which Helm lets pass as nothing
        return found


# kind: (fields of its spec that Kubernetes' API has and the chart may use)
SPECS = {
    "Deployment": {"replicas", "selector", "strategy", "template", "minReadySeconds", "revisionHistoryLimit"},
    "Service": {"selector", "ports", "clusterIP", "type"},
    "HorizontalPodAutoscaler": {"scaleTargetRef", "minReplicas", "maxReplicas", "metrics", "behavior"},
    "PodDisruptionBudget": {"maxUnavailable", "minAvailable", "selector"},
}
VERSIONS = {"Deployment": "apps/v1", "Service": "v1", "HorizontalPodAutoscaler": "autoscaling/v2",
            "PodDisruptionBudget": "policy/v1", "ConfigMap": "v1"}
POD = {"containers", "volumes", "securityContext", "terminationGracePeriodSeconds", "serviceAccountName"}
CONTAINER = {"name", "image", "imagePullPolicy", "args", "command", "ports", "env", "startupProbe", "readinessProbe",
             "livenessProbe", "lifecycle", "resources", "securityContext", "volumeMounts"}
PROBE = {"httpGet", "grpc", "exec", "tcpSocket", "periodSeconds", "failureThreshold", "timeoutSeconds",
         "initialDelaySeconds", "successThreshold"}
CHOICES = [{}, {"envoy": {"enabled": False}}, {"autoscaling": {"metric": ""}}, {"gpus": 1},
           {"tls": {"secret": "certs"}, "apiKeys": {"secret": "keys"}}]


def rendered(choice: dict[str, Any]) -> list[dict[str, Any]]:
    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
    for name, given in choice.items():
        values[name] = {**values[name], **given} if isinstance(given, dict) else given
    out = []
    for file in sorted((DEPLOY / "helm" / "templates").glob("*.yaml")):
        out += [part for part in yaml.safe_load_all(Chart(values).render(file.read_text())) if part]
    return out


def named(parts: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {part["metadata"]["name"]: part for part in parts if part["kind"] == kind}


@pytest.mark.parametrize("choice", CHOICES, ids=[str(choice) for choice in CHOICES])
def test_the_chart_makes_what_kubernetes_reads(choice: dict[str, Any]) -> None:
    parts = rendered(choice)
    kinds = {part["kind"] for part in parts}
    assert {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"} <= kinds
    assert ("ConfigMap" in kinds) is choice.get("envoy", {}).get("enabled", True)
    for part in parts:
        assert part["apiVersion"] == VERSIONS[part["kind"]]
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", part["metadata"]["name"])
        assert set(part) <= {"apiVersion", "kind", "metadata", "spec", "data"}
        assert set(part.get("spec", {})) <= SPECS.get(part["kind"], set())
    for deployment in named(parts, "Deployment").values():
        check_pods(deployment["spec"])


def check_pods(spec: dict[str, Any]) -> None:
    labels, pod = spec["template"]["metadata"]["labels"], spec["template"]["spec"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert set(pod) <= POD
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        assert set(container) <= CONTAINER
        ports = {port.get("name"): port["containerPort"] for port in container["ports"]}
        assert set(ports.values()) <= PORTS
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        names = [one["name"] for one in container.get("env", [])]
        assert len(names) == len(set(names))
        assert all(isinstance(one["value"], str) for one in container.get("env", []))
        for probe in (container[name] for name in container if name.endswith("Probe")):
            assert set(probe) <= PROBE
            assert probe["httpGet"]["port"] in ports


def test_the_charts_parts_find_each_other() -> None:
    parts = rendered({"tls": {"secret": "certs"}, "apiKeys": {"secret": "keys"}})
    deployments, services = named(parts, "Deployment"), named(parts, "Service")
    labels = {name: one["spec"]["template"]["metadata"]["labels"] for name, one in deployments.items()}
    for service in services.values():
        targets = [name for name, own in labels.items() if service["spec"]["selector"].items() <= own.items()]
        assert len(targets) == 1
        (container,) = deployments[targets[0]]["spec"]["template"]["spec"]["containers"]
        known = {port.get(key) for port in container["ports"] for key in ("name", "containerPort")}
        assert {port.get("targetPort", port["port"]) for port in service["spec"]["ports"]} <= known
    (scaler,) = named(parts, "HorizontalPodAutoscaler").values()
    assert scaler["spec"]["scaleTargetRef"]["name"] in deployments
    (budget,) = named(parts, "PodDisruptionBudget").values()
    assert budget["spec"]["selector"]["matchLabels"] in labels.values()
    server = deployments["x-server"]["spec"]["template"]["spec"]
    environment = {one["name"]: one["value"] for one in server["containers"][0]["env"]}
    options = {name.removeprefix("FACERIG_SERVE_").lower(): value for name, value in environment.items()}
    typed = {name: type(getattr(ServerConfig, name))(value) for name, value in options.items()}
    config = ServerConfig(**typed)  # refuses what `facerig serve` would refuse
    grace = server["terminationGracePeriodSeconds"]
    assert config.drain_seconds + 5 < grace  # and the hook before it
    mounts = [mount["mountPath"] for mount in server["containers"][0]["volumeMounts"]]
    for path in (config.tls_cert, config.tls_key, config.api_keys):
        assert any(path.startswith(f"{mount}/") for mount in mounts)


def test_envoy_balances_what_the_services_offer() -> None:
    parts = rendered({})
    (config,) = named(parts, "ConfigMap").values()
    static = yaml.safe_load(config["data"]["envoy.yaml"])["static_resources"]
    clusters = {cluster["name"]: cluster for cluster in static["clusters"]}
    headless = named(parts, "Service")["x-server"]["spec"]
    assert headless["clusterIP"] == "None"  # else Envoy would see one address and not the replicas
    offered = {port["port"] for port in headless["ports"]}
    for listener in static["listeners"]:
        (chain,) = listener["filter_chains"]
        manager = chain["filters"][0]["typed_config"]
        (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
        cluster = clusters[route["route"]["cluster"]]
        assert route["route"]["timeout"] == "0s"  # a stream lasts as long as it lasts
        assert cluster["lb_policy"] == "LEAST_REQUEST"
        (place,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        socket = place["endpoint"]["address"]["socket_address"]
        assert socket["address"] == "x-server"
        assert socket["port_value"] in offered
        assert "http2_protocol_options" in str(cluster["typed_extension_protocol_options"])


def test_the_renderer_would_notice() -> None:
    """Of the little renderer itself: a name that is not there, an end too many, both branches."""
    chart = Chart({"a": {"b": 3}, "m": {"k": "v"}})
    assert chart.render("x: {{ .Values.a.b }}\n") == "x: 3\n"
    assert chart.render("{{- if .Values.a.b }}\nyes\n{{- else }}\nno\n{{- end }}\n") == "\nyes\n"
    assert chart.render("{{- range $k, $v := .Values.m }}\n- {{ $k }}={{ $v | quote }}\n{{- end }}") == '\n- k="v"'
    with pytest.raises(KeyError):
        chart.render("{{ .Values.a.c }}")
    with pytest.raises(AssertionError):
        chart.render("{{ end }}")


# ---- Compose, Docker, Grafana ----------------------------------------------------------------------------------------

# The fields of the Compose specification that the file may use.
SERVICE = {"build", "image", "environment", "ports", "stop_grace_period", "read_only", "cap_drop", "security_opt",
           "volumes", "depends_on", "tmpfs", "healthcheck", "restart", "command"}
INSTRUCTIONS = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT",
                "ARG", "LABEL"}


def test_compose_is_what_the_specification_has() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(compose) <= {"services", "volumes", "networks", "configs", "secrets", "name"}
    taken = []
    for service in compose["services"].values():
        assert set(service) <= SERVICE
        assert ("image" in service) != ("build" in service)
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        taken += [port.rsplit(":", 1)[0] for port in service.get("ports", [])]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert len(taken) == len(set(taken))
    build = compose["services"]["facerig"]["build"]
    context = (DEPLOY / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()
    grace = int(compose["services"]["facerig"]["stop_grace_period"].removesuffix("s"))
    assert grace > float(compose["services"]["facerig"]["environment"]["FACERIG_SERVE_DRAIN_SECONDS"])


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_dockerfiles_say_what_docker_knows(name: str) -> None:
    text = (DEPLOY / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    stages: list[str] = []
    for line in lines:
        word, _, rest = line.partition(" ")
        assert word in INSTRUCTIONS, line
        if word == "FROM":
            stages.append(rest.split(" AS ")[1] if " AS " in rest else "")
        for stage in re.findall(r"--from=(\w+)", rest):
            assert stage in stages[:-1]
        for shell in (re.findall(r"CMD (\[.*\])", rest) if word == "HEALTHCHECK" else [rest] * (word == "ENTRYPOINT")):
            run = json.loads(shell)
            assert all(isinstance(one, str) for one in run)
            compile(run[2] if run[:2] == ["python", "-c"] else "0", name, "exec")
        if word == "EXPOSE":
            assert {int(port) for port in rest.split()} == PORTS
        if word == "ENV":
            known = {f"FACERIG_SERVE_{field.upper()}" for field in ServerConfig.__dataclass_fields__}
            assert {one for one in re.findall(r"(\w+)=", rest) if one.startswith("FACERIG")} <= known
    extras = set(re.findall(r"\[([a-z,]+)\]", next(line for line in lines if "wheel}" in line))[0].split(","))
    project = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", project, re.M) for extra in extras)
    assert not lines[-1].startswith("USER")
    assert sum(line.startswith("USER ") for line in lines) == 1  # not root
    ignored = (DEPLOY / f"{name}.dockerignore").read_text().split()
    assert {".git", ".venv"} <= set(ignored)


def test_the_dashboard_is_one_that_grafana_lays_out() -> None:
    board = json.loads((DEPLOY / "grafana" / "facerig.json").read_text())
    source = yaml.safe_load((DEPLOY / "grafana" / "datasource.yaml").read_text())["datasources"][0]
    provider = yaml.safe_load((DEPLOY / "grafana" / "provider.yaml").read_text())["providers"][0]
    mounts = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    assert any(mount.split(":")[1].startswith(provider["options"]["path"]) for mount in mounts)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        assert panel["type"] in {"timeseries", "stat", "gauge", "heatmap", "table", "bargauge"}
        place = panel["gridPos"]
        assert 0 <= place["x"] <= 24 - place["w"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken
        taken |= cells
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs))
        for target in panel["targets"]:
            balanced = target["expr"]
            assert all(balanced.count(a) == balanced.count(b) for a, b in ("()", "[]", "{}"))
