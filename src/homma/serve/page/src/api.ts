/** What the server is asked for. Addresses are relative: the page may stand below any path. */

import type { Candle } from "./candles";
import type { Series } from "./state";

export interface Interval {
  readonly code: string;
  readonly name: string;
}

/** The newest candle of a series, with the closes that led to it. */
export interface Quote extends Series {
  readonly candle: Candle;
  readonly closes: readonly number[];
}

/** The server wants a token first. */
export class TokenWanted extends Error {}

/** The server refused, and said why. */
export class Refused extends Error {}

async function asked<T>(path: string, query: Record<string, string> = {}): Promise<T> {
  const said = new URLSearchParams(query).toString();
  const answer = await fetch(said === "" ? path : `${path}?${said}`, {
    headers: { Accept: "application/json" },
  });
  if (answer.status === 401) throw new TokenWanted();
  if (!answer.ok) throw new Refused(await reason(answer));
  return (await answer.json()) as T;
}

async function reason(answer: Response): Promise<string> {
  const problem = (await answer.json().catch(() => ({}))) as { detail?: string; title?: string };
  return problem.detail ?? problem.title ?? `the server answered ${answer.status}`;
}

export async function series(): Promise<readonly Series[]> {
  return (await asked<{ series: Series[] }>("api/series")).series;
}

export function intervals(): Promise<readonly Interval[]> {
  return asked<Interval[]>("api/intervals");
}

export interface Wanted extends Series {
  readonly interval: string;
}

/** The newest `limit` candles before `to`, oldest first. */
export async function candles(wanted: Wanted, limit: number, to?: string): Promise<Candle[]> {
  const { source, symbol, interval } = wanted;
  const query = { source, symbol, interval, limit: String(limit), ...(to === undefined ? {} : { to }) };
  return (await asked<{ candles: Candle[] }>("api/candles", query)).candles;
}

export async function overview(interval: string): Promise<readonly Quote[]> {
  return (await asked<{ series: Quote[] }>("api/overview", { interval })).series;
}

export function liveAddress(interval: string, followed: readonly Series[]): string {
  const query = new URLSearchParams({ interval });
  for (const { source, symbol } of followed) query.append("series", `${source}:${symbol}`);
  return `api/live?${query}`;
}

export async function login(token: string): Promise<boolean> {
  const answer = await fetch("api/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  return answer.ok;
}
