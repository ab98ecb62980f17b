/** Whether ticks still arrive, in words. */

import type { Quote } from "./api";
import { durationText } from "./format";
import type { Series } from "./state";

/** Without a tick of any series for this long, the feed has stopped. */
const ALL_SILENT_MS = 60_000;
/** A single series is worth a notice later, as some instruments are rarely traded. */
const ONE_SILENT_MS = 600_000;

/** A sentence if the feed has stopped, or the series has no ticks any more; otherwise empty. */
export function stoppedText(quotes: readonly Quote[], { source, symbol }: Series): string {
  const silences = quotes.flatMap(({ silenceMs }) => (silenceMs === null ? [] : [silenceMs]));
  if (silences.length === 0) return "";
  const shortestMs = Math.min(...silences);
  if (shortestMs >= ALL_SILENT_MS) {
    return `No ticks for ${inWords(shortestMs)}: the feed or the engine has stopped. Run “homma status” to see which.`;
  }
  const shown = quotes.find((quote) => quote.symbol === symbol && quote.source === source);
  const ownMs = shown?.silenceMs ?? 0;
  if (ownMs < ONE_SILENT_MS) return "";
  return `No ticks of ${symbol} from ${source} for ${inWords(ownMs)}. Other series have ticks.`;
}

/** In whole minutes, as screen readers read each change aloud. */
function inWords(ms: number): string {
  return durationText(Math.floor(ms / 60_000) * 60);
}
