/** Candles as CSV (RFC 4180). */

import type { Candle } from "./candles";

const COLUMNS = ["dateTime", "open", "high", "low", "close", "volume", "isFinal", "revision"] as const;

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
  const lines = [["source", "symbol", "interval", ...COLUMNS].join(",")];
  for (const { source, symbol, interval, candles } of rows) {
    const identity = [source, symbol, interval].map(cell);
    for (const candle of candles) {
      lines.push([...identity, ...COLUMNS.map((name) => cell(candle[name]))].join(","));
    }
  }
  return lines.join("\r\n") + "\r\n";
}
