/** A group of lines on the chart, such as those of other sources, or of studies. */

import { LineSeries, LineStyle, type IChartApi, type ISeriesApi, type UTCTimestamp } from "lightweight-charts";
import type { PriceFormatCustom } from "lightweight-charts";

export interface Line {
  readonly colour: string;
  readonly points: readonly LinePoint[];
  readonly isDashed?: boolean;
}

export interface LinePoint {
  readonly time: number;
  readonly value: number;
}

export class Lines {
  #series: ISeriesApi<"Line">[] = [];

  /** `isLabelled`: whether the price axis shows the last values. */
  constructor(private readonly chart: IChartApi, private readonly width: 1 | 2, private readonly isLabelled: boolean) {}

  draw(lines: readonly Line[], priceFormat: PriceFormatCustom): void {
    for (const series of this.#series.splice(lines.length)) this.chart.removeSeries(series);
    for (const [i, { colour, points, isDashed }] of lines.entries()) {
      this.#series[i] ??= this.chart.addSeries(LineSeries, {
        lineWidth: this.width, priceLineVisible: false, lastValueVisible: this.isLabelled,
        crosshairMarkerVisible: this.isLabelled,
      });
      this.#series[i].applyOptions({
        color: colour, priceFormat, lineStyle: isDashed ? LineStyle.Dashed : LineStyle.Solid,
      });
      this.#series[i].setData(points.map(drawn));
    }
  }

  /** Draw one changed point of a line. */
  change(index: number, point: LinePoint, isReplaced: boolean): void {
    this.#series[index]?.update(drawn(point), isReplaced);
  }

  data(): unknown[][] {
    return this.#series.map((series) => [...series.data()]);
  }
}

function drawn({ time, value }: LinePoint) {
  return { time: time as UTCTimestamp, value };
}
