// Lets a page live ten times as fast: its clocks and timers run so, and moments in what the
// server says are as far apart. What comes once a second comes ten times, a page's second apart.
(() => {
  const FACTOR = 10;
  const now = performance.now.bind(performance);
  const { setTimeout: later, setInterval: again, requestAnimationFrame: next, WebSocket: Socket } = window;
  const begun = now();
  const fast = (at) => begun + (at - begun) * FACTOR;
  performance.now = () => fast(now());
  const date = Date.now;
  const dated = date();
  Date.now = () => dated + (date() - dated) * FACTOR;
  window.setTimeout = (what, ms = 0, ...rest) => later(what, ms / FACTOR, ...rest);
  window.setInterval = (what, ms = 0, ...rest) => again(what, ms / FACTOR, ...rest);
  window.requestAnimationFrame = (what) => next((at) => what(fast(at)));

  let first = null;
  const stretched = (ms) => first + (ms - first) * FACTOR;
  function change(message) {
    if (typeof message.ts_us === "number") {
      first ??= message.ts_us / 1000;
      message.ts_us = stretched(message.ts_us / 1000) * 1000;
    }
    if (first === null) return message;
    for (const name of ["ts_event_ms", "since_ms"]) if (typeof message[name] === "number") message[name] = stretched(message[name]);
    if (typeof message.ts_recv_us === "number") message.ts_recv_us = stretched(message.ts_recv_us / 1000) * 1000;
    if (message.sample) message.sample.ts_ms = stretched(message.sample.ts_ms);
    return message;
  }
  window.WebSocket = class extends Socket {
    set onmessage(take) {
      super.onmessage = ({ data }) => {
        const message = change(JSON.parse(data));
        const copies = message.type === "health" ? FACTOR : 1;
        for (let copy = 0; copy < copies; copy += 1) {
          const sample = message.sample && { ...message.sample, ts_ms: message.sample.ts_ms + copy * 1000 };
          const text = JSON.stringify({ ...message, sample, ts_us: message.ts_us && message.ts_us + copy * 1e6 });
          if (copy === 0) take({ data: text });
          else later(() => take({ data: text }), (copy * 1000) / FACTOR);
        }
      };
    }
  };
})();
