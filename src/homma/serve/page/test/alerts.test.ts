import { describe, expect, test } from "vitest";
import { Alerts, crossed, type Seen } from "../src/alerts";
import { PageStorage } from "../src/storage";
import { candleAt } from "./candle";

function seen(close: number, rest: Partial<Seen> = {}): Seen {
  return { interval: "m1", time: 60, high: close, low: close, close, ...rest };
}

describe("an alert is crossed", () => {
  test("by the close, upwards and downwards, and when it is touched", () => {
    expect(crossed([10, 11, 12, 13], seen(10.5), seen(12))).toEqual([11, 12]);
    expect(crossed([10, 11, 12, 13], seen(12.5), seen(11))).toEqual([11, 12]);
    expect(crossed([11], seen(10), seen(10.9))).toEqual([]);
  });
  test("not by staying at the price, but by coming back to it", () => {
    expect(crossed([10], seen(10), seen(11))).toEqual([]);
    expect(crossed([10], seen(11), seen(10))).toEqual([10]);
  });
  test("by a new high or low that the close has left again", () => {
    expect(crossed([12], seen(10), seen(10, { high: 12.5 }))).toEqual([12]);
    expect(crossed([8], seen(10), seen(10, { low: 7 }))).toEqual([8]);
  });
  test("not by the high that the candle had before", () => {
    expect(crossed([12], seen(10, { high: 13 }), seen(10.5, { high: 13 }))).toEqual([]);
  });
  test("by the whole of a new candle", () => {
    expect(crossed([12], seen(10, { high: 13 }), seen(10.5, { high: 13, time: 120 }))).toEqual([12]);
  });
  test("only by the close if the candles have other intervals", () => {
    expect(crossed([10.2, 12], seen(10), seen(10.5, { high: 13, interval: "h1" }))).toEqual([10.2]);
  });
});

const SERIES = { source: "A", symbol: "X" };
const at = (minute: number, close: number) => candleAt(minute, { close, high: close, low: close });

test("alerts are kept for each series, also by another page, until they are crossed or removed", () => {
  const storage = new PageStorage();
  const alerts = new Alerts(storage);
  expect(alerts.any).toBe(false);
  for (const price of [11, 12, 11, 9]) alerts.set(SERIES, price);
  alerts.set({ source: "B", symbol: "X" }, 5);
  alerts.remove(SERIES, 9);
  const other = new Alerts(storage);
  expect([other.of(SERIES), other.of({ source: "B", symbol: "X" }), other.any]).toEqual([[12, 11], [5], true]);
  expect(other.see(SERIES, "m1", at(1, 10))).toEqual([]);
  expect(other.see(SERIES, "m1", at(2, 11.5))).toEqual([11]);
  expect(other.see(SERIES, "m1", at(2, 10))).toEqual([]);
  expect(alerts.of(SERIES)).toEqual([12]);
});

test("a correction of an old candle crosses nothing", () => {
  const alerts = new Alerts(new PageStorage());
  alerts.set(SERIES, 11);
  alerts.see(SERIES, "m1", at(5, 10));
  expect(alerts.see(SERIES, "m1", at(2, 12))).toEqual([]);
  expect(alerts.see(SERIES, "m1", at(5, 10.5))).toEqual([]);
});

test("a text that is no list of prices is ignored", () => {
  const storage = new PageStorage();
  storage.setItem('homma.alerts:["A","X"]', "[1,null,\"x\"");
  expect(new Alerts(storage).of(SERIES)).toEqual([]);
  storage.setItem('homma.alerts:["A","X"]', "[1,null,\"x\"]");
  expect(new Alerts(storage).of(SERIES)).toEqual([1]);
});
