/** Draws a measurement on the chart, as a primitive of the chart library. */

import type {
  IPrimitivePaneRenderer, IPrimitivePaneView, ISeriesPrimitive, SeriesAttachedParameter, Time,
} from "lightweight-charts";
import type { Point } from "./measure";

export interface Box {
  readonly from: Point;
  readonly to: Point;
  readonly texts: readonly string[];
  readonly colours: { readonly line: string; readonly fill: string; readonly back: string; readonly text: string };
}

const FONT_PX = 12;
const LINE_PX = 17;
const PADDING_PX = 8;
const GAP_PX = 6;

type Target = Parameters<IPrimitivePaneRenderer["draw"]>[0];

export class MeasureBox implements ISeriesPrimitive<Time> {
  #box: Box | undefined;
  #attached: SeriesAttachedParameter<Time> | undefined;

  attached(parameters: SeriesAttachedParameter<Time>): void {
    this.#attached = parameters;
  }

  show(box: Box | undefined): void {
    this.#box = box;
    this.#attached?.requestUpdate();
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return [{ renderer: () => ({ draw: (target) => this.#draw(target) }), zOrder: () => "top" }];
  }

  #draw(target: Target): void {
    const box = this.#box;
    if (box === undefined || this.#attached === undefined) return;
    const from = place(this.#attached, box.from);
    const to = place(this.#attached, box.to);
    if (!from || !to) return;
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      drawArea(context, from, to, box);
      drawLabel(context, mediaSize, from, to, box);
    });
  }
}

interface Place {
  readonly x: number;
  readonly y: number;
}

function place({ chart, series }: SeriesAttachedParameter<Time>, point: Point): Place | undefined {
  const x = chart.timeScale().timeToCoordinate(point.time as Time);
  const y = series.priceToCoordinate(point.price);
  // The middle of a pixel, so that thin lines are sharp.
  return x === null || y === null ? undefined : { x: Math.round(x) + 0.5, y: Math.round(y) + 0.5 };
}

function drawArea(context: CanvasRenderingContext2D, from: Place, to: Place, { colours }: Box): void {
  context.fillStyle = colours.fill;
  context.fillRect(from.x, from.y, to.x - from.x, to.y - from.y);
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  context.strokeRect(from.x, from.y, to.x - from.x, to.y - from.y);
}

/** The texts, below a box that was drawn downwards and above one that was drawn upwards. */
function drawLabel(
  context: CanvasRenderingContext2D, size: { width: number; height: number }, from: Place, to: Place, box: Box,
): void {
  context.font = `${FONT_PX}px ${getComputedStyle(document.body).fontFamily}`;
  const width = Math.max(...box.texts.map((text) => context.measureText(text).width)) + 2 * PADDING_PX;
  const height = box.texts.length * LINE_PX + PADDING_PX;
  const wanted = to.y > from.y ? to.y + GAP_PX : to.y - GAP_PX - height;
  const top = Math.round(Math.max(0, Math.min(size.height - height, wanted))) + 0.5;
  const left = Math.round(Math.max(0, Math.min(size.width - width, (from.x + to.x - width) / 2))) + 0.5;
  context.fillStyle = box.colours.back;
  context.fillRect(left, top, width, height);
  context.strokeStyle = box.colours.line;
  context.strokeRect(left, top, width, height);
  context.fillStyle = box.colours.text;
  context.textBaseline = "middle";
  for (const [i, text] of box.texts.entries()) {
    context.fillText(text, left + PADDING_PX, top + PADDING_PX / 2 + (i + 0.5) * LINE_PX);
  }
}
