// @ts-check
// The pictures beside a market's ladder: depth over time, depth now, mid and spread over time.

import { el, mark, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { box, key } from "../core/widgets.js";
import * as grid from "../book/grid.js";
import { Chart } from "../draw/chart.js";
import * as heatmap from "../draw/heatmap.js";
import { heatBox } from "./heat.js";

export class Charts {
  /** @param {() => number} digits of prices @param {() => number} tick @param {() => void} onChange the cut-offs are others */
  constructor(digits, tick, onChange) {
    this.heat = heatBox(onChange);
    this.depthPlace = el("div", { class: "chart", role: "img", "aria-label": "Cumulative depth" });
    this.depth = box("depth", "Cumulative depth", this.depthPlace);
    this.midPlace = el("div", { class: "chart", role: "img", "aria-label": "Mid and spread over time" });
    this.mid = box("mid", "Mid and spread", this.midPlace);
    this.mid.more.append(el("span", { class: "legend" }, key("mid", "text"), key("spread", "muted", true)));
    this.depthPlot = new Chart(this.depthPlace, {
      series: [
        { label: "bids", colour: "bid", fill: "bid-fill", stepped: true },
        { label: "asks", colour: "ask", fill: "ask-fill", stepped: true },
      ],
      isTime: false,
      least: 0,
      y: format.short,
      x: (value) => format.price(value, digits()),
    });
    this.midPlot = new Chart(this.midPlace, {
      series: [
        // Between two quotes there was none of what lies between them.
        { label: "mid", colour: "text", width: 1.8, stepped: true },
        { label: "spread", colour: "muted", dash: [4, 3], scale: "second", width: 1.2, stepped: true },
      ],
      y: (value, step) => format.step(value, step, digits()),
      air: () => tick() * 2,
      second: (value, step) => format.step(value, step, digits()),
      wide: 50,
    });
  }

  /** @param {import("./market.js").Token} token @param {{ isOld: boolean, digits: number, tick: number, nowMs: number | null }} view */
  show({ book, depth, history, outcome }, { isOld, digits, tick, nowMs }) {
    const { heat } = this;
    const look = { lower: Number(heat.lower.value), upper: Number(heat.upper.value), tick, digits, seconds: depth.span(), nowMs, isOld };
    if (heat.canvas.clientHeight > 0) heatmap.draw(heat.canvas, depth, look);
    mark(heat.canvas, "aria-label", `Depth over time of ${format.plain(outcome, 100)}: sizes by price and second, the last ten minutes at most`);
    if (this.depthPlace.clientHeight > 0) this.depthPlot.set(grid.curve(book, tick));
    const [bids, asks] = [sum(book.levels("bid")), sum(book.levels("ask"))];
    put(this.depth.more, `${format.short(bids)} / ${format.short(asks)}`);
    mark(this.depth.more, "title", "shares bid and offered");
    mark(this.depth.box, "data-old", isOld ? "" : null);
    if (this.midPlace.clientHeight > 0) this.midPlot.set(history.columns());
  }

  /** The theme is another one. */
  repaint() {
    this.depthPlot.repaint();
    this.midPlot.repaint();
  }

  end() {
    this.depthPlot.end();
    this.midPlot.end();
  }
}

/** @param {{ size: number }[]} levels */
function sum(levels) {
  return levels.reduce((total, { size }) => total + size, 0);
}
