/** Saves data as a file. */

import type { Colours } from "./chart";
import type { ChartData } from "./chart-data";
import { csv } from "./csv";
import { instantText } from "./format";

const HEAD_PX = 40;

/** The first and last visible time. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Save the candles in a range as CSV. */
export function saveCsv(data: ChartData, { from, to }: Range): void {
  const { symbol, interval, sources } = data;
  const rows = sources.map((source) => ({ source, symbol, interval, candles: data.of(source).within(from, to) }));
  save(new Blob([csv(rows)], { type: "text/csv" }), fileName([symbol, ...sources, interval], "csv"));
}

/** Save the picture of a chart that shows a range. */
export async function savePng(
  picture: HTMLCanvasElement, { symbol, interval, sources }: ChartData, { from, to }: Range, timeZone: string, colours: Colours,
): Promise<void> {
  const span = [from, to].map((time) => instantText(time, interval, timeZone)).join(" – ");
  const title = `${symbol}  ${sources.join(", ")}  ${interval}  ${span} ${timeZone}`;
  save(await pngOf(picture, title, colours), fileName([symbol, ...sources, interval], "png"));
}

function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // By then the download has started, and the memory can be freed.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A file name that is valid on every file system. */
export function fileName(parts: readonly string[], extension: string): string {
  return `${parts.join("-").replaceAll(/[^\w.-]+/g, "_")}.${extension}`;
}

/** A PNG of the chart with a title above. */
async function pngOf(chart: HTMLCanvasElement, title: string, colours: Colours): Promise<Blob> {
  const scale = devicePixelRatio;
  const canvas = document.createElement("canvas");
  canvas.width = chart.width;
  canvas.height = chart.height + HEAD_PX * scale;
  const context = canvas.getContext("2d")!;
  context.fillStyle = colours.back;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(chart, 0, HEAD_PX * scale);
  context.fillStyle = colours.text;
  context.font = `${13 * scale}px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "middle";
  const middle = (HEAD_PX / 2) * scale;
  context.fillText(title, 12 * scale, middle);
  context.textAlign = "right";
  context.fillText("Charts by TradingView", canvas.width - 12 * scale, middle);
  return await new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the image is too large"))), "image/png");
  });
}
