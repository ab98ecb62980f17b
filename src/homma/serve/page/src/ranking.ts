/** The order of series in lists, and the series that the page opens on. */

import type { Series } from "./state";

export interface ActiveSeries extends Series {
  /** Ticks in the last hour. */
  readonly recentTicks: number;
}

/** Codes of currencies, the best known first. Crypto, fiat and metals are mixed on purpose. */
const CURRENCIES = (
  "USD BTC EUR ETH JPY GBP USDT USDC BNB SOL XRP CHF AUD CAD XAU DOGE ADA NZD LTC CNY XAG TRX DOT " +
  "LINK AVAX BCH XLM TON HKD SGD SEK NOK DKK PLN CZK HUF TRY ZAR MXN INR BRL KRW"
).split(" ");
const POSITION = new Map(CURRENCIES.map((code, at) => [code, at]));

/**
 * How well known the pair in a symbol is: 0 is the best; undefined if it is no pair of known
 * currencies. A separator, as in BTC/USD or BTC-USD, does not matter.
 */
export function fame(symbol: string): number | undefined {
  const letters = symbol.toUpperCase().replaceAll(/[^A-Z]/g, "");
  for (let length = 3; length <= letters.length - 3; length++) {
    const base = POSITION.get(letters.slice(0, length));
    const quote = POSITION.get(letters.slice(length));
    if (base !== undefined && quote !== undefined) return base + quote;
  }
  return undefined;
}

interface Rank {
  readonly fame: number;
  /** 0 has at least half as many ticks as the most active series, 1 at least a quarter, … */
  readonly halvings: number;
}

function rankIn(most: number): (series: ActiveSeries) => Rank {
  return ({ symbol, recentTicks }) => ({
    fame: fame(symbol) ?? Infinity,
    halvings: recentTicks > 0 ? Math.floor(Math.log2(most / recentTicks)) : Infinity,
  });
}

/** Known currency pairs first, then by activity, then by name. Similar activity counts as equal. */
export function ranked(series: readonly ActiveSeries[]): ActiveSeries[] {
  const rank = rankIn(mostTicks(series));
  const rows = series.map((one) => ({ one, ...rank(one) }));
  rows.sort((a, b) =>
    Number(a.fame === Infinity) - Number(b.fame === Infinity) ||
    ascending(a.halvings, b.halvings) ||
    ascending(a.fame, b.fame) ||
    ascending(a.one.symbol, b.one.symbol) ||
    ascending(a.one.source, b.one.source));
  return rows.map(({ one }) => one);
}

/** The series to open: the first in the list of those about as active as the most active one. */
export function opening(series: readonly ActiveSeries[]): ActiveSeries | undefined {
  const rank = rankIn(mostTicks(series));
  const list = ranked(series);
  return list.find((one) => rank(one).halvings === 0) ?? list[0];
}

function mostTicks(series: readonly ActiveSeries[]): number {
  return series.reduce((most, { recentTicks }) => Math.max(most, recentTicks), 0);
}

function ascending<T extends number | string>(a: T, b: T): number {
  return a < b ? -1 : Number(a > b);
}
