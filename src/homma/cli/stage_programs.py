"""Homma's own programs in `homma up`, with their flags, ports and priorities."""

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Final

from homma.core.tick import Price, kind_of
from homma.durations import format_duration
from homma.errors import SettingError
from homma.settings import GenerateSettings, PriceSettings, TopicSettings, UpSettings
from homma.stack.servers.seaweed import Seaweed
from homma.stack.servers.seaweed_settings import Ports

#: In `homma up`, everything listens on this machine only.
HOST: Final = "127.0.0.1"
#: The verifier compares candles that started after this: bounded work, with final candles of h1.
_VERIFIED: Final = "70min"
_NICE: Final = 10


@dataclass(frozen=True, slots=True)
class StageProgram:
    """One of homma's own programs; `flags` include the port of its metrics."""

    name: str
    metrics_port: int
    port_flag: str
    flags: tuple[str, ...]
    #: Whether the same port serves a web page.
    has_page: bool = False
    #: By how much it is nicer than the others, which then get the CPU first.
    niceness: int = 0

    @property
    def ports(self) -> dict[str, int]:
        """The ports it listens on, by purpose."""
        return {"metrics": self.metrics_port} | (
            {"page": self.metrics_port} if self.has_page else {}
        )


def stages(
    up: UpSettings, topics: TopicSettings, ticks: GenerateSettings, prices: PriceSettings
) -> list[StageProgram]:
    """Return homma's own programs, consumers first, so that no tick waits for them."""
    topic_flags, server = as_flags(topics), lake_server(up)
    rules = as_flags(prices)
    programs = [_with_metrics("aggregate", up.aggregate_metrics_port, *topic_flags, *rules)]
    if server is not None:
        commit_flags = ("--commit-every", format_duration(up.commit_every))
        addresses = lake_flags(up, server)
        programs.append(
            _with_metrics(
                "land",
                up.land_metrics_port,
                *topic_flags,
                *addresses,
                *commit_flags,
                *as_flags(replace(prices, price=PriceSettings().price)),
            )
        )
    if not up.no_serve:
        addresses = ("--without-lake",) if server is None else lake_flags(up, server)
        flags = ("--serve-port", str(up.serve_port), *topic_flags, *addresses)
        programs.append(StageProgram("serve", up.serve_port, "--serve-port", flags, has_page=True))
    if up.ingest:
        flags = (*topic_flags, *as_flags(replace(prices, price=PriceSettings().price)))
        programs.append(
            _with_metrics(
                "ingest", up.ingest_metrics_port, "--wait-for-topic", *flags, *feeds_of(up)
            )
        )
    elif not up.no_generate:
        tick_flags = as_flags(ticks)
        programs.append(
            _with_metrics("generate", up.generate_metrics_port, *topic_flags, *tick_flags)
        )
    if server is not None and up.verify_every:
        programs.append(_verifier(up, (*topic_flags, *rules), lake_flags(up, server)))
    return programs


def feeds_of(up: UpSettings) -> list[str]:
    """Return the arguments of `homma ingest`."""
    return up.ingest.split()


def require_applicable(up: UpSettings, ticks: GenerateSettings, price: Price) -> None:
    """Raise SettingError if none of the generated ticks has the price that candles need."""
    if up.ingest or up.no_generate or ticks.kind == "both" or ticks.kind == f"{kind_of(price)}s":
        return
    other = "--price trade" if ticks.kind == "trades" else "--kind trades"
    raise SettingError(
        f"homma up cannot build candles from the price {price} out of generated {ticks.kind}",
        f"add {other}, or --kind both, or --no-generate if the ticks come from elsewhere",
    )


def _verifier(
    up: UpSettings, topic_flags: tuple[str, ...], addresses: tuple[str, ...]
) -> StageProgram:
    """Return the program that compares candles, which must not disturb those that make them."""
    every = ("--every", format_duration(up.verify_every), "--wait", "--from", _VERIFIED)
    flags = (*topic_flags, *addresses, *every)
    return replace(_with_metrics("verify", up.verify_metrics_port, *flags), niceness=_NICE)


def _with_metrics(name: str, port: int, *flags: str) -> StageProgram:
    metric_flags = ("--metrics-port", str(port), "--metrics-host", HOST)
    return StageProgram(name, port, f"--{name}-metrics-port", (*metric_flags, *flags))


def as_flags(settings: Any) -> tuple[str, ...]:
    """Return the settings that differ from their defaults as flags."""
    flags: list[str] = []
    for row in fields(settings):
        value = getattr(settings, row.name)
        if value != row.default:
            flags.append("--" + row.name.replace("_", "-"))
            if not isinstance(value, bool):
                flags.append(format_duration(value) if isinstance(value, timedelta) else str(value))
    return tuple(flags)


def lake_server(up: UpSettings) -> Seaweed | None:
    """Return the folder and ports of SeaweedFS; None with --no-lake."""
    ports = Ports(up.s3_port, up.catalog_port, up.seaweed_port)
    return None if up.no_lake else Seaweed(up.dir, ports)


def lake_flags(up: UpSettings, server: Seaweed) -> tuple[str, ...]:
    """Return the flags with the addresses of the lake and the folder of its login."""
    return (
        "--catalog-uri",
        f"http://{HOST}:{server.ports.catalog}",
        "--s3-endpoint",
        f"http://{HOST}:{server.ports.s3}",
        "--dir",
        str(up.dir),
    )
