import { describe, expect, test } from "vitest";
import { changeText, decimalsOf, durationText, instantText, priceText, tickText, volumeText } from "../src/format";

const at = (text: string) => Date.parse(text) / 1000;

describe("prices", () => {
  test.each([
    [[1, 2], 0],
    [[627.05, 627.045, 1], 3],
    [[1.08351], 5],
    [[1e-9], 8],
    [[0.123456789], 8],
    [[], 0],
  ])("%j need %i decimals", (prices, decimals) => expect(decimalsOf(prices)).toBe(decimals));
  test("all have the same number of decimals", () => expect(priceText(627.1, 3)).toBe("627.100"));
});

test.each([
  [100, 101.234, "+1.23 %"],
  [100, 98, "−2.00 %"],
  [100, 99.999, "0.00 %"],
  [0, 5, ""],
  [5, 0, ""],
  [-10, -5, ""],
  [-10, 5, ""],
])("from %d to %d is %s", (from, to, text) => expect(changeText(from, to)).toBe(text));

test.each([
  [1234567, "1,234,567"],
  [0.1, "0.1"],
  [0.000000000001, "0.000000000001"],
  [1234567.00000001, "1,234,567.00000001"],
  [0, "0"],
])("the volume %d is %s", (volume, text) => expect(volumeText(volume)).toBe(text));

describe("a candle's start", () => {
  const time = at("2025-03-20T14:31:00Z");
  test.each([
    ["m1", "UTC", "20 Mar 2025 14:31"],
    ["m1", "America/New_York", "20 Mar 2025 10:31"],
    ["s1", "America/New_York", "20 Mar 2025 10:31:00"],
    ["h4", "Asia/Kolkata", "20 Mar 2025 20:01"],
    ["D1", "America/New_York", "20 Mar 2025"],
    ["W1", "UTC", "20 Mar 2025"],
    ["M1", "UTC", "Mar 2025"],
  ])("%s in %s is %s", (interval, zone, text) => expect(instantText(time, interval, zone)).toBe(text));
  test("a UTC day keeps its name west of Greenwich", () => {
    expect(instantText(at("2025-03-20T00:00:00Z"), "D1", "America/New_York")).toBe("20 Mar 2025");
  });
  test("the hour that repeats at the end of summer time has the same text twice", () => {
    const zone = "Europe/Berlin";
    expect(instantText(at("2025-10-26T00:30:00Z"), "m1", zone)).toBe("26 Oct 2025 02:30");
    expect(instantText(at("2025-10-26T01:30:00Z"), "m1", zone)).toBe("26 Oct 2025 02:30");
  });
});

test.each([
  ["2025-03-20T14:31:00Z", "m1", "UTC", "14:31"],
  ["2025-03-20T14:31:07Z", "s1", "UTC", "14:31:07"],
  ["2025-03-20T14:31:00Z", "s1", "UTC", "14:31"],
  ["2025-03-20T00:00:00Z", "s1", "UTC", "20 Mar"],
  ["2025-03-20T00:00:00Z", "m1", "UTC", "20 Mar"],
  ["2025-03-20T00:00:00Z", "m1", "America/New_York", "20:00"],
  ["2025-03-20T04:00:00Z", "m1", "America/New_York", "20 Mar"],
  ["2025-03-01T00:00:00Z", "D1", "America/New_York", "Mar"],
  ["2025-01-01T00:00:00Z", "M1", "UTC", "2025"],
])("the axis label of %s, %s in %s is %s", (time, interval, zone, text) => {
  expect(tickText(at(time), interval, zone)).toBe(text);
});

test.each([
  [0, "0 s"], [45, "45 s"], [60, "1 min"], [95, "1 min 35 s"], [3600, "1 h"], [3660, "1 h 1 min"], [3605, "1 h"],
  [90_000, "1 d 1 h"], [86_400 * 40, "40 d"],
])("%d seconds are %s", (seconds, text) => expect(durationText(seconds)).toBe(text));
