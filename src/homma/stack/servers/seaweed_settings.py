"""Settings of the embedded SeaweedFS: flags, environment variables and security.toml. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from homma.stack.processes.ports import LOOPBACK
from homma.stack.servers import certificates
from homma.stack.servers.credentials import ACCESS_KEY, SECRET_KEY, Credentials

BUCKET: Final = "lake"
REGION: Final = "us-east-1"
#: Relative to the folder that it runs in, because the path of a socket must be short.
DATA: Final = "data"
CERTIFICATES: Final = "tls"
#: SeaweedFS expects the gRPC port of its admin server at this offset.
GRPC_OFFSET: Final = 10_000
_INTERNAL: Final = (
    "admin",
    "master",
    "master gRPC",
    "volume",
    "volume gRPC",
    "filer",
    "filer gRPC",
    "s3 gRPC",
)
_FLAGS: Final = {
    "s3": "s3.port",
    "catalog": "s3.port.iceberg",
    "admin": "admin.port",
    "master": "master.port",
    "master gRPC": "master.port.grpc",
    "volume": "volume.port",
    "volume gRPC": "volume.port.grpc",
    "filer": "filer.port",
    "filer gRPC": "filer.port.grpc",
    "s3 gRPC": "s3.port.grpc",
}
#: The keys that sign HTTP requests between the components, and the admin password.
KEYS: Final = (
    "WEED_JWT_SIGNING_KEY",
    "WEED_JWT_SIGNING_READ_KEY",
    "WEED_JWT_FILER_SIGNING_KEY",
    "WEED_JWT_FILER_SIGNING_READ_KEY",
    "WEED_ADMIN_PASSWORD",
)
_COMPONENTS: Final = ("master", "volume", "filer", "s3", "admin", "worker", "client")
#: A volume is rewritten when more than this share of it is garbage.
_GARBAGE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of SeaweedFS: S3, the catalog, and those of its internal components.

    The components use eight ports from `internal` on, and the port `internal` + 10,000.
    """

    s3: int
    catalog: int
    internal: int

    def all(self) -> dict[str, int]:
        """Every port by its purpose."""
        internal = {name: self.internal + at for at, name in enumerate(_INTERNAL)}
        external = {"s3": self.s3, "catalog": self.catalog}
        return {**external, **internal, "admin gRPC": self.internal + GRPC_OFFSET}


def arguments(ports: Ports) -> list[str]:
    """Flags of `weed`: everything on the loopback address, every port set explicitly."""
    numbers = ports.all()
    return [
        # Otherwise it logs to /tmp, up to 1.8 GB per file.
        "-logdir=log",
        "-log_max_size_mb=10",
        "-log_max_files=2",
        "mini",
        f"-dir={DATA}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        *(f"-{flag}={numbers[name]}" for name, flag in _FLAGS.items()),
        f"-tableBucket={BUCKET}",
        "-master.telemetry=false",
        # Master and filer need no HTTP: their clients use gRPC.
        "-disableHttp=true",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.lance=0",
        # By default these are in /tmp, where other users can take the names.
        "-filer.localSocket=filer.sock",
        "-s3.localSocket=s3.sock",
        # Otherwise it is derived from the disk's size and stored for the next start.
        "-master.volumeSizeLimitMB=1024",
    ]


def shell_arguments(ports: Ports) -> list[str]:
    """Flags of `weed` for its shell, which connects to a running server."""
    numbers = ports.all()
    addresses = (
        f"-{part}={LOOPBACK}:{numbers[part]}.{numbers[f'{part} gRPC']}"
        for part in ("master", "filer")
    )
    return ["-logdir=log", "shell", *addresses]


def environment(
    outside: Mapping[str, str], credentials: Credentials, keys: Mapping[str, str]
) -> dict[str, str]:
    """Environment of `weed`, without outside variables that would change a setting."""
    reserved = ("WEED_", "AWS_", "S3_")
    inherited = {k: value for k, value in outside.items() if not k.startswith(reserved)}
    login = {ACCESS_KEY: credentials.access_key, SECRET_KEY: credentials.secret_key}
    return {**inherited, **login, **keys}


def security_toml() -> str:
    """Content of security.toml: gRPC requires a certificate on every port and socket."""
    cert, key = f"{CERTIFICATES}/{certificates.CERTIFICATE}", f"{CERTIFICATES}/{certificates.KEY}"
    lines = ["[grpc]", f'ca = "{CERTIFICATES}/{certificates.AUTHORITY}"']
    for component in _COMPONENTS:
        lines += [f"[grpc.{component}]", f'cert = "{cert}"', f'key = "{key}"']
    return "\n".join(lines) + "\n"


#: Shell scripts. Purged entries become garbage in a volume a moment later.
PURGE: Final = "fs.log.purge -daysAgo=0\n"
VACUUM: Final = f"lock\nvolume.vacuum -garbageThreshold={_GARBAGE}\nunlock\n"
