/** Numbers and times as text. */

const MAX_DECIMALS = 8;

/** The number of decimals with which all prices can be shown exactly, up to a maximum. */
export function decimalsOf(prices: Iterable<number>): number {
  let decimals = 0;
  for (const price of prices) {
    const text = String(price);
    if (text.includes("e")) return MAX_DECIMALS;
    const point = text.indexOf(".");
    if (point >= 0) decimals = Math.max(decimals, text.length - point - 1);
    if (decimals >= MAX_DECIMALS) return MAX_DECIMALS;
  }
  return decimals;
}

export function priceText(price: number, decimals: number): string {
  return price.toFixed(decimals);
}

/** A volume with all its decimals: the size of trades can have twelve. */
export function volumeText(volume: number): string {
  return volume.toLocaleString("en-US", { maximumFractionDigits: 12 });
}

/** The name of a field in words: "tickCount" is "tick count". */
export function wordsOf(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** The change from `from` to `to` in percent, with its sign; empty if a price is not above 0. */
export function changeText(from: number, to: number): string {
  if (from <= 0 || to <= 0) return "";
  const percent = ((to - from) / from) * 100;
  const text = Math.abs(percent).toFixed(2);
  if (Number(text) === 0) return "0.00 %";
  return `${percent < 0 ? "−" : "+"}${text} %`;
}

/** A duration in its two largest units, such as "3 h 20 min". */
export function durationText(seconds: number): string {
  const amounts: string[] = [];
  let rest = Math.round(seconds);
  for (const [unit, unitSeconds] of [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]] as const) {
    const amount = Math.floor(rest / unitSeconds);
    rest %= unitSeconds;
    if (amount > 0) amounts.push(`${amount} ${unit}`);
    // Two units that follow one another: seconds do not matter after hours.
    else if (amounts.length > 0) break;
    if (amounts.length === 2) break;
  }
  return amounts.join(" ") || "0 s";
}

interface Parts {
  readonly year: string;
  readonly month: string;
  readonly day: string;
  readonly hour: string;
  readonly minute: string;
  readonly second: string;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function parts(time: number, timeZone: string): Parts {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-GB", {
      timeZone, year: "numeric", month: "short", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
    });
    formats.set(timeZone, format);
  }
  const named = format.formatToParts(time * 1000).map(({ type, value }) => [type, value]);
  return Object.fromEntries(named) as unknown as Parts;
}

/** Whether an interval is a day or longer: those are always shown in UTC. */
export function isDaily(interval: string): boolean {
  return /^[DWM]/.test(interval);
}

/** Whether the candles of an interval may start within a minute. */
function hasSeconds(interval: string): boolean {
  return interval.startsWith("s");
}

/** The start of a candle, in full. */
export function instantText(time: number, interval: string, timeZone: string): string {
  const at = parts(time, isDaily(interval) ? "UTC" : timeZone);
  if (interval.startsWith("M")) return `${at.month} ${at.year}`;
  const day = `${at.day} ${at.month} ${at.year}`;
  if (isDaily(interval)) return day;
  return `${day} ${at.hour}:${at.minute}${hasSeconds(interval) ? `:${at.second}` : ""}`;
}

/** The start of a candle for the time axis: the date at the start of a day, otherwise the time. */
export function tickText(time: number, interval: string, timeZone: string): string {
  const at = parts(time, isDaily(interval) ? "UTC" : timeZone);
  if (hasSeconds(interval) && at.second !== "00") return `${at.hour}:${at.minute}:${at.second}`;
  if (!isDaily(interval) && (at.hour !== "00" || at.minute !== "00")) {
    return `${at.hour}:${at.minute}`;
  }
  if (at.day !== "01") return `${at.day} ${at.month}`;
  return at.month === "Jan" ? at.year : at.month;
}
