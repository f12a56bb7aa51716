// @ts-check
// The page's link to the server, as one enum with one function. Time, chance and the
// socket are given to it: it asks for effects and has none.

/** Nothing for so long: what is shown is grey. One message a second is due. */
export const SILENCE_MS = 2500;
/** Nothing for so long: the socket is given up. */
export const GIVE_UP_MS = 6000;
/** First wait before coming back, and the longest one. */
const RETRY_MS = [500, 10_000];

/**
 * @typedef {{ is: "connecting", tries: number, since: number, heard: number | null }
 *   | { is: "open", heard: number }
 *   | { is: "silent", heard: number }
 *   | { is: "lost", tries: number, until: number, heard: number | null }
 *   | { is: "login", heard: number | null }} Link
 * `heard`: when the last message came, on the page's own clock.
 *
 * @typedef {{ type: "heard", now: number }
 *   | { type: "closed", now: number, chance: number, retry: number | null }
 *   | { type: "time", now: number, chance: number }
 *   | { type: "online", now: number }
 *   | { type: "offline", now: number, chance: number }
 *   | { type: "denied" }
 *   | { type: "logged_in", now: number }} Input
 * `chance` is from 0 to 1; `retry` is what the server asked for.
 *
 * @typedef {"open" | "close"} Effect
 */

/** @param {number} now @returns {[Link, Effect[]]} */
export function start(now) {
  return [{ is: "connecting", tries: 0, since: now, heard: null }, ["open"]];
}

/**
 * @param {Link} link
 * @param {Input} input
 * @returns {[Link, Effect[]]}
 */
export function next(link, input) {
  switch (input.type) {
    case "heard":
      // What an abandoned socket still says is not heard: its listeners are gone.
      if (link.is === "lost" || link.is === "login") return [link, []];
      return [{ is: "open", heard: input.now }, []];
    case "closed":
      if (link.is === "lost" || link.is === "login") return [link, []];
      return [lost(link, input.now, input.chance, input.retry), []];
    case "offline":
      if (link.is === "lost" || link.is === "login") return [link, []];
      return [lost(link, input.now, input.chance, null), ["close"]];
    case "online":
      return link.is === "lost" ? again(link, input.now) : [link, []];
    case "denied":
      return link.is === "login" ? [link, []] : [{ is: "login", heard: link.heard }, ["close"]];
    case "logged_in":
      return link.is === "login" ? again(link, input.now) : [link, []];
    case "time":
      return tick(link, input.now, input.chance);
  }
}

/** @param {Link} link @param {number} now @param {number} chance @returns {[Link, Effect[]]} */
function tick(link, now, chance) {
  switch (link.is) {
    case "open":
      return now - link.heard < SILENCE_MS ? [link, []] : [{ is: "silent", heard: link.heard }, []];
    case "silent":
      return now - link.heard < GIVE_UP_MS ? [link, []] : [lost(link, now, chance, null), ["close"]];
    case "connecting":
      return now - link.since < GIVE_UP_MS ? [link, []] : [lost(link, now, chance, null), ["close"]];
    case "lost":
      return now < link.until ? [link, []] : again(link, now);
    case "login":
      return [link, []];
  }
}

/** @param {Link} link @param {number} now @returns {[Link, Effect[]]} */
function again(link, now) {
  const tries = link.is === "lost" ? link.tries : 0;
  return [{ is: "connecting", tries, since: now, heard: link.heard }, ["open"]];
}

/**
 * At once after a link that worked, then later and later.
 * @param {Link} link @param {number} now @param {number} chance @param {number | null} retry
 * @returns {Link}
 */
function lost(link, now, chance, retry) {
  const worked = link.is === "open" || link.is === "silent";
  const tries = worked ? 1 : (link.is === "connecting" ? link.tries : 0) + 1;
  const wait = Math.min(RETRY_MS[0] * 2 ** (tries - 1), RETRY_MS[1]);
  const delay = retry ?? (worked ? 0 : wait * (0.5 + chance / 2));
  return { is: "lost", tries, until: now + delay, heard: link.heard };
}
