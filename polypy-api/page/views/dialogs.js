// @ts-check
// What lies over or in the place of a screen: help, a section of the runbook, the login.

import { el, put } from "../core/dom.js";
import * as format from "../core/format.js";

const KEYS = /** @type {const} */ ([
  ["1  2", "overview, markets"],
  ["/", "search markets"],
  ["↑ ↓ PgUp PgDn Home End", "move in a list or scroll the ladder"],
  ["Enter", "open the market"],
  ["Esc", "back"],
  ["o", "the other outcome"],
  ["c", "centre the ladder"],
  ["+  -", "more or fewer prices a row"],
  ["t", "a table in the place of the ladder"],
  ["r", "the newest order of the list"],
  ["l", "light or dark"],
  ["?", "this help"],
]);
const WORDS = /** @type {const} */ ([
  ["● verified", "the exchange's own hash came out of all levels of this book at the last check, and nothing has contradicted it since"],
  ["○ live", "nothing contradicts the book, and no hash of the exchange confirms it at the moment"],
  ["▲ stale", "something speaks against the book: it is greyed and hatched, and must not be traded on. The reason stands beside it"],
  ["◌ pending", "no book has come yet"],
  ["■ settled", "the last book of a market that is over"],
  ["hatched time", "nobody looked, or the book was not the exchange's then: nothing is drawn over it"],
]);

/** @param {any} dialog */
function shown(dialog) {
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (/** @type {any} */ event) => event.target === dialog && dialog.close());
  dialog.showModal();
  return dialog;
}

/** @param {boolean} keys whether single keys are taken @param {(on: boolean) => void} onKeys */
export function help(keys, onKeys) {
  const box = el("input", { type: "checkbox", checked: keys, on: { change: () => onKeys(box.checked) } });
  const terms = (/** @type {readonly (readonly [string, string])[]} */ list, /** @type {string} */ name) =>
    el("dl", { class: "keys" }, ...list.flatMap(([term, text]) => [el("dt", {}, ...(name === "kbd" ? term.split(" ").filter(Boolean).map((key) => el("kbd", { text: key })) : [el("b", { text: term })])), el("dd", { text })]));
  return shown(
    el("dialog", { "aria-labelledby": "help-title" },
      el("div", { class: "inside" },
        el("h2", { id: "help-title", text: "Help" }),
        el("h3", { text: "What a state says" }),
        terms(WORDS, "b"),
        el("h3", { text: "Keys" }),
        terms(KEYS, "kbd"),
        el("p", {}, el("label", {}, box, " single keys are taken"))),
      el("form", { method: "dialog", class: "foot" }, el("button", { class: "button strong", text: "Close" }))),
  );
}

/**
 * A section of the runbook, as it is written.
 * @param {string} section @param {() => Promise<string>} read @param {() => void} onClose
 */
export function runbook(section, read, onClose) {
  const text = el("pre", { text: "…", tabindex: "0" });
  const title = el("h2", { id: "runbook-title" });
  const dialog = shown(
    el("dialog", { class: "runbook", "aria-labelledby": "runbook-title" },
      el("div", { class: "inside" }, title, text),
      el("form", { method: "dialog", class: "foot" }, el("button", { class: "button strong", text: "Close" }))),
  );
  dialog.addEventListener("close", onClose);
  /** @param {string} name @param {string} all */
  const turn = (name, all) => {
    put(title, `What to do: ${format.plain(name)}`);
    const found = sectionOf(all, name);
    if (found === null) return put(text, `The runbook has no section ${format.plain(name)}.`);
    text.replaceChildren(...linked(found, all).map((part) => (typeof part === "string" ? part : el("a", { href: `#/runbook/${part.section}`, text: part.section, on: {
      // In this dialog, and in its entry of the history: closing it leads back to the view.
      click: (/** @type {Event} */ event) => {
        event.preventDefault();
        history.replaceState(history.state, "", `#/runbook/${part.section}`);
        turn(part.section, all);
        text.scrollTop = 0;
        text.focus();
      },
    } }))));
  };
  put(title, `What to do: ${format.plain(section)}`);
  read().then(
    (all) => turn(section, all),
    (error) => put(text, `The runbook could not be read: ${error.message}`),
  );
  return dialog;
}

/**
 * A text in pieces, of which those are links that name a section of the runbook.
 * @param {string} text @param {string} all @returns {(string | { section: string })[]}
 */
export function linked(text, all) {
  const sections = new Set([...all.matchAll(/^### (\S+)$/gm)].map(([, name]) => name));
  /** @type {(string | { section: string })[]} */
  const parts = [];
  for (const part of text.split(/\b(Polypy\w+)\b/)) {
    const last = parts[parts.length - 1];
    if (sections.has(part)) parts.push({ section: part });
    else if (typeof last === "string") parts[parts.length - 1] = last + part;
    else if (part !== "") parts.push(part);
  }
  return parts;
}

/**
 * The text below a heading of the third rank, up to the next one.
 * @param {string} all @param {string} section
 */
export function sectionOf(all, section) {
  const lines = all.split("\n");
  const from = lines.indexOf(`### ${section}`);
  if (from < 0) return null;
  const to = lines.findIndex((line, at) => at > from && /^#{1,3} /.test(line));
  return plainly(lines.slice(from + 1, to < 0 ? undefined : to).join("\n"));
}

/** Without the marks of its form: rows of a table become lines, links their words. @param {string} text */
function plainly(text) {
  return text
    .replace(/^\|[-|]+\|\n/gm, "")
    .replace(/^\| (.*) \|$/gm, (_, row) => row.split(" | ").join(": "))
    .replace(/^```.*\n/gm, "")
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/\*\*/g, "")
    .replace(/`/g, "")
    .trim();
}

/** An address that names no view. @param {any} app @returns {import("../main.js").View} */
export function nowhere(app) {
  const heading = el("h1", { tabindex: "-1", text: "There is no such page" });
  const way = el("p", { class: "nothing" }, "The address names none: ", el("a", { href: "#/", text: "overview" }), " or ", el("a", { href: "#/markets", text: "all markets" }), ".");
  app.root.append(el("div", { class: "title" }, heading), way);
  return { title: "No such page", heading, sampled() {}, theme() {}, end() {} };
}

/** @param {any} app @param {() => void} onDone @returns {import("../main.js").View} */
export function login(app, onDone) {
  const input = el("input", { type: "password", name: "token", autocomplete: "current-password", required: true, "aria-label": "Token", placeholder: "Token" });
  const wrong = el("p", { class: "wrong", role: "alert" });
  const heading = el("h1", { tabindex: "-1", text: "This server asks for its token" });
  const form = el("form", {}, el("p", { class: "muted", text: "It is in the file that http.token_file names. Your browser keeps a session of twelve hours, and never the token." }), input, wrong, el("button", { class: "button strong", text: "Log in" }));
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      await app.reads.login(input.value.trim());
      onDone();
    } catch (error) {
      put(wrong, /** @type {Error} */ (error).message);
      input.select();
    }
  });
  app.root.append(el("section", { class: "box login" }, el("div", { class: "head" }, heading), form));
  input.focus();
  return { title: "Log in", heading: input, sampled() {}, theme() {}, end() {} };
}
