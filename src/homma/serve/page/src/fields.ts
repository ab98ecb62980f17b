// Rendered by `homma render` from the table of fields.

/** A candle, as the API and the live stream send it. */
export interface Candle {
  /** Start of the interval, UTC. */
  readonly dateTime: string;
  /** The same in seconds since the epoch. */
  readonly time: number;
  /** Price of the first tick, ordered by dateTime, then number. */
  readonly open: number;
  /** Highest price. */
  readonly high: number;
  /** Lowest price. */
  readonly low: number;
  /** Price of the last tick, ordered by dateTime, then number. */
  readonly close: number;
  /** Number of ticks. Duplicates count once. Traded size, exact, if the candle is made of trades. */
  readonly volume: number;
  /** Number of ticks. Duplicates count once. */
  readonly tickCount: number;
  /** Sum of price times size over the trades, exact. Only in candles of trades. */
  readonly turnover: number | null;
  /** Whether the watermark of the series has passed the end of the interval. Never changes back to false. */
  readonly isFinal: boolean | null;
  /** 0 while the candle is open, 1 when it becomes final, plus 1 for each correction. */
  readonly revision: number | null;
}

/** All fields but `time`, in the order of records. */
export const FIELDS = ["dateTime", "open", "high", "low", "close", "volume", "tickCount", "turnover", "isFinal", "revision"] as const;

/** The fields that are prices. */
export const PRICES = ["open", "high", "low", "close"] as const;

/** The fields that are amounts. */
export const AMOUNTS = ["volume", "tickCount", "turnover"] as const;
