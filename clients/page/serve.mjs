// Serves the page from the disk under the server's own policy, and passes everything else
// on to a running polypy: for work on the page without building anything.
//
//   node clients/page/serve.mjs --to http://127.0.0.1:8080 [--port 8081] [--prefix /a/b]
//
// It prints the address once it listens. With --prefix it is a proxy that puts the server
// below a path, as nginx would. --embedded serves the files of the server, too, and
// --no-stream passes no WebSocket on, as proxies do that were not told to. With --late-ms
// each answer but a file's comes so much later.
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    to: { type: "string", default: "http://127.0.0.1:8080" },
    port: { type: "string", default: "0" },
    prefix: { type: "string", default: "" },
    embedded: { type: "boolean", default: false },
    "no-stream": { type: "boolean", default: false },
    "late-ms": { type: "string", default: "0" },
  },
});
const target = new URL(values.to);
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../polypy-api/page");
const BUILD = "disk";
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/** The path behind the prefix, or null. */
function inside(url) {
  if (!url.startsWith(`${values.prefix}/`)) return null;
  return url.slice(values.prefix.length);
}

async function file(name, reply) {
  const place = path.join(root, name);
  if (!place.startsWith(root + path.sep)) return end(reply, 404, "no such file");
  let bytes;
  try {
    bytes = await readFile(place);
  } catch {
    return end(reply, 404, "no such file");
  }
  if (name === "index.html") bytes = Buffer.from(bytes.toString("utf8").replaceAll("{build}", BUILD));
  // As the server does it: the small build is no module.
  if (name === "vendor/uplot.js") bytes = Buffer.concat([bytes, Buffer.from("\nexport default uPlot;\n")]);
  reply.writeHead(200, {
    "Content-Type": TYPES[path.extname(name)] ?? "application/octet-stream",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
  });
  reply.end(bytes);
}

function end(reply, status, text) {
  reply.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" });
  reply.end(text);
}

function passedOn(request, url) {
  return { host: target.hostname, port: target.port, method: request.method, path: url, headers: request.headers };
}

const server = http.createServer((request, reply) => {
  const url = inside(request.url ?? "/");
  if (url === null) return end(reply, 404, "outside the prefix");
  if (!values.embedded) {
    const [name] = url.split("?");
    if (name === "/" && (request.headers.accept ?? "").includes("text/html")) return void file("index.html", reply);
    if (name.startsWith(`/page/${BUILD}/`)) return void file(decodeURIComponent(name.slice(`/page/${BUILD}/`.length)), reply);
  }
  const late = url.startsWith("/page/") ? 0 : Number(values["late-ms"]);
  const onward = http.request(passedOn(request, url), async (answer) => {
    await sleep(late);
    reply.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(reply);
  });
  onward.on("error", (error) => (reply.headersSent ? reply.destroy() : end(reply, 502, String(error))));
  reply.on("close", () => onward.destroy());
  request.pipe(onward);
});

server.on("upgrade", (request, socket, head) => {
  const url = inside(request.url ?? "/");
  if (url === null || values["no-stream"]) return socket.destroy();
  const onward = http.request(passedOn(request, url));
  onward.on("upgrade", (answer, behind, first) => {
    const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}`);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("\r\n")}\r\n\r\n`);
    if (first.length) socket.write(first);
    if (head.length) behind.write(head);
    behind.pipe(socket).pipe(behind);
    behind.on("error", () => socket.destroy());
    socket.on("error", () => behind.destroy());
  });
  onward.on("response", (answer) => {
    socket.write(`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\nConnection: close\r\n\r\n`);
    answer.pipe(socket);
  });
  onward.on("error", () => socket.destroy());
  onward.end();
});

server.listen(Number(values.port), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}${values.prefix}/`);
});
