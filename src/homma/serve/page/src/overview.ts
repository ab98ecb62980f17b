/** Asks the server regularly for the newest candle of every series. */

import { overview, type Quote } from "./api";

const EVERY_MS = 2_000;
/** While there is nothing to see. */
const FIRST_EVERY_MS = 300;

export interface OverviewListener {
  /** The interval of the next quotes; undefined if nobody needs them. */
  interval(): string | undefined;
  quotes(quotes: readonly Quote[], interval: string): Promise<void>;
}

export async function followOverview(listener: OverviewListener): Promise<void> {
  const interval = listener.interval();
  let isEmpty = false;
  if (interval !== undefined) {
    const quotes = await overview(interval).catch(() => undefined);
    isEmpty = quotes?.length === 0;
    if (quotes) await listener.quotes(quotes, interval);
  }
  setTimeout(() => void followOverview(listener), isEmpty ? FIRST_EVERY_MS : EVERY_MS);
}
