// @ts-check
// What every page begins with is asked for as soon as this module is here, while the others
// are still on their way. Each early answer is taken once.

import { READ } from "./reads.js";

/** Addresses are relative to the document: the page may lie below any path. */
export const base = document.baseURI.replace(/[?#].*$/, "");

/** The overview is what the address names. */
export const isOverview = /^(#\/?)?$/.test(location.hash);

/** The newest second, all of it. */
export const NEWEST = "v1/history?limit=1";
/** Connections that are shown at once: those in trouble first. */
export const CONNECTIONS = "v1/connections?limit=60";

/** @type {Map<string, Promise<Response>>} */
const early = new Map();
for (const path of isOverview ? ["", "health", NEWEST, CONNECTIONS] : ["", "health"]) {
  const url = new URL(path, base).href;
  const reply = fetch(url, READ);
  // Who takes the answer learns of a failure.
  reply.catch(() => {});
  early.set(url, reply);
}

/** @param {string} url @param {RequestInit} options @returns {Promise<Response>} */
export function ask(url, options) {
  const reply = early.get(url);
  early.delete(url);
  return reply ?? fetch(url, options);
}
