/** Alerts on prices: kept for each series in the browser, gone once the price has crossed them. */

import type { Candle } from "./fields";
import type { Series } from "./state";
import { remember, type Storage } from "./storage";

const PREFIX = "homma.alerts:";

/** What was last seen of a series. */
export interface Seen extends Pick<Candle, "time" | "high" | "low" | "close"> {
  readonly interval: string;
}

/**
 * The alerts that the price has crossed or touched between two looks at a series.
 *
 * The high and low of a candle count as far as they are new: a price may have been reached and left
 * between the looks. An alert at the price seen before waits until the price comes back to it.
 */
export function crossed(prices: readonly number[], before: Seen, now: Seen): number[] {
  const reached = [before.close, now.close];
  if (before.interval === now.interval) {
    const isNew = now.time > before.time;
    if (isNew || now.high > before.high) reached.push(now.high);
    if (isNew || now.low < before.low) reached.push(now.low);
  }
  const low = Math.min(...reached);
  const high = Math.max(...reached);
  return prices.filter((price) => price >= low && price <= high && price !== before.close);
}

export class Alerts {
  readonly #seen = new Map<string, Seen>();

  constructor(private readonly storage: Storage) {}

  /** The prices of a series' alerts, highest first. */
  of(series: Series): readonly number[] {
    const text = this.storage.getItem(keyOf(series));
    return text === null ? [] : pricesIn(text);
  }

  set(series: Series, price: number): void {
    this.#store(series, [...new Set([...this.of(series), price])].sort((a, b) => b - a));
  }

  remove(series: Series, price: number): void {
    this.#store(series, this.of(series).filter((other) => other !== price));
  }

  /** Whether any series has an alert. */
  get any(): boolean {
    const keys = Array.from({ length: this.storage.length }, (_, i) => this.storage.key(i));
    return keys.some((key) => key?.startsWith(PREFIX));
  }

  /** Look at a candle of a series; returns the prices that were crossed, whose alerts are gone. */
  see(series: Series, interval: string, { time, high, low, close }: Candle): readonly number[] {
    const key = keyOf(series);
    const before = this.#seen.get(key);
    const now = { interval, time, high, low, close };
    if (before?.interval === interval && time < before.time) return [];
    this.#seen.set(key, now);
    const prices = before === undefined ? [] : crossed(this.of(series), before, now);
    for (const price of prices) this.remove(series, price);
    return prices;
  }

  #store(series: Series, prices: readonly number[]): void {
    if (prices.length > 0) remember(this.storage, keyOf(series), JSON.stringify(prices));
    else this.storage.removeItem(keyOf(series));
  }
}

function keyOf({ source, symbol }: Series): string {
  return PREFIX + JSON.stringify([source, symbol]);
}

function pricesIn(text: string): readonly number[] {
  try {
    const prices: unknown = JSON.parse(text);
    return Array.isArray(prices) ? prices.filter((price) => Number.isFinite(price)) : [];
  } catch {
    return [];
  }
}
