/** The state of the page, and its URL. */

import { opening, type ActiveSeries } from "./ranking";
import { MAX_STUDIES, Study } from "./studies";

export type Theme = "auto" | "light" | "dark";
export type Zone = "utc" | "local";
export type Scale = "linear" | "log";
export type Market = "auto" | "on" | "off";

export interface State {
  readonly symbol: string;
  readonly source: string;
  readonly interval: string;
  /** Other sources of the symbol, drawn as lines. */
  readonly compare: readonly string[];
  /** The codes of the studies, such as `sma20`. */
  readonly studies: readonly string[];
  readonly scale: Scale;
  readonly market: Market;
  readonly theme: Theme;
  readonly zone: Zone;
}

export interface Series {
  readonly source: string;
  readonly symbol: string;
}

/** The name of a series in lists, by which it can be found. */
export function seriesName({ symbol, source }: Series): string {
  return `${symbol} ${source}`;
}

export const DEFAULTS: State = {
  symbol: "",
  source: "",
  interval: "m1",
  compare: [],
  studies: [],
  scale: "linear",
  market: "auto",
  theme: "auto",
  zone: "utc",
};

/** The interval of URLs that name none: one minute, or the finest if the server has no such candles. */
export function defaultInterval(intervals: readonly string[]): string {
  return intervals.includes(DEFAULTS.interval) ? DEFAULTS.interval : (intervals[0] ?? DEFAULTS.interval);
}

function oneOf<T extends string>(text: string | null, values: readonly T[], fallback: T): T {
  return values.find((value) => value === text) ?? fallback;
}

/**
 * The state of a query string. One that names a symbol is complete; otherwise the interval looked at
 * last is its default.
 */
export function fromUrl(search: string, intervals: readonly string[], lastInterval: string | null = null): State {
  const query = new URLSearchParams(search);
  const fallback = defaultInterval(intervals);
  const unnamed = query.has("symbol") ? fallback : oneOf(lastInterval, intervals, fallback);
  const source = query.get("source") ?? DEFAULTS.source;
  return {
    symbol: query.get("symbol") ?? DEFAULTS.symbol,
    source,
    interval: oneOf(query.get("interval"), intervals, unnamed),
    compare: [...new Set(query.getAll("compare"))].filter((other) => other !== "" && other !== source),
    studies: [...new Set(query.getAll("study"))].filter(Study.of).slice(0, MAX_STUDIES),
    scale: oneOf(query.get("scale"), ["linear", "log"], DEFAULTS.scale),
    market: oneOf(query.get("market"), ["auto", "on", "off"], DEFAULTS.market),
    theme: oneOf(query.get("theme"), ["auto", "light", "dark"], DEFAULTS.theme),
    zone: oneOf(query.get("zone"), ["utc", "local"], DEFAULTS.zone),
  };
}

/** The query string of a state, without default values. */
export function toUrl(state: State, intervals: readonly string[]): string {
  const parameters = new URLSearchParams();
  const defaults = { ...DEFAULTS, interval: defaultInterval(intervals) };
  for (const name of ["symbol", "source", "interval", "scale", "market", "theme", "zone"] as const) {
    if (state[name] !== defaults[name]) parameters.set(name, state[name]);
  }
  for (const source of state.compare) parameters.append("compare", source);
  for (const study of state.studies) parameters.append("study", study);
  const query = parameters.toString();
  return query === "" ? "" : `?${query}`;
}

/** The state, with an unknown symbol replaced by the series to open, and an unknown source by the first. */
export function fitted(state: State, known: readonly ActiveSeries[]): State {
  const opened = known.some(({ symbol }) => symbol === state.symbol) ? state : { ...state, ...opening(known) };
  const { symbol } = opened;
  const sources = sourcesOf(known, symbol);
  const source = sources.includes(opened.source) ? opened.source : (sources[0] ?? state.source);
  const compare = state.compare.filter((other) => other !== source && sources.includes(other));
  return { ...state, symbol, source, compare };
}

/** The symbols, each once, in the order of the series. */
export function symbolsOf(known: readonly Series[]): string[] {
  return [...new Set(known.map((series) => series.symbol))];
}

export function sourcesOf(known: readonly Series[], symbol: string): string[] {
  return known.filter((series) => series.symbol === symbol).map((series) => series.source).sort();
}

/** Whether two states show the same candles. */
export function sameCandles(a: State, b: State): boolean {
  return (
    a.symbol === b.symbol &&
    a.source === b.source &&
    a.interval === b.interval &&
    a.compare.join("\n") === b.compare.join("\n")
  );
}
