/** What the page shows, and the address that says so. */

export type Theme = "auto" | "light" | "dark";
export type Zone = "utc" | "local";
export type Market = "auto" | "on" | "off";

export interface State {
  readonly symbol: string;
  readonly source: string;
  readonly interval: string;
  /** Further sources of the symbol, laid over the first. */
  readonly compare: readonly string[];
  readonly market: Market;
  readonly theme: Theme;
  readonly zone: Zone;
}

export interface Series {
  readonly source: string;
  readonly symbol: string;
}

export const START: State = {
  symbol: "",
  source: "",
  interval: "m1",
  compare: [],
  market: "auto",
  theme: "auto",
  zone: "utc",
};

function oneOf<T extends string>(given: string | null, known: readonly T[], otherwise: T): T {
  return known.find((one) => one === given) ?? otherwise;
}

export function fromAddress(search: string, intervals: readonly string[]): State {
  const given = new URLSearchParams(search);
  const source = given.get("source") ?? START.source;
  return {
    symbol: given.get("symbol") ?? START.symbol,
    source,
    interval: oneOf(given.get("interval"), intervals, START.interval),
    compare: [...new Set(given.getAll("compare"))].filter((one) => one !== "" && one !== source),
    market: oneOf(given.get("market"), ["auto", "on", "off"], START.market),
    theme: oneOf(given.get("theme"), ["auto", "light", "dark"], START.theme),
    zone: oneOf(given.get("zone"), ["utc", "local"], START.zone),
  };
}

/** The query of a state; what is as at the start is left out. */
export function toAddress(state: State): string {
  const said = new URLSearchParams();
  for (const name of ["symbol", "source", "interval", "market", "theme", "zone"] as const) {
    if (state[name] !== START[name]) said.set(name, state[name]);
  }
  for (const source of state.compare) said.append("compare", source);
  const query = said.toString();
  return query === "" ? "" : `?${query}`;
}

/** The state made to fit the series there are: what is unknown gives way to the first that is. */
export function fitted(state: State, known: readonly Series[]): State {
  const symbol = known.some((one) => one.symbol === state.symbol)
    ? state.symbol
    : (symbolsOf(known)[0] ?? state.symbol);
  const sources = sourcesOf(known, symbol);
  const source = sources.includes(state.source) ? state.source : (sources[0] ?? state.source);
  const compare = state.compare.filter((one) => one !== source && sources.includes(one));
  return { ...state, symbol, source, compare };
}

export function symbolsOf(known: readonly Series[]): string[] {
  return [...new Set(known.map((one) => one.symbol))].sort();
}

export function sourcesOf(known: readonly Series[], symbol: string): string[] {
  return known.filter((one) => one.symbol === symbol).map((one) => one.source).sort();
}

/** Whether two states show the same candles. */
export function sameCandles(one: State, other: State): boolean {
  return (
    one.symbol === other.symbol &&
    one.source === other.source &&
    one.interval === other.interval &&
    one.compare.join("\n") === other.compare.join("\n")
  );
}
