import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Live, type Connection } from "../src/live";

class FakeConnection implements Connection {
  readyState = 0;
  closed = false;
  readonly #handlers = new Map<string, ((event: unknown) => void)[]>();
  constructor(readonly url: string) {}
  addEventListener(type: string, handler: unknown): void {
    this.#handlers.set(type, [...(this.#handlers.get(type) ?? []), handler as (event: unknown) => void]);
  }
  close(): void {
    this.closed = true;
  }
  emit(type: string, data?: unknown): void {
    for (const handler of this.#handlers.get(type) ?? []) handler({ data: JSON.stringify(data) });
  }
  refuse(): void {
    this.readyState = 2;
    this.emit("error");
  }
}

let connections: FakeConnection[];
let calls: string[];
let live: Live;

beforeEach(() => {
  vi.useFakeTimers();
  connections = [];
  calls = [];
  const listener = {
    candle: ({ time }: { time: number }) => calls.push(`candle ${time}`),
    deleted: ({ time }: { time: number }) => calls.push(`deleted ${time}`),
    missed: () => calls.push("missed"),
    link: (link: string) => calls.push(link),
  };
  live = new Live(listener, (url) => {
    connections.push(new FakeConnection(url));
    return connections.at(-1)!;
  });
  live.follow("m1", [{ source: "A", symbol: "X Y" }, { source: "B", symbol: "X Y" }]);
});
afterEach(() => vi.useRealTimers());

test("it subscribes to the series, and passes events on", () => {
  expect(connections[0]!.url).toBe("api/live?interval=m1&series=A%3AX+Y&series=B%3AX+Y");
  connections[0]!.emit("open");
  connections[0]!.emit("candle", { time: 60 });
  connections[0]!.emit("deleted", { time: 60 });
  expect(calls).toEqual(["connecting", "live", "candle 60", "deleted 60"]);
});

test("a connection that the browser restores has missed nothing, unless the server sends a reset", () => {
  connections[0]!.emit("open");
  connections[0]!.emit("error");
  connections[0]!.emit("open");
  expect(calls).toEqual(["connecting", "live", "lost", "live"]);
  connections[0]!.emit("reset");
  expect(calls.at(-1)).toBe("missed");
  expect(connections).toHaveLength(1);
});

test("a refused connection is retried with growing delays, and then reports missed changes", () => {
  connections[0]!.emit("open");
  connections[0]!.refuse();
  vi.advanceTimersByTime(1_000);
  expect(connections).toHaveLength(2);
  connections[1]!.refuse();
  vi.advanceTimersByTime(1_999);
  expect(connections).toHaveLength(2);
  vi.advanceTimersByTime(1);
  connections[2]!.emit("open");
  expect(calls.slice(-2)).toEqual(["live", "missed"]);
});

test("following other series closes the old connection", () => {
  live.follow("h1", []);
  expect(connections[0]!.closed).toBe(true);
  connections[0]!.refuse();
  vi.advanceTimersByTime(60_000);
  expect(connections).toHaveLength(2);
});
