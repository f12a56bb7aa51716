// @ts-check
// Reads of the server. Addresses are relative to the page's own, so that it works behind
// any prefix; a path that an answer names is taken relative, too.

/** How reads are made. @type {RequestInit} */
export const READ = { headers: { Accept: "application/json" }, cache: "no-cache", credentials: "same-origin" };

/** What went wrong, in the server's words. */
export class Problem extends Error {
  /** @param {number} status @param {string} type @param {string} text @param {any} [body] */
  constructor(status, type, text, body = null) {
    super(text);
    this.status = status;
    this.type = type;
    this.body = body;
  }
}

export class Reads {
  /**
   * @param {string} base the page's address, without what is behind the hash
   * @param {() => void} onDenied the token is asked for
   * @param {(url: string, options: RequestInit) => Promise<Response>} [ask]
   */
  constructor(base, onDenied, ask = (...all) => fetch(...all)) {
    this.base = base;
    this.onDenied = onDenied;
    this.ask = ask;
    /** Paths that the server says it has; `null` until they are known. @type {Set<string> | null} */
    this.routes = null;
    this.version = "";
  }

  /** @param {string} path @param {Record<string, string | number | boolean | null | undefined>} [query] */
  address(path, query = {}) {
    const url = new URL(path.replace(/^\/+/, ""), this.base);
    for (const [key, value] of Object.entries(query)) {
      if (value !== null && value !== undefined && value !== "") url.searchParams.set(key, String(value));
    }
    return url;
  }

  /**
   * An answer's JSON.
   * @param {string} path
   * @param {{ query?: Record<string, any>, signal?: AbortSignal, allow?: number[] }} [options] allow: statuses whose JSON is an answer, too
   */
  async json(path, { query, signal, allow = [] } = {}) {
    return this.answer(await this.ask(this.address(path, query).href, { ...READ, signal }), allow);
  }

  /**
   * The answer to JSON that is sent; `null` for a status that is allowed.
   * @param {"POST" | "PUT"} method @param {string} path @param {any} body @param {number[]} [allow]
   */
  async send(method, path, body, allow = []) {
    const headers = { Accept: "application/json", "Content-Type": "application/json" };
    const reply = await this.ask(this.address(path).href, { method, headers, body: JSON.stringify(body), credentials: "same-origin" });
    return allow.includes(reply.status) ? null : this.answer(reply, []);
  }

  /** @param {Response} reply @param {number[]} allow */
  async answer(reply, allow) {
    if (reply.status === 401) {
      this.onDenied();
      throw new Problem(401, "about:blank", "the server asks for its token");
    }
    const isJson = (reply.headers.get("Content-Type") ?? "").includes("json");
    const body = isJson ? await reply.json() : null;
    if (reply.ok || allow.includes(reply.status)) return body;
    throw new Problem(reply.status, body?.type ?? "about:blank", body?.detail ?? body?.error ?? `the server answered ${reply.status}`, body);
  }

  /** Learns what is served here. */
  async learn() {
    const index = await this.json("");
    this.version = String(index.version ?? "");
    this.routes = new Set((index.endpoints ?? []).map((/** @type {any} */ one) => one.path));
  }

  /** @param {string} path as the index names it */
  has(path) {
    return this.routes?.has(path) ?? false;
  }

  /** Gives the token for a session. @param {string} token */
  async login(token) {
    const reply = await this.ask(this.address("login").href, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
      credentials: "same-origin",
    });
    if (reply.ok) return;
    const body = await reply.json().catch(() => null);
    throw new Problem(reply.status, "about:blank", body?.error ?? `the server answered ${reply.status}`);
  }
}
