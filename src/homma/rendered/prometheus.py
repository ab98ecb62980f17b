"""The addresses of homma's stages for Prometheus's file-based service discovery."""

import json
from collections.abc import Mapping
from typing import Final

from homma.settings import UpSettings

_SUFFIX: Final = "_metrics_port"


def targets(addresses: Mapping[str, str]) -> str:
    """One target per stage, from `host:port` by stage; the label `stage` names the stage."""
    rows = [
        {"targets": [address], "labels": {"stage": stage}} for stage, address in addresses.items()
    ]
    return json.dumps(rows, indent=2) + "\n"


def containers() -> str:
    """The targets in compose: services named after the stages, on the default ports."""
    ports = {
        name.removesuffix(_SUFFIX): getattr(UpSettings(), name)
        for name in UpSettings.__dataclass_fields__
        if name.endswith(_SUFFIX)
    }
    # The page's server has its metrics on its own port.
    ports |= {"serve": UpSettings().serve_port}
    return targets({stage: f"{stage}:{port}" for stage, port in ports.items()})
