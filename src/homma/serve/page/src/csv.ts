/** Candles as CSV (RFC 4180). */

import { FIELDS, type Candle } from "./fields";

export interface SeriesCandles {
  readonly source: string;
  readonly symbol: string;
  readonly interval: string;
  readonly candles: readonly Candle[];
}

function cell(value: string | number | boolean | null): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csv(rows: readonly SeriesCandles[]): string {
  const lines = [["source", "symbol", "interval", ...FIELDS].join(",")];
  for (const { source, symbol, interval, candles } of rows) {
    const identity = [source, symbol, interval].map(cell);
    for (const candle of candles) {
      lines.push([...identity, ...FIELDS.map((name) => cell(candle[name]))].join(","));
    }
  }
  return lines.join("\r\n") + "\r\n";
}
