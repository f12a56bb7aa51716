// @ts-check
// Time series and curves by uPlot, in the theme's colours and at the size of their box.

import uPlot from "../vendor/uplot.js";
import { clock } from "../core/format.js";
import { colours, SANS } from "./canvas.js";

/**
 * @typedef {{ label: string, colour: string, dash?: number[], fill?: string, width?: number, stepped?: boolean, scale?: string }} Series
 * colour and fill are names of the theme's colours.
 */

/** A chart shows a minute at least, so that a page just opened does not stretch its first seconds. */
const LEAST_S = 60;

export class Chart {
  /**
   * @param {HTMLElement} box
   * @param {{ series: Series[], isTime?: boolean, bands?: any[], y: (value: number, step: number) => string, x?: (value: number) => string,
   *   least?: number | null, air?: () => number, second?: (value: number, step: number) => string, wide?: number }} looks
   */
  constructor(box, looks) {
    this.box = box;
    this.looks = looks;
    /** @type {any} */
    this.plot = null;
    /** @type {any} */
    this.data = null;
    this.observer = new ResizeObserver(() => this.size());
    this.observer.observe(box);
  }

  build() {
    this.plot?.destroy();
    const colour = colours();
    const { looks } = this;
    const grid = { stroke: colour.line, width: 0.5 };
    const axis = { stroke: colour.muted, grid, ticks: { show: false }, font: `11px ${SANS}` };
    const last = (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map((value) => (value === null ? "" : looks.y(value, splits.length > 1 ? splits[1] - splits[0] : 1)));
    /** @type {any} */
    const options = {
      ...this.room(),
      padding: [8, looks.second ? 0 : 18, 0, 0],
      legend: { show: false },
      cursor: { show: true, y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: {
        x: { time: looks.isTime ?? true, range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => (looks.isTime === false ? [low, high] : [Math.min(low, high - LEAST_S), high]) },
        y: { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => this.range(low, high) },
        ...(looks.second ? { second: { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => [0, Math.max(high * 2.5, 1e-9)] } } : {}),
      },
      axes: [
        { ...axis, size: 22, gap: 2, space: 70, ...(looks.isTime === false ? { values: (/** @type {any} */ _, /** @type {number[]} */ s) => s.map(looks.x ?? String) } : { values: TIMES }) },
        { ...axis, size: looks.wide ?? 46, gap: 4, space: 26, values: last },
        ...(looks.second ? [{ ...axis, scale: "second", side: 1, size: looks.wide ?? 46, gap: 4, space: 30, grid: { show: false }, values: (/** @type {any} */ _, /** @type {number[]} */ s) => s.map((value) => looks.second?.(value, s.length > 1 ? s[1] - s[0] : 1)) }] : []),
      ],
      series: [
        {},
        ...looks.series.map((one) => ({
          label: one.label,
          scale: one.scale ?? "y",
          stroke: colour[one.colour],
          width: one.width ?? 1.6,
          dash: one.dash,
          fill: one.fill ? colour[one.fill] : undefined,
          paths: one.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
          points: { show: false },
        })),
      ],
      bands: looks.bands?.map((band) => ({ ...band, fill: colour[band.fill] })),
    };
    this.plot = new uPlot(options, this.data, this.box);
  }

  /** @param {number} low @param {number} high */
  range(low, high) {
    const least = this.looks.least;
    if (low === null || high === null || !Number.isFinite(low)) return [0, 1];
    if (least !== undefined && least !== null) return [least, Math.max(high + (high - least) * 0.08, least + 1e-9)];
    const air = Math.max((high - low) * 0.15, this.looks.air?.() ?? 1e-6);
    return [low - air, high + air];
  }

  room() {
    return { width: Math.max(this.box.clientWidth, 40), height: Math.max(this.box.clientHeight, 40) };
  }

  size() {
    const { width, height } = this.room();
    if (this.plot && (this.plot.width !== width || this.plot.height !== height)) this.plot.setSize({ width, height });
  }

  /** @param {any} data columns, the first one of times in seconds or of x */
  set(data) {
    this.data = data;
    if (this.plot) this.plot.setData(data);
    else this.build();
  }

  /** The theme is another one. */
  repaint() {
    if (this.plot) this.build();
  }

  end() {
    this.observer.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }
}

/** Half as wide is a time of day. */
const HALF_TIME = 24;

/** Times that would stand over the numbers of another axis are left out. @param {any} plot @param {number[]} splits */
function TIMES(plot, splits) {
  const fine = splits.length > 1 && splits[1] - splits[0] < 60;
  const wide = plot.bbox.width / (window.devicePixelRatio || 1);
  return splits.map((at) => {
    const x = plot.valToPos(at, "x");
    return wide > 0 && (x < HALF_TIME || x > wide - HALF_TIME) ? "" : clock(at * 1000).slice(0, fine ? 8 : 5);
  });
}
