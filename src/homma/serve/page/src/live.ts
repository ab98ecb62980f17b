/** Candles as they change, over a connection that comes back. */

import { liveAddress } from "./api";
import type { Candle } from "./candles";
import type { Series } from "./state";

export type Link = "connecting" | "live" | "lost";
export type LiveCandle = Candle & Series & { readonly interval: string };

export type Gone = Series & { readonly interval: string; readonly time: number };

export interface Listener {
  candle(candle: LiveCandle): void;
  /** There is no such candle any more. */
  gone(gone: Gone): void;
  /** Something was missed that the server cannot send again. */
  missed(): void;
  link(link: Link): void;
}

const CLOSED = 2;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

/** The part of EventSource that is used. */
export type Connection = Pick<EventSource, "addEventListener" | "close" | "readyState">;

export class Live {
  #connection: Connection | undefined;
  #waiting: ReturnType<typeof setTimeout> | undefined;
  #waitMs = FIRST_WAIT_MS;

  constructor(
    private readonly listener: Listener,
    private readonly connect: (address: string) => Connection = (to) => new EventSource(to),
  ) {}

  follow(interval: string, followed: readonly Series[]): void {
    this.close();
    this.#waitMs = FIRST_WAIT_MS;
    this.#open(liveAddress(interval, followed), false);
  }

  close(): void {
    clearTimeout(this.#waiting);
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** `again`: a new connection knows no Last-Event-ID, so what lies between must be loaded. */
  #open(address: string, again: boolean): void {
    const connection = this.connect(address);
    this.#connection = connection;
    this.listener.link(again ? "lost" : "connecting");
    connection.addEventListener("open", () => {
      this.#waitMs = FIRST_WAIT_MS;
      this.listener.link("live");
      if (again) this.listener.missed();
      again = false;
    });
    connection.addEventListener("candle", (event) => this.listener.candle(said<LiveCandle>(event)));
    connection.addEventListener("gone", (event) => this.listener.gone(said<Gone>(event)));
    connection.addEventListener("reset", () => this.listener.missed());
    connection.addEventListener("error", () => {
      if (connection !== this.#connection) return;
      this.listener.link("lost");
      // The browser tries again by itself, except where the server answered and refused.
      if (connection.readyState === CLOSED) this.#openLater(address);
    });
  }

  #openLater(address: string): void {
    this.close();
    this.#waiting = setTimeout(() => this.#open(address, true), this.#waitMs);
    this.#waitMs = Math.min(this.#waitMs * 2, LONGEST_WAIT_MS);
  }
}

function said<T>(event: Event): T {
  return JSON.parse((event as MessageEvent<string>).data) as T;
}
