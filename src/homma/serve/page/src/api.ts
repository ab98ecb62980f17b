/** Requests to the server. URLs are relative, as the page may be served below any path. */

import type { Candle } from "./fields";
import type { ActiveSeries } from "./ranking";
import type { Series } from "./state";

export interface Interval {
  readonly code: string;
  readonly name: string;
}

/** The newest candle of a series, and its last closes. */
export interface Quote extends Series {
  /** How long ago the server's newest tick of the series arrived; null if that is unknown. */
  readonly silenceMs: number | null;
  readonly candle: Candle;
  readonly closes: readonly number[];
}

/** The server requires a token. */
export class TokenRequired extends Error {}

/** The server refused the request; the message is its reason. */
export class RequestRefused extends Error {}

async function getJson<T>(path: string, parameters: Record<string, string> = {}): Promise<T> {
  const query = new URLSearchParams(parameters).toString();
  const answer = await fetch(query === "" ? path : `${path}?${query}`, {
    headers: { Accept: "application/json" },
  });
  if (answer.status === 401) throw new TokenRequired();
  if (!answer.ok) throw new RequestRefused(await reason(answer));
  return (await answer.json()) as T;
}

async function reason(answer: Response): Promise<string> {
  const problem = (await answer.json().catch(() => ({}))) as { detail?: string; title?: string };
  return problem.detail ?? problem.title ?? `the server answered ${answer.status}`;
}

export async function series(): Promise<readonly ActiveSeries[]> {
  return (await getJson<{ series: ActiveSeries[] }>("api/series")).series;
}

export function intervals(): Promise<readonly Interval[]> {
  return getJson<Interval[]>("api/intervals");
}

export interface CandleQuery extends Series {
  readonly interval: string;
}

/** Candles, oldest first. There may be more if they are not complete: the lake has not answered yet. */
export interface CandlesAnswer {
  readonly candles: Candle[];
  readonly complete: boolean;
}

/** The newest `limit` candles before `to`. */
export function candles(series: CandleQuery, limit: number, to?: string): Promise<CandlesAnswer> {
  const { source, symbol, interval } = series;
  const query = { source, symbol, interval, limit: String(limit), ...(to === undefined ? {} : { to }) };
  return getJson<CandlesAnswer>("api/candles", query);
}

export async function overview(interval: string): Promise<readonly Quote[]> {
  return (await getJson<{ series: Quote[] }>("api/overview", { interval })).series;
}

export function liveUrl(interval: string, series: readonly Series[]): string {
  const query = new URLSearchParams({ interval });
  for (const { source, symbol } of series) query.append("series", `${source}:${symbol}`);
  return `api/live?${query}`;
}

/** Log in; false if the token is wrong. */
export async function login(token: string): Promise<boolean> {
  const answer = await fetch("api/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  return answer.ok;
}
