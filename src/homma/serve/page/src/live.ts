/** The live stream of candle changes, which reconnects. */

import { liveUrl } from "./api";
import type { Candle } from "./fields";
import type { Series } from "./state";

export type Link = "connecting" | "live" | "lost";
export type LiveCandle = Candle & Series & { readonly interval: string };

export type DeletedCandle = Series & { readonly interval: string; readonly time: number };

export interface Listener {
  candle(candle: LiveCandle): void;
  /** The candle no longer exists. */
  deleted(candle: DeletedCandle): void;
  /** Changes were missed that the server cannot send again. */
  missed(): void;
  link(link: Link): void;
}

const CLOSED = 2;
const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 15_000;

/** The used part of EventSource. */
export type Connection = Pick<EventSource, "addEventListener" | "close" | "readyState">;

export class Live {
  #connection: Connection | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #retryMs = MIN_RETRY_MS;

  constructor(
    private readonly listener: Listener,
    private readonly connect: (url: string) => Connection = (url) => new EventSource(url),
  ) {}

  follow(interval: string, series: readonly Series[]): void {
    this.close();
    this.#retryMs = MIN_RETRY_MS;
    this.#open(liveUrl(interval, series), false);
  }

  close(): void {
    clearTimeout(this.#retryTimer);
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** `isRetry`: a new connection has no Last-Event-ID, so the changes in between must be loaded. */
  #open(url: string, isRetry: boolean): void {
    const connection = this.connect(url);
    this.#connection = connection;
    this.listener.link(isRetry ? "lost" : "connecting");
    connection.addEventListener("open", () => {
      this.#retryMs = MIN_RETRY_MS;
      this.listener.link("live");
      if (isRetry) this.listener.missed();
      isRetry = false;
    });
    connection.addEventListener("candle", (event) => this.listener.candle(dataOf<LiveCandle>(event)));
    connection.addEventListener("deleted", (event) => {
      this.listener.deleted(dataOf<DeletedCandle>(event));
    });
    connection.addEventListener("reset", () => this.listener.missed());
    connection.addEventListener("error", () => {
      if (connection !== this.#connection) return;
      this.listener.link("lost");
      // The browser reconnects by itself, unless the server refused the request.
      if (connection.readyState === CLOSED) this.#retry(url);
    });
  }

  #retry(url: string): void {
    this.close();
    this.#retryTimer = setTimeout(() => this.#open(url, true), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }
}

function dataOf<T>(event: Event): T {
  return JSON.parse((event as MessageEvent<string>).data) as T;
}
