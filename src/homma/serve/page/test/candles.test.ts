import { describe, expect, test } from "vitest";
import { Candles, isCorrected, isOpen, type Candle } from "../src/candles";

function candle(minute: number, close = 1, rest: Partial<Candle> = {}): Candle {
  const time = minute * 60;
  return {
    dateTime: new Date(time * 1000).toISOString(), time, open: 1, high: 2, low: 0.5, close,
    volume: 1, isFinal: true, revision: 1, ...rest,
  };
}

function held(...rows: Candle[]): Candles {
  const candles = new Candles();
  candles.load()(rows);
  return candles;
}

const closes = (candles: Candles) => candles.all.map(({ time, close }) => [time / 60, close]);

describe("live", () => {
  test("a new one is appended, a known one replaced in its place, one between inserted", () => {
    const candles = held(candle(1), candle(3));
    expect(candles.put(candle(5, 5))).toBe("appended");
    expect(candles.put(candle(3, 3))).toBe("replaced");
    expect(candles.put(candle(2, 2))).toBe("inserted");
    expect(closes(candles)).toEqual([[1, 1], [2, 2], [3, 3], [5, 5]]);
  });
  test("the first of all is appended", () => {
    expect(new Candles().put(candle(1))).toBe("appended");
  });
});

describe("a load", () => {
  test("puts older ones before those held, without a repeat", () => {
    const candles = held(candle(3), candle(4));
    candles.load()([candle(1), candle(2), candle(3, 9)]);
    expect(closes(candles)).toEqual([[1, 1], [2, 1], [3, 9], [4, 1]]);
  });
  test("loses to what came live while it was under way", () => {
    const candles = held(candle(1), candle(2));
    const take = candles.load();
    candles.put(candle(2, 7));
    candles.put(candle(3, 8));
    take([candle(1, 5), candle(2, 5), candle(3, 5)]);
    expect(closes(candles)).toEqual([[1, 5], [2, 7], [3, 8]]);
  });
  test("wins over what came before it began", () => {
    const candles = held(candle(1));
    candles.put(candle(1, 7));
    candles.load()([candle(1, 5)]);
    expect(closes(candles)).toEqual([[1, 5]]);
  });
  test("takes away what is no more between its ends, and nothing beyond them", () => {
    const candles = held(candle(1), candle(2), candle(3), candle(4), candle(5));
    candles.load()([candle(2), candle(4)]);
    expect(closes(candles).map(([time]) => time)).toEqual([1, 2, 4, 5]);
  });
  test("that brings nothing changes nothing", () => {
    const candles = held(candle(1));
    candles.load()([]);
    expect(closes(candles)).toEqual([[1, 1]]);
  });
});

test("what is gone stays gone, also from a load that was under way", () => {
  const candles = held(candle(1), candle(2), candle(3));
  const take = candles.load();
  candles.drop(120);
  take([candle(1), candle(2), candle(3)]);
  expect(closes(candles).map(([time]) => time)).toEqual([1, 3]);
});

test("candles are found by their time, and by a span with both its ends", () => {
  const candles = held(candle(1), candle(2), candle(4));
  expect(candles.at(120)?.time).toBe(120);
  expect(candles.at(180)).toBeUndefined();
  expect(candles.within(60, 120).map(({ time }) => time)).toEqual([60, 120]);
  expect([candles.oldest?.time, candles.newest?.time]).toEqual([60, 240]);
});

test("open is what is not final; where nobody says, the newest", () => {
  const newest = candle(2, 1, { isFinal: null });
  expect(isOpen(candle(1, 1, { isFinal: false }), newest)).toBe(true);
  expect(isOpen(candle(2), candle(2))).toBe(false);
  expect(isOpen(newest, newest)).toBe(true);
  expect(isOpen(candle(1, 1, { isFinal: null }), newest)).toBe(false);
});

test("corrected is what was final and was written again", () => {
  expect([0, 1, 2, null].map((revision) => isCorrected(candle(1, 1, { revision })))).toEqual([false, false, true, false]);
});
