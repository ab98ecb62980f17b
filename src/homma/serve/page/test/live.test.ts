import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Live, type Connection } from "../src/live";

class Wire implements Connection {
  readyState = 0;
  closed = false;
  readonly #heard = new Map<string, ((event: unknown) => void)[]>();
  constructor(readonly address: string) {}
  addEventListener(type: string, then: unknown): void {
    this.#heard.set(type, [...(this.#heard.get(type) ?? []), then as (event: unknown) => void]);
  }
  close(): void {
    this.closed = true;
  }
  say(type: string, data?: unknown): void {
    for (const then of this.#heard.get(type) ?? []) then({ data: JSON.stringify(data) });
  }
  refused(): void {
    this.readyState = 2;
    this.say("error");
  }
}

let wires: Wire[];
let heard: string[];
let live: Live;

beforeEach(() => {
  vi.useFakeTimers();
  wires = [];
  heard = [];
  const listener = {
    candle: ({ time }: { time: number }) => heard.push(`candle ${time}`),
    gone: ({ time }: { time: number }) => heard.push(`gone ${time}`),
    missed: () => heard.push("missed"),
    link: (link: string) => heard.push(link),
  };
  live = new Live(listener, (address) => {
    wires.push(new Wire(address));
    return wires.at(-1)!;
  });
  live.follow("m1", [{ source: "A", symbol: "X Y" }, { source: "B", symbol: "X Y" }]);
});
afterEach(() => vi.useRealTimers());

test("it asks for the series by name, and hands on what comes", () => {
  expect(wires[0]!.address).toBe("api/live?interval=m1&series=A%3AX+Y&series=B%3AX+Y");
  wires[0]!.say("open");
  wires[0]!.say("candle", { time: 60 });
  wires[0]!.say("gone", { time: 60 });
  expect(heard).toEqual(["connecting", "live", "candle 60", "gone 60"]);
});

test("a connection that the browser mends has missed nothing, unless the server says so", () => {
  wires[0]!.say("open");
  wires[0]!.say("error");
  wires[0]!.say("open");
  expect(heard).toEqual(["connecting", "live", "lost", "live"]);
  wires[0]!.say("reset");
  expect(heard.at(-1)).toBe("missed");
  expect(wires).toHaveLength(1);
});

test("one that was refused is made anew, later and later, and then something was missed", () => {
  wires[0]!.say("open");
  wires[0]!.refused();
  vi.advanceTimersByTime(1_000);
  expect(wires).toHaveLength(2);
  wires[1]!.refused();
  vi.advanceTimersByTime(1_999);
  expect(wires).toHaveLength(2);
  vi.advanceTimersByTime(1);
  wires[2]!.say("open");
  expect(heard.slice(-2)).toEqual(["live", "missed"]);
});

test("to follow something else ends what was", () => {
  live.follow("h1", []);
  expect(wires[0]!.closed).toBe(true);
  wires[0]!.refused();
  vi.advanceTimersByTime(60_000);
  expect(wires).toHaveLength(2);
});
