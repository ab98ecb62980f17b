/** The candles of one series: loaded page by page, updated live, always sorted by time. */

import type { Candle } from "./fields";

/** How a candle changed the series. */
export type Change = "appended" | "replaced" | "inserted";

export class Candles {
  #rows: Candle[] = [];
  /** For each load in progress: times of the candles that arrived live since it started. */
  readonly #loads = new Set<Set<number>>();

  get all(): readonly Candle[] {
    return this.#rows;
  }

  get oldest(): Candle | undefined {
    return this.#rows[0];
  }

  get newest(): Candle | undefined {
    return this.#rows.at(-1);
  }

  at(time: number): Candle | undefined {
    const candle = this.#rows[this.indexOf(time)];
    return candle?.time === time ? candle : undefined;
  }

  /** Whether the candles are made of trades. */
  get areOfTrades(): boolean {
    return (this.newest?.turnover ?? null) !== null;
  }

  /** Whether all prices are above 0. */
  get arePositive(): boolean {
    return this.#rows.every(({ low }) => low > 0);
  }

  /** The index of the candle that starts at a time, or else of the next one. */
  indexOf(time: number): number {
    return positionOf(this.#rows, time);
  }

  /** Take a candle that arrived live. */
  put(candle: Candle): Change {
    for (const load of this.#loads) load.add(candle.time);
    const at = positionOf(this.#rows, candle.time);
    const current = this.#rows[at];
    if (current === undefined) {
      this.#rows.push(candle);
      return "appended";
    }
    const replaces = current.time === candle.time;
    this.#rows.splice(at, replaces ? 1 : 0, candle);
    return replaces ? "replaced" : "inserted";
  }

  /** Remove a deleted candle. */
  delete(time: number): void {
    for (const load of this.#loads) load.add(time);
    this.#rows = this.#rows.filter((candle) => candle.time !== time);
  }

  /**
   * Start a load. The returned function takes the loaded candles. They replace all candles between
   * their first and last, except those that arrived live in the meantime.
   */
  load(): (loaded: readonly Candle[]) => void {
    const live = new Set<number>();
    this.#loads.add(live);
    return (loaded) => {
      this.#loads.delete(live);
      this.#rows = mergeLoaded(this.#rows, loaded, live);
    };
  }

  /** The candles that start in [from, to]. */
  within(from: number, to: number): Candle[] {
    return this.#rows.filter((candle) => candle.time >= from && candle.time <= to);
  }
}

/** The index of a time in the rows, or the index at which to insert it. */
function positionOf(rows: readonly Candle[], time: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (rows[middle]!.time < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Replace the candles from the first to the last loaded one, except those in `live`. */
function mergeLoaded(
  rows: readonly Candle[],
  loaded: readonly Candle[],
  live: ReadonlySet<number>,
): Candle[] {
  const first = loaded[0]?.time ?? Infinity;
  const last = loaded.at(-1)?.time ?? -Infinity;
  const isKept = ({ time }: Candle) => time < first || time > last || live.has(time);
  const fresh = loaded.filter(({ time }) => !live.has(time));
  return [...rows.filter(isKept), ...fresh].sort((a, b) => a.time - b.time);
}

/** Whether a candle is open; if its engine does not record that, the newest candle is open. */
export function isOpen(candle: Candle, newest: Candle | undefined): boolean {
  return candle.isFinal === null ? candle.time === newest?.time : !candle.isFinal;
}

/** The average price of a candle's trades, weighted by their sizes; undefined for quotes, or without volume. */
export function vwapOf({ turnover, volume }: Candle): number | undefined {
  return turnover === null || volume === 0 ? undefined : turnover / volume;
}

/** Whether a late tick has changed the candle after it was final. */
export function isCorrected(candle: Candle): boolean {
  return (candle.revision ?? 0) > 1;
}
