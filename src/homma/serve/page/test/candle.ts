/** A candle for tests, with every field of the table. */

import { FIELDS, type Candle } from "../src/fields";

const VALUES: Partial<Candle> = { open: 1, high: 2, low: 0.5, close: 1, turnover: null, isFinal: true, revision: 1 };

/** A candle that starts at this minute; a field without a value of its own is 1. */
export function candleAt(minute: number, values: Partial<Candle> = {}): Candle {
  const time = minute * 60;
  const fields = Object.fromEntries(FIELDS.map((name) => [name, 1]));
  const dateTime = new Date(time * 1000).toISOString();
  return { ...fields, ...VALUES, dateTime, time, ...values } as Candle;
}
