import { expect, test } from "vitest";
import { ChartData } from "../src/chart-data";
import type { Candle } from "../src/fields";
import { candleAt } from "./candle";

function candle(minute: number, close = 1): Candle {
  return candleAt(minute, { dateTime: String(minute * 60), close });
}

/** A server with these candles; `to` is a candle's dateTime. */
function server(rows: Record<string, Candle[]>, maxCandles = Infinity) {
  const requests: string[] = [];
  const fetch = async ({ source }: { source: string }, limit: number, to?: string) => {
    requests.push(`${source} before ${to ?? "now"}`);
    const before = (rows[source] ?? []).filter(({ time }) => to === undefined || time < Number(to));
    return { candles: before.slice(-Math.min(limit, maxCandles)), complete: true };
  };
  return { requests, fetch };
}

const minutes = (data: ChartData, source: string) => data.of(source).all.map(({ time }) => time / 60);

test("older candles are requested until there are none", async () => {
  const { requests, fetch } = server({ A: [1, 2, 3, 4].map((n) => candle(n)) }, 2);
  const data = new ChartData("X", "m1", ["A"], fetch);
  await data.loadNewest();
  expect(minutes(data, "A")).toEqual([3, 4]);
  expect(await data.loadOlder()).toBe(true);
  expect(minutes(data, "A")).toEqual([1, 2, 3, 4]);
  expect(await data.loadOlder()).toBe(false);
  expect(await data.loadOlder()).toBe(false);
  expect(requests).toEqual(["A before now", "A before 180", "A before 60"]);
});

test("only one load of older candles runs at a time", async () => {
  const { requests, fetch } = server({ A: [1, 2].map((n) => candle(n)) }, 1);
  const data = new ChartData("X", "m1", ["A"], fetch);
  await data.loadNewest();
  expect(await Promise.all([data.loadOlder(), data.loadOlder()])).toEqual([true, false]);
  expect(requests).toHaveLength(2);
});

test("a source without older candles does not stop the others", async () => {
  const { fetch } = server({ A: [candle(5)], B: [candle(4), candle(5)] }, 1);
  const data = new ChartData("X", "m1", ["A", "B"], fetch);
  await data.loadNewest();
  expect(await data.loadOlder()).toBe(true);
  expect(minutes(data, "B")).toEqual([4, 5]);
});

test("a reload replaces all loaded candles, back to the oldest", async () => {
  const rows = [1, 2, 3, 4, 5].map((n) => candle(n));
  const { fetch } = server({ A: rows }, 2);
  const data = new ChartData("X", "m1", ["A"], fetch);
  await data.loadNewest();
  await data.loadOlder();
  rows.splice(1, 1, candle(2, 9));
  rows.push(candle(6), candle(7), candle(8));
  await data.reload();
  expect(minutes(data, "A")).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(data.of("A").at(120)?.close).toBe(9);
});

test("a failed load changes nothing", async () => {
  const data = new ChartData("X", "m1", ["A"], () => Promise.reject(new TypeError("no network")));
  await expect(data.loadNewest()).rejects.toThrow(TypeError);
  expect(data.put("A", candle(1))).toBe("appended");
  expect(data.put("NONE", candle(1))).toBeUndefined();
});

test("candles are loaded back to a time, or to the first one", async () => {
  const rows = [1, 2, 3, 4, 5].map((n) => candle(n));
  const { requests, fetch } = server({ A: rows, B: rows }, 1);
  const data = new ChartData("X", "m1", ["A", "B"], fetch);
  await data.loadNewest();
  await Promise.all([data.loadOlder(), data.loadSince(180)]);
  expect(minutes(data, "A")).toEqual([3, 4, 5]);
  await data.loadSince(180);
  expect(requests.filter((request) => request.startsWith("A"))).toHaveLength(3);
  expect(data.isWhole).toBe(false);
  await data.loadSince(0);
  expect(minutes(data, "A")).toEqual([1, 2, 3, 4, 5]);
  expect(data.isWhole).toBe(true);
  await data.loadSince(0);
  expect(requests.filter((request) => request.startsWith("A"))).toHaveLength(6);
});

test("an answer that is not complete does not end the series, and is asked for again", async () => {
  const rows = [1, 2, 3].map((n) => candle(n));
  let isAway = true;
  const fetch = async (_: unknown, limit: number, to?: string) => {
    const known = isAway ? rows.slice(-1) : rows;
    const before = known.filter(({ time }) => to === undefined || time < Number(to));
    return { candles: before.slice(-limit), complete: !isAway };
  };
  const data = new ChartData("X", "m1", ["A"], fetch);
  await data.loadNewest();
  expect([data.isComplete, await data.loadOlder(), data.isWhole]).toEqual([false, false, false]);
  await data.loadSince(0);
  expect(minutes(data, "A")).toEqual([3]);
  isAway = false;
  await data.reload();
  expect([data.isComplete, minutes(data, "A")]).toEqual([true, [1, 2, 3]]);
  expect([await data.loadOlder(), data.isWhole]).toEqual([false, true]);
});
