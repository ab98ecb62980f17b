/** The candles of one series: loaded piece by piece, changed live, always in order. */

export interface Candle {
  readonly dateTime: string;
  /** The interval's start in seconds since the epoch. */
  readonly time: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly isFinal: boolean | null;
  readonly revision: number | null;
}

/** What a candle did to those there were. */
export type Change = "appended" | "replaced" | "inserted";

export class Candles {
  #rows: Candle[] = [];
  /** What has come live since each load began that is still under way. */
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
    const found = this.#rows[place(this.#rows, time)];
    return found?.time === time ? found : undefined;
  }

  /** A candle that came live. */
  put(candle: Candle): Change {
    for (const load of this.#loads) load.add(candle.time);
    const at = place(this.#rows, candle.time);
    const there = this.#rows[at];
    if (there === undefined) {
      this.#rows.push(candle);
      return "appended";
    }
    const replaces = there.time === candle.time;
    this.#rows.splice(at, replaces ? 1 : 0, candle);
    return replaces ? "replaced" : "inserted";
  }

  /** One that is no more. */
  drop(time: number): void {
    for (const load of this.#loads) load.add(time);
    this.#rows = this.#rows.filter((one) => one.time !== time);
  }

  /**
   * Begin a load. The function given back takes what it brought, which is all there is from its
   * first candle to its last, but for what has come live in the meantime.
   */
  load(): (loaded: readonly Candle[]) => void {
    const live = new Set<number>();
    this.#loads.add(live);
    return (loaded) => {
      this.#loads.delete(live);
      this.#rows = merged(this.#rows, loaded, live);
    };
  }

  /** Those that begin in [from, to]. */
  within(from: number, to: number): Candle[] {
    return this.#rows.filter((one) => one.time >= from && one.time <= to);
  }
}

/** Where a time stands or would stand in the rows. */
function place(rows: readonly Candle[], time: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (rows[middle]!.time < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What was held, with all of it replaced from the first to the last one loaded, but for `live`. */
function merged(
  held: readonly Candle[],
  loaded: readonly Candle[],
  live: ReadonlySet<number>,
): Candle[] {
  const first = loaded[0]?.time ?? Infinity;
  const last = loaded.at(-1)?.time ?? -Infinity;
  const stays = (one: Candle) => one.time < first || one.time > last || live.has(one.time);
  const fresh = loaded.filter((one) => !live.has(one.time));
  return [...held.filter(stays), ...fresh].sort((one, other) => one.time - other.time);
}

/** Whether a candle may still change by time going on: an engine that does not say, leaves the last one open. */
export function isOpen(candle: Candle, newest: Candle | undefined): boolean {
  return candle.isFinal === null ? candle.time === newest?.time : !candle.isFinal;
}

export function isCorrected(candle: Candle): boolean {
  return (candle.revision ?? 0) > 1;
}
