// @ts-check
// The heatmap's box: the canvas and its two cut-offs.

import { el, put } from "../core/dom.js";
import * as format from "../core/format.js";
import { box, key } from "../core/widgets.js";
import { sizeOf } from "../draw/heatmap.js";

/** What is below 1 share is dust in the scale, and what is above 10,000 is as dark as can be. */
const CUT_OFFS = [52, 153];

/** @param {() => void} onChange @returns {{ box: any, canvas: any, lower: any, upper: any }} */
export function heatBox(onChange) {
  const canvas = el("canvas", { role: "img", "aria-label": "Depth over time" });
  const [lower, upper] = [range("from", CUT_OFFS[0], onChange), range("to", CUT_OFFS[1], onChange)];
  const ramp = el("span", { class: "ramp", "aria-hidden": "true" });
  const made = box("heat", "Depth over time", canvas, el("div", { class: "foot" }, el("span", { class: "legend" }, key("best bid", "bid"), key("best ask", "ask")), el("span", { class: "end" }), lower.label, ramp, upper.label));
  put(made.more, "shares by price and second; hatched: not seen");
  return { box: made.box, canvas, lower: lower.input, upper: upper.input };
}

/** @param {string} title @param {number} value @param {() => void} onChange */
function range(title, value, onChange) {
  const output = el("output", { text: words(value) });
  const input = el("input", { type: "range", min: "1", max: "255", value: String(value), "aria-label": `${title} cut-off`, "aria-valuetext": words(value) });
  input.addEventListener("input", () => {
    put(output, words(Number(input.value)));
    input.setAttribute("aria-valuetext", words(Number(input.value)));
    onChange();
  });
  return { input, label: el("label", {}, title, input, output) };
}

/** @param {number} byte */
function words(byte) {
  const size = sizeOf(byte);
  return size >= 1000 ? format.short(size) : format.size(size.toPrecision(2));
}
