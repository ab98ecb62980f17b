"""What the embedded SeaweedFS is told: flags, variables and security.toml, rendered purely."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from homma.stack import certificates
from homma.stack.credentials import ACCESS_KEY, SECRET_KEY, Credentials
from homma.stack.ports import LOOPBACK

BUCKET: Final = "lake"
REGION: Final = "us-east-1"
#: Folders and sockets below the one that it runs in. Names, not paths: a socket's may not be long.
DATA: Final = "data"
CERTIFICATES: Final = "tls"
#: SeaweedFS reaches its own admin server's gRPC nowhere else.
GRPC_OFFSET: Final = 10_000
_INNER: Final = (
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
#: Who signs what the other parts accept over HTTP, and the login of the admin server.
KEYS: Final = (
    "WEED_JWT_SIGNING_KEY",
    "WEED_JWT_SIGNING_READ_KEY",
    "WEED_JWT_FILER_SIGNING_KEY",
    "WEED_JWT_FILER_SIGNING_READ_KEY",
    "WEED_ADMIN_PASSWORD",
)
_COMPONENTS: Final = ("master", "volume", "filer", "s3", "admin", "worker", "client")
#: Below how much of a volume's room is garbage it is not worth writing the volume anew.
_GARBAGE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Ports:
    """Where SeaweedFS listens: S3, the catalog, and the parts that speak with each other.

    The latter have eight ports from `inner` on, and the one 10,000 beyond `inner`.
    """

    s3: int
    catalog: int
    inner: int

    def all(self) -> dict[str, int]:
        """Every port by what it is for."""
        inner = {name: self.inner + at for at, name in enumerate(_INNER)}
        outer = {"s3": self.s3, "catalog": self.catalog}
        return {**outer, **inner, "admin gRPC": self.inner + GRPC_OFFSET}


def arguments(ports: Ports) -> list[str]:
    """Give the flags of `weed`: everything on the loopback address, every port by name."""
    numbers = ports.all()
    return [
        # Otherwise it logs to /tmp, up to 1.8 GB a file.
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
        # Master and filer need no HTTP: what they are asked comes by gRPC.
        "-disableHttp=true",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.lance=0",
        # Their places by default are in /tmp, where names can be taken.
        "-filer.localSocket=filer.sock",
        "-s3.localSocket=s3.sock",
        # Worked out from the disk's size otherwise, and written down for the next start.
        "-master.volumeSizeLimitMB=1024",
    ]


def shell_arguments(ports: Ports) -> list[str]:
    """Give the flags of `weed` for its shell, beside a running server."""
    numbers = ports.all()
    places = (
        f"-{part}={LOOPBACK}:{numbers[part]}.{numbers[f'{part} gRPC']}"
        for part in ("master", "filer")
    )
    return ["-logdir=log", "shell", *places]


def environment(
    outside: Mapping[str, str], credentials: Credentials, keys: Mapping[str, str]
) -> dict[str, str]:
    """Give its variables: those from outside that would change a setting are left out."""
    own = ("WEED_", "AWS_", "S3_")
    kept = {name: value for name, value in outside.items() if not name.startswith(own)}
    login = {ACCESS_KEY: credentials.access_key, SECRET_KEY: credentials.secret_key}
    return {**kept, **login, **keys}


def security_toml() -> str:
    """Give security.toml: no gRPC without a certificate, on any port or socket."""
    cert, key = f"{CERTIFICATES}/{certificates.CERTIFICATE}", f"{CERTIFICATES}/{certificates.KEY}"
    lines = ["[grpc]", f'ca = "{CERTIFICATES}/{certificates.AUTHORITY}"']
    for component in _COMPONENTS:
        lines += [f"[grpc.{component}]", f'cert = "{cert}"', f'key = "{key}"']
    return "\n".join(lines) + "\n"


#: Scripts for the shell. What is purged is garbage in a volume a moment later.
PURGE: Final = "fs.log.purge -daysAgo=0\n"
VACUUM: Final = f"lock\nvolume.vacuum -garbageThreshold={_GARBAGE}\nunlock\n"
