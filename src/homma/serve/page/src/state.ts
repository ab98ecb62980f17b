/** The state of the page, and its URL. */

export type Theme = "auto" | "light" | "dark";
export type Zone = "utc" | "local";
export type Market = "auto" | "on" | "off";

export interface State {
  readonly symbol: string;
  readonly source: string;
  readonly interval: string;
  /** Other sources of the symbol, drawn as lines. */
  readonly compare: readonly string[];
  readonly market: Market;
  readonly theme: Theme;
  readonly zone: Zone;
}

export interface Series {
  readonly source: string;
  readonly symbol: string;
}

export const DEFAULTS: State = {
  symbol: "",
  source: "",
  interval: "m1",
  compare: [],
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

export function fromUrl(search: string, intervals: readonly string[]): State {
  const query = new URLSearchParams(search);
  const source = query.get("source") ?? DEFAULTS.source;
  return {
    symbol: query.get("symbol") ?? DEFAULTS.symbol,
    source,
    interval: oneOf(query.get("interval"), intervals, defaultInterval(intervals)),
    compare: [...new Set(query.getAll("compare"))].filter((other) => other !== "" && other !== source),
    market: oneOf(query.get("market"), ["auto", "on", "off"], DEFAULTS.market),
    theme: oneOf(query.get("theme"), ["auto", "light", "dark"], DEFAULTS.theme),
    zone: oneOf(query.get("zone"), ["utc", "local"], DEFAULTS.zone),
  };
}

/** The query string of a state, without default values. */
export function toUrl(state: State, intervals: readonly string[]): string {
  const parameters = new URLSearchParams();
  const defaults = { ...DEFAULTS, interval: defaultInterval(intervals) };
  for (const name of ["symbol", "source", "interval", "market", "theme", "zone"] as const) {
    if (state[name] !== defaults[name]) parameters.set(name, state[name]);
  }
  for (const source of state.compare) parameters.append("compare", source);
  const query = parameters.toString();
  return query === "" ? "" : `?${query}`;
}

/** The state, with unknown symbols and sources replaced by the first known ones. */
export function fitted(state: State, known: readonly Series[]): State {
  const symbol = known.some((series) => series.symbol === state.symbol)
    ? state.symbol
    : (symbolsOf(known)[0] ?? state.symbol);
  const sources = sourcesOf(known, symbol);
  const source = sources.includes(state.source) ? state.source : (sources[0] ?? state.source);
  const compare = state.compare.filter((other) => other !== source && sources.includes(other));
  return { ...state, symbol, source, compare };
}

export function symbolsOf(known: readonly Series[]): string[] {
  return [...new Set(known.map((series) => series.symbol))].sort();
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
