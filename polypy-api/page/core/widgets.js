// @ts-check
// Small parts that several views have.

import { el, mark, put } from "./dom.js";

/** A state: shape and word. @param {import("./state.js").Look} [look] @returns {any} */
export function badge(look = { shape: "dotted", word: "–", tone: "pending" }) {
  return el("span", { class: "state", "data-tone": look.tone }, el("i", { "data-shape": look.shape, "aria-hidden": "true" }), el("b", { text: look.word }));
}

/** @param {any} badge @param {import("./state.js").Look} look */
export function setBadge(badge, look) {
  mark(badge, "data-tone", look.tone);
  mark(badge.firstChild, "data-shape", look.shape);
  put(badge.children[1], look.word);
}

/**
 * A box with a heading.
 * @param {string} name class @param {string} title @param {...(Node | null)} children
 * @returns {{ box: any, head: any, more: any }}
 */
export function box(name, title, ...children) {
  const more = el("span", { class: "more" });
  const head = el("div", { class: "head" }, el("h2", { text: title }), more);
  const id = `h-${name.split(" ")[0]}`;
  head.firstChild.id = id;
  return { box: el("section", { class: `box ${name}`, "aria-labelledby": id }, head, ...children), head, more };
}

/** A list of terms and values; gives the value's element by its term. @param {string[]} names @returns {{ list: any, of: Record<string, any> }} */
export function facts(names) {
  /** @type {Record<string, any>} */
  const of = {};
  const list = el("dl", { class: "facts" });
  for (const name of names) list.append(el("dt", { text: name }), (of[name] = el("dd", { text: "–" })));
  return { list, of };
}

/** What a line of a chart is. @param {string} word @param {string} colour name @param {boolean} [dash] */
export function key(word, colour, dash = false) {
  const line = el("i", { class: dash ? "dash" : null, "aria-hidden": "true" });
  line.style.color = `var(--${colour})`;
  return el("span", {}, line, word);
}
