/** A measurement: from one point of the chart to another. */

import { changeText, durationText, priceText } from "./format";

export interface Point {
  /** The start of a candle, in seconds since the epoch. */
  readonly time: number;
  readonly price: number;
}

export interface Measurement {
  readonly from: Point;
  readonly to: Point;
  /** The number of candles from one to the other; negative if `to` is earlier. */
  readonly bars: number;
}

/** Change in price and per cent, then bars and time, as in "+1.20 (+0.51 %)", "14 bars, 14 min". */
export function measurementTexts({ from, to, bars }: Measurement, decimals: number): [string, string] {
  const change = to.price - from.price;
  const sign = change < 0 ? "−" : "+";
  const percent = changeText(from.price, to.price);
  const price = `${sign}${priceText(Math.abs(change), decimals)}${percent === "" ? "" : ` (${percent})`}`;
  const count = `${bars < 0 ? "−" : ""}${Math.abs(bars)} ${Math.abs(bars) === 1 ? "bar" : "bars"}`;
  return [price, `${count}, ${durationText(Math.abs(to.time - from.time))}`];
}
