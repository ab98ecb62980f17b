/** Numbers and instants as text. */

const MOST_DECIMALS = 8;

/** How many decimals the prices need, so that all are shown with as many. */
export function decimalsOf(prices: Iterable<number>): number {
  let most = 0;
  for (const price of prices) {
    const text = String(price);
    if (text.includes("e")) return MOST_DECIMALS;
    const point = text.indexOf(".");
    if (point >= 0) most = Math.max(most, text.length - point - 1);
    if (most >= MOST_DECIMALS) return MOST_DECIMALS;
  }
  return most;
}

export function priceText(price: number, decimals: number): string {
  return price.toFixed(decimals);
}

export function volumeText(volume: number): string {
  return volume.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** How far `to` is from `from`, in percent with its sign. */
export function changeText(from: number, to: number): string {
  if (from === 0) return "";
  const percent = ((to - from) / from) * 100;
  const text = Math.abs(percent).toFixed(2);
  if (Number(text) === 0) return "0.00 %";
  return `${percent < 0 ? "−" : "+"}${text} %`;
}

interface Parts {
  readonly year: string;
  readonly month: string;
  readonly day: string;
  readonly hour: string;
  readonly minute: string;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function parts(time: number, timeZone: string): Parts {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-GB", {
      timeZone, year: "numeric", month: "short", day: "2-digit",
      hour: "2-digit", minute: "2-digit", hourCycle: "h23",
    });
    formats.set(timeZone, format);
  }
  const named = format.formatToParts(time * 1000).map(({ type, value }) => [type, value]);
  return Object.fromEntries(named) as unknown as Parts;
}

/** Days, weeks and months are UTC's, whatever zone the times are shown in. */
export function isDaily(interval: string): boolean {
  return /^[DWM]/.test(interval);
}

/** A candle's start in full. */
export function instantText(time: number, interval: string, timeZone: string): string {
  const at = parts(time, isDaily(interval) ? "UTC" : timeZone);
  if (interval.startsWith("M")) return `${at.month} ${at.year}`;
  const day = `${at.day} ${at.month} ${at.year}`;
  return isDaily(interval) ? day : `${day} ${at.hour}:${at.minute}`;
}

/** The same, as short as the time axis needs it: a day where one begins, else the time. */
export function tickText(time: number, interval: string, timeZone: string): string {
  const at = parts(time, isDaily(interval) ? "UTC" : timeZone);
  if (!isDaily(interval) && (at.hour !== "00" || at.minute !== "00")) {
    return `${at.hour}:${at.minute}`;
  }
  if (at.day !== "01") return `${at.day} ${at.month}`;
  return at.month === "Jan" ? at.year : at.month;
}
