/** Asks the server regularly for the newest candle of every series. */

import { overview, type Quote } from "./api";

const EVERY_MS = 2_000;

export interface OverviewListener {
  /** The interval of the next quotes; undefined if nobody needs them. */
  interval(): string | undefined;
  quotes(quotes: readonly Quote[], interval: string): Promise<void>;
}

export async function followOverview(listener: OverviewListener): Promise<void> {
  const interval = listener.interval();
  if (interval !== undefined) {
    const quotes = await overview(interval).catch(() => undefined);
    if (quotes) await listener.quotes(quotes, interval);
  }
  setTimeout(() => void followOverview(listener), EVERY_MS);
}
