"""Where the lake is, and as whom we come: settings, `-C name=value` and credentials in one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homma.errors import SettingError
from homma.settings import LakeSettings

KEY: Final = "AWS_ACCESS_KEY_ID"
SECRET: Final = "AWS_SECRET_ACCESS_KEY"  # noqa: S105  a variable's name
#: Written by `homma up` below its --dir.
FILE: Final = "credentials.env"
# Whoever gives one of these knows another way in.
_OTHER_WAYS: Final = ("credential", "token", "auth.", "rest.sigv4-", "s3.")


@dataclass(frozen=True, slots=True)
class Catalog:
    """pyiceberg's properties, and the namespace of the tables."""

    properties: Mapping[str, str]
    namespace: str


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
    found = _credentials(environment) or _made(home / FILE)
    if found:
        key, secret = found
        properties |= {
            "credential": f"{key}:{secret}",
            "s3.access-key-id": key,
            "s3.secret-access-key": secret,
        }
    elif not any(name.startswith(_OTHER_WAYS) for name in extra):
        raise SettingError(
            f"there are no credentials for the lake: neither {KEY} and {SECRET} in the "
            f"environment nor {home / FILE}",
            "set both variables, or name the folder of a `homma up` with --dir",
        )
    return Catalog({**properties, **extra}, settings.namespace)


def _credentials(of: Mapping[str, str]) -> tuple[str, str] | None:
    key, secret = of.get(KEY), of.get(SECRET)
    return (key, secret) if key and secret else None


def _made(path: Path) -> tuple[str, str] | None:
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read ({error.strerror})", f"set {KEY} and {SECRET}"
        ) from error
    return _credentials(dict(line.split("=", 1) for line in lines if "=" in line))
