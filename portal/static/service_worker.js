// Shows the page where the server cannot be reached. Touches nothing else: what the API says is never kept.

const ROOT = self.location.pathname.replace(/\/service-worker\.js$/, "");
const DIGEST = new URLSearchParams(self.location.search).get("shell");
// Servers below different prefixes of one host share the browser's caches. The space ends the prefix: no path has one.
const CACHES = `shell ${ROOT} `;
const CACHE = CACHES + DIGEST;
const PAGE = `${ROOT}/dashboard`;
const PAGES = new Set([PAGE, `${ROOT}/portal/downloader_dashboard`]);
const FILES = `${ROOT}/portal/static/`;
const MANIFEST = `${ROOT}/manifest.webmanifest`;

// A phone that has left the house gets no refusal, just silence.
const PATIENCE_MS = 2500;

self.addEventListener("install", (event) => {
  // What a page sends as its last word would be lost while this worker, which only lets it through, is being started.
  event.addRoutes?.({ condition: { requestMethod: "DELETE" }, source: "network" });
  event.waitUntil(install());
});
self.addEventListener("activate", (event) => event.waitUntil(activate()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  // Not what a frame asks for: whoever guards the server refuses that, and must see it as it is.
  if (request.mode === "navigate" && request.destination === "document" && PAGES.has(url.pathname)) event.respondWith(showPage(request));
  else if (url.pathname.startsWith(FILES) || url.pathname === MANIFEST) event.respondWith(showFile(request));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(openPage());
});

/** Keep all of one version, or nothing: where this fails, the worker of before goes on. */
async function install() {
  const list = await (await fetch(`${ROOT}/portal/shell.json`, { cache: "no-store" })).json();
  const page = await fetch(PAGE, { cache: "no-store" });
  // The server may have been updated since the page asked for this worker: the next visit asks for another.
  if (list.digest !== DIGEST || !isPage(page)) throw new Error(`The server does not show version ${DIGEST} of the page.`);
  const cache = await caches.open(CACHE);
  await cache.addAll(list.files);
  await cache.put(PAGE, page);
  await self.skipWaiting();
}

/** Pages that are open have all their modules already, so what they were made of may go. */
async function activate() {
  const old = (await caches.keys()).filter((name) => name.startsWith(CACHES) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** The page as the server shows it; where that takes too long or fails, as it was kept. */
async function showPage(request) {
  const kept = await caches.match(PAGE, { cacheName: CACHE });
  // Handed on as it is: with a signal to end it, it would no longer be a navigation to whoever guards the server.
  const answer = fetch(request);
  if (!kept) return answer;
  // 502 to 504: a proxy that cannot reach the server either.
  const good = answer.then((response) => (response.status >= 502 && response.status <= 504 ? kept : response)).catch(() => kept);
  return Promise.race([good, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, kept))]);
}

/** Files never change below their digest; the manifest is part of it. */
async function showFile(request) {
  return (await caches.match(request.url, { cacheName: CACHE })) ?? fetch(request);
}

async function openPage() {
  const windows = await self.clients.matchAll({ type: "window" });
  const open = windows.find((window) => PAGES.has(new URL(window.url).pathname));
  await (open ? open.focus() : self.clients.openWindow(PAGE));
}

/** Whether this is the page of this version: not a login page, not a proxy's, not an error. */
function isPage(answer) {
  return answer.status === 200 && !answer.redirected && answer.headers.get("X-Shell-Digest") === DIGEST;
}
