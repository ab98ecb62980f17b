"""The properties of the lake's catalog: settings, `-C name=value` and credentials."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homma.errors import SettingError
from homma.settings import LakeSettings
from homma.stack.servers.credentials import (
    ACCESS_KEY,
    NAME,
    SECRET_KEY,
    Credentials,
    read_credentials,
)

# A property that starts with one of these replaces the credentials.
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
    """pyiceberg's properties and the namespace of the tables; `missing`: no credentials."""

    raw: Mapping[str, str]
    namespace: str
    missing: SettingError | None = None

    @property
    def properties(self) -> Mapping[str, str]:
        """The properties; SettingError if there are no credentials."""
        if self.missing is not None:
            raise self.missing
        return self.raw


def catalog(
    settings: LakeSettings,
    extra: Mapping[str, str],
    environment: Mapping[str, str],
    data_dir: Path,
) -> Catalog:
    """Build pyiceberg's properties; those in `extra` take precedence.

    The credentials come from the environment, or else from the data folder of `homma up`.
    """
    properties = {
        "uri": settings.catalog_uri,
        "warehouse": settings.warehouse,
        "s3.endpoint": settings.s3_endpoint,
        "s3.region": settings.s3_region,
    }
    login = _credentials(environment) or read_credentials(data_dir)
    if login:
        properties |= {
            "credential": f"{login.access_key}:{login.secret_key}",
            "s3.access-key-id": login.access_key,
            "s3.secret-access-key": login.secret_key,
        }
    missing = None
    if not login and not any(name.startswith(_OTHER_WAYS) for name in extra):
        missing = SettingError(
            f"no credentials for the lake: {ACCESS_KEY} and {SECRET_KEY} are not set, and "
            f"{data_dir / NAME} does not exist",
            "set both variables, or name the data folder of `homma up` with --dir",
        )
    return Catalog({**properties, **extra}, settings.namespace, missing)


def _credentials(environment: Mapping[str, str]) -> Credentials | None:
    key, secret = environment.get(ACCESS_KEY), environment.get(SECRET_KEY)
    return Credentials(key, secret) if key and secret else None
