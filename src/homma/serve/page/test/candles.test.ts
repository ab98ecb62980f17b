import { describe, expect, test } from "vitest";
import { Candles, isCorrected, isOpen, vwapOf } from "../src/candles";
import type { Candle } from "../src/fields";
import { candleAt } from "./candle";

function candle(minute: number, close = 1, rest: Partial<Candle> = {}): Candle {
  return candleAt(minute, { close, ...rest });
}

function candlesWith(...rows: Candle[]): Candles {
  const candles = new Candles();
  candles.load()(rows);
  return candles;
}

const closes = (candles: Candles) => candles.all.map(({ time, close }) => [time / 60, close]);

describe("live", () => {
  test("a new candle is appended, a known one replaced, one in between inserted", () => {
    const candles = candlesWith(candle(1), candle(3));
    expect(candles.put(candle(5, 5))).toBe("appended");
    expect(candles.put(candle(3, 3))).toBe("replaced");
    expect(candles.put(candle(2, 2))).toBe("inserted");
    expect(closes(candles)).toEqual([[1, 1], [2, 2], [3, 3], [5, 5]]);
  });
  test("the first candle is appended", () => {
    expect(new Candles().put(candle(1))).toBe("appended");
  });
});

describe("a load", () => {
  test("adds older candles before the existing ones, without duplicates", () => {
    const candles = candlesWith(candle(3), candle(4));
    candles.load()([candle(1), candle(2), candle(3, 9)]);
    expect(closes(candles)).toEqual([[1, 1], [2, 1], [3, 9], [4, 1]]);
  });
  test("does not replace candles that arrived live during the load", () => {
    const candles = candlesWith(candle(1), candle(2));
    const take = candles.load();
    candles.put(candle(2, 7));
    candles.put(candle(3, 8));
    take([candle(1, 5), candle(2, 5), candle(3, 5)]);
    expect(closes(candles)).toEqual([[1, 5], [2, 7], [3, 8]]);
  });
  test("replaces candles that arrived before the load", () => {
    const candles = candlesWith(candle(1));
    candles.put(candle(1, 7));
    candles.load()([candle(1, 5)]);
    expect(closes(candles)).toEqual([[1, 5]]);
  });
  test("removes missing candles between its first and last, and none outside", () => {
    const candles = candlesWith(candle(1), candle(2), candle(3), candle(4), candle(5));
    candles.load()([candle(2), candle(4)]);
    expect(closes(candles).map(([time]) => time)).toEqual([1, 2, 4, 5]);
  });
  test("without candles changes nothing", () => {
    const candles = candlesWith(candle(1));
    candles.load()([]);
    expect(closes(candles)).toEqual([[1, 1]]);
  });
});

test("a deleted candle stays deleted, also after a load that was in progress", () => {
  const candles = candlesWith(candle(1), candle(2), candle(3));
  const take = candles.load();
  candles.delete(120);
  take([candle(1), candle(2), candle(3)]);
  expect(closes(candles).map(([time]) => time)).toEqual([1, 3]);
});

test("candles can be looked up by time, and by a range that includes both ends", () => {
  const candles = candlesWith(candle(1), candle(2), candle(4));
  expect(candles.at(120)?.time).toBe(120);
  expect(candles.at(180)).toBeUndefined();
  expect(candles.within(60, 120).map(({ time }) => time)).toEqual([60, 120]);
  expect([candles.oldest?.time, candles.newest?.time]).toEqual([60, 240]);
});

test("a candle is open if it is not final; if that is unknown, if it is the newest", () => {
  const newest = candle(2, 1, { isFinal: null });
  expect(isOpen(candle(1, 1, { isFinal: false }), newest)).toBe(true);
  expect(isOpen(candle(2), candle(2))).toBe(false);
  expect(isOpen(newest, newest)).toBe(true);
  expect(isOpen(candle(1, 1, { isFinal: null }), newest)).toBe(false);
});

test("a candle is corrected if it was written again after it was final", () => {
  expect([0, 1, 2, null].map((revision) => isCorrected(candle(1, 1, { revision })))).toEqual([false, false, true, false]);
});

test("the VWAP is the turnover by the volume; quotes and empty candles have none", () => {
  expect(vwapOf(candle(1, 1, { turnover: 30, volume: 4 }))).toBe(7.5);
  expect(vwapOf(candle(1, 1, { turnover: -30, volume: 4 }))).toBe(-7.5);
  expect(vwapOf(candle(1, 1, { turnover: 0, volume: 0 }))).toBeUndefined();
  expect(vwapOf(candle(1, 1, { turnover: null, volume: 4 }))).toBeUndefined();
});

test("the newest candle tells whether candles are made of trades", () => {
  expect(new Candles().areOfTrades).toBe(false);
  expect(candlesWith(candle(1)).areOfTrades).toBe(false);
  expect(candlesWith(candle(1, 1, { turnover: 0 })).areOfTrades).toBe(true);
});

test("prices are positive if all lows are", () => {
  expect(new Candles().arePositive).toBe(true);
  expect(candlesWith(candle(1, 1, { low: 0.1 })).arePositive).toBe(true);
  expect(candlesWith(candle(1), candle(2, 1, { low: 0 }), candle(3)).arePositive).toBe(false);
});
