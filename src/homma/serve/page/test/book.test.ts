import { expect, test } from "vitest";
import { Book } from "../src/book";
import type { Candle } from "../src/candles";

function candle(minute: number, close = 1): Candle {
  const time = minute * 60;
  return { dateTime: String(time), time, open: 1, high: 1, low: 1, close, volume: 1, isFinal: true, revision: 1 };
}

/** A server with these candles; `to` is told as the candles' dateTime. */
function server(rows: Record<string, Candle[]>, mostAtOnce = Infinity) {
  const asked: string[] = [];
  const ask = async ({ source }: { source: string }, limit: number, to?: string) => {
    asked.push(`${source} before ${to ?? "now"}`);
    const before = (rows[source] ?? []).filter(({ time }) => to === undefined || time < Number(to));
    return before.slice(-Math.min(limit, mostAtOnce));
  };
  return { asked, ask };
}

const minutes = (book: Book, source: string) => book.of(source).all.map(({ time }) => time / 60);

test("older ones are asked for until there are none, and then no more", async () => {
  const { asked, ask } = server({ A: [1, 2, 3, 4].map((n) => candle(n)) }, 2);
  const book = new Book("X", "m1", ["A"], ask);
  await book.newest();
  expect(minutes(book, "A")).toEqual([3, 4]);
  expect(await book.older()).toBe(true);
  expect(minutes(book, "A")).toEqual([1, 2, 3, 4]);
  expect(await book.older()).toBe(false);
  expect(await book.older()).toBe(false);
  expect(asked).toEqual(["A before now", "A before 180", "A before 60"]);
});

test("they are asked for once at a time", async () => {
  const { asked, ask } = server({ A: [1, 2].map((n) => candle(n)) }, 1);
  const book = new Book("X", "m1", ["A"], ask);
  await book.newest();
  expect(await Promise.all([book.older(), book.older()])).toEqual([true, false]);
  expect(asked).toHaveLength(2);
});

test("a source without older ones does not hold up the others", async () => {
  const { ask } = server({ A: [candle(5)], B: [candle(4), candle(5)] }, 1);
  const book = new Book("X", "m1", ["A", "B"], ask);
  await book.newest();
  expect(await book.older()).toBe(true);
  expect(minutes(book, "B")).toEqual([4, 5]);
});

test("after something was missed all that is held is right again, as far back as it goes", async () => {
  const rows = [1, 2, 3, 4, 5].map((n) => candle(n));
  const { ask } = server({ A: rows }, 2);
  const book = new Book("X", "m1", ["A"], ask);
  await book.newest();
  await book.older();
  rows.splice(1, 1, candle(2, 9));
  rows.push(candle(6), candle(7), candle(8));
  await book.again();
  expect(minutes(book, "A")).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(book.of("A").at(120)?.close).toBe(9);
});

test("what a failed load leaves behind is nothing", async () => {
  const book = new Book("X", "m1", ["A"], () => Promise.reject(new TypeError("no network")));
  await expect(book.newest()).rejects.toThrow(TypeError);
  expect(book.put("A", candle(1))).toBe("appended");
  expect(book.put("NONE", candle(1))).toBeUndefined();
});
