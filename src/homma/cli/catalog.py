"""Where the lake is, and as whom we come: settings, `-C name=value` and credentials in one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homma.errors import SettingError
from homma.settings import LakeSettings
from homma.stack.credentials import ACCESS_KEY, NAME, SECRET_KEY, Credentials, read_credentials

# Whoever gives one of these knows another way in.
_OTHER_WAYS: Final = (
    "credential",
    "token",
    "auth.",
    "rest.sigv4-",
    "s3.access-key-id",
    "s3.profile-name",
    "s3.role-arn",
    "s3.anonymous",
    "s3.signer",
)


@dataclass(frozen=True, slots=True)
class Catalog:
    """pyiceberg's properties, and the namespace of the tables; `missing` says what it lacks."""

    given: Mapping[str, str]
    namespace: str
    missing: SettingError | None = None

    @property
    def properties(self) -> Mapping[str, str]:
        """The properties; SettingError where there are no credentials."""
        if self.missing is not None:
            raise self.missing
        return self.given


def catalog(
    settings: LakeSettings,
    extra: Mapping[str, str],
    environment: Mapping[str, str],
    home: Path,
) -> Catalog:
    """The catalog as pyiceberg wants it told; `extra` is pyiceberg's own names and wins.

    The credentials are those of the environment, or else those that the homma in `home` has made.
    """
    properties = {
        "uri": settings.catalog_uri,
        "warehouse": settings.warehouse,
        "s3.endpoint": settings.s3_endpoint,
        "s3.region": settings.s3_region,
    }
    found = _credentials(environment) or read_credentials(home)
    if found:
        properties |= {
            "credential": f"{found.access_key}:{found.secret_key}",
            "s3.access-key-id": found.access_key,
            "s3.secret-access-key": found.secret_key,
        }
    missing = None
    if not found and not any(name.startswith(_OTHER_WAYS) for name in extra):
        missing = SettingError(
            f"there are no credentials for the lake: neither {ACCESS_KEY} and {SECRET_KEY} in the "
            f"environment nor {home / NAME}",
            "set both variables, or name the folder of a `homma up` with --dir",
        )
    return Catalog({**properties, **extra}, settings.namespace, missing)


def _credentials(of: Mapping[str, str]) -> Credentials | None:
    key, secret = of.get(ACCESS_KEY), of.get(SECRET_KEY)
    return Credentials(key, secret) if key and secret else None
