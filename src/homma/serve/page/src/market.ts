/** The overview of all series, each with a line of its last closes. */

import type { Quote } from "./api";
import { changeText, decimalsOf, priceText } from "./format";
import { seriesName, type Series } from "./state";
import { matchingNames } from "./typing";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 72;
const HEIGHT = 22;

interface Row {
  readonly item: HTMLLIElement;
  readonly link: HTMLAnchorElement;
  readonly line: SVGPolylineElement;
  readonly last: HTMLSpanElement;
  readonly change: HTMLSpanElement;
}

/** The points of a line through the closes; a flat line is in the middle. */
export function sparkline(closes: readonly number[], width = WIDTH, height = HEIGHT): string {
  const low = Math.min(...closes);
  const high = Math.max(...closes);
  const step = closes.length > 1 ? width / (closes.length - 1) : 0;
  const y = (close: number) => (high === low ? 0.5 : (high - close) / (high - low));
  return closes.map((close, i) => `${(i * step).toFixed(1)},${(1 + y(close) * (height - 2)).toFixed(1)}`).join(" ");
}

export class Market {
  readonly #rows = new Map<string, Row>();
  #filterText = "";

  constructor(
    private readonly list: HTMLUListElement,
    filter: HTMLInputElement,
    private readonly urlOf: (quote: Quote) => string,
    private readonly open: (quote: Quote) => void,
  ) {
    filter.addEventListener("input", () => {
      this.#filterText = filter.value;
      this.#applyFilter();
    });
  }

  /** Show the quotes in the order of `order`. */
  show(quotes: readonly Quote[], order: readonly Series[], shown: Series): void {
    const positions = new Map(order.map((series, at) => [seriesName(series), at]));
    const position = (quote: Quote) => positions.get(seriesName(quote)) ?? order.length;
    const sorted = [...quotes].sort((a, b) => position(a) - position(b));
    const known = new Set(sorted.map(seriesName));
    for (const [key, row] of this.#rows) {
      if (!known.has(key)) {
        row.item.remove();
        this.#rows.delete(key);
      }
    }
    let previous: Element | null = null;
    for (const quote of sorted) {
      const row = this.#rows.get(seriesName(quote)) ?? this.#createRow(quote);
      this.#fill(row, quote, seriesName(quote) === seriesName(shown));
      const next: Element | null = previous ? previous.nextElementSibling : this.list.firstElementChild;
      if (next !== row.item) this.list.insertBefore(row.item, next);
      previous = row.item;
    }
    this.#applyFilter();
  }

  #createRow(quote: Quote): Row {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const svg = document.createElementNS(SVG, "svg");
    const line = document.createElementNS(SVG, "polyline");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("aria-hidden", "true");
    svg.append(line);
    const parts = ["symbol", "faint", "last", "change"].map((className) => {
      const part = document.createElement("span");
      part.className = className;
      return part;
    }) as [HTMLSpanElement, HTMLSpanElement, HTMLSpanElement, HTMLSpanElement];
    const [symbol, source, last, change] = parts;
    symbol.textContent = quote.symbol;
    source.textContent = quote.source;
    link.append(symbol, source, svg, last, change);
    link.addEventListener("click", (event) => {
      // Other clicks open the link in a new tab or window.
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      this.open(quote);
    });
    item.append(link);
    const row = { item, link, line, last, change };
    this.#rows.set(seriesName(quote), row);
    return row;
  }

  #fill(row: Row, quote: Quote, isCurrent: boolean): void {
    const { close } = quote.candle;
    const closes = quote.closes.length > 0 ? quote.closes : [close];
    const first = closes[0] ?? close;
    row.link.href = this.urlOf(quote);
    if (isCurrent) row.link.setAttribute("aria-current", "true");
    else row.link.removeAttribute("aria-current");
    row.last.textContent = priceText(close, decimalsOf(closes));
    row.change.textContent = changeText(first, close);
    row.link.dataset["trend"] = close < first ? "down" : "up";
    row.line.setAttribute("points", sparkline(closes));
  }

  #applyFilter(): void {
    const visible = new Set(matchingNames([...this.#rows.keys()], this.#filterText));
    for (const [key, row] of this.#rows) row.item.hidden = !visible.has(key);
  }
}
