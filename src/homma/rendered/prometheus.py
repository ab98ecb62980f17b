"""Where Prometheus finds homma's stages, as its file-based discovery reads it."""

import json
from collections.abc import Mapping
from typing import Final

from homma.settings import UpSettings

_SUFFIX: Final = "_metrics_port"


def targets(places: Mapping[str, str]) -> str:
    """A target a stage, by its `host:port`; in the metrics a stage is the label `stage`."""
    rows = [{"targets": [place], "labels": {"stage": stage}} for stage, place in places.items()]
    return json.dumps(rows, indent=2) + "\n"


def containers() -> str:
    """The stages as services of their names, at the ports they have on one machine."""
    ports = {
        row.removesuffix(_SUFFIX): getattr(UpSettings(), row)
        for row in UpSettings.__dataclass_fields__
        if row.endswith(_SUFFIX)
    }
    # The page's server tells of itself where it is reached anyhow.
    ports["serve"] = UpSettings().serve_port
    return targets({stage: f"{stage}:{port}" for stage, port in ports.items()})
