// Shows the page while the server can't be reached. Touches nothing else: API responses are never cached.

const ROOT = self.location.pathname.replace(/\/service-worker\.js$/, "");
const DIGEST = new URLSearchParams(self.location.search).get("shell");
// Servers below different prefixes of one host share the browser's caches. The space ends the prefix: no path has one.
const CACHES = `shell ${ROOT} `;
const CACHE = CACHES + DIGEST;
const PAGE = `${ROOT}/dashboard`;
const PAGES = new Set([PAGE, `${ROOT}/portal/downloader_dashboard`]);
const FILES = `${ROOT}/portal/static/`;
const MANIFEST = `${ROOT}/manifest.webmanifest`;

// A phone out of range gets silence instead of an error.
const TIMEOUT_MS = 2500;

self.addEventListener("install", (event) => {
  // A request sent while its page is being closed would be lost if this worker had to be started first.
  event.addRoutes?.({ condition: { requestMethod: "DELETE" }, source: "network" });
  event.waitUntil(install());
});
self.addEventListener("activate", (event) => event.waitUntil(activate()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  // Not for frames: the server must see and refuse those requests itself.
  if (request.mode === "navigate" && request.destination === "document" && PAGES.has(url.pathname)) event.respondWith(showPage(request));
  else if (url.pathname.startsWith(FILES) || url.pathname === MANIFEST) event.respondWith(showFile(request));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(openPage());
});

/** Cache all of one version or nothing: if this fails, the previous worker stays. */
async function install() {
  const list = await (await fetch(`${ROOT}/portal/shell.json`, { cache: "no-store" })).json();
  const page = await fetch(PAGE, { cache: "no-store" });
  // The server may have been updated since the page asked for this worker: the next visit installs another.
  if (list.digest !== DIGEST || !isPage(page)) throw new Error(`The server does not show version ${DIGEST} of the page.`);
  const cache = await caches.open(CACHE);
  await cache.addAll(list.files);
  await cache.put(PAGE, page);
  await self.skipWaiting();
}

/** Open pages have loaded all their modules, so older versions can be deleted. */
async function activate() {
  const old = (await caches.keys()).filter((name) => name.startsWith(CACHES) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** The page from the server, or from the cache if that fails or takes too long. */
async function showPage(request) {
  const kept = await caches.match(PAGE, { cacheName: CACHE });
  // Unchanged: with an abort signal it would no longer be a navigation, which the server's guard checks.
  const response = fetch(request);
  if (!kept) return response;
  // 502 to 504: a proxy that can't reach the server either.
  const good = response.then((found) => (found.status >= 502 && found.status <= 504 ? kept : found)).catch(() => kept);
  return Promise.race([good, new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS, kept))]);
}

/** A file with this digest never changes; the manifest is part of the digest. */
async function showFile(request) {
  return (await caches.match(request.url, { cacheName: CACHE })) ?? fetch(request);
}

async function openPage() {
  const windows = await self.clients.matchAll({ type: "window" });
  const open = windows.find((window) => PAGES.has(new URL(window.url).pathname));
  await (open ? open.focus() : self.clients.openWindow(PAGE));
}

/** Whether this is the page of this version: not a login page, not a proxy's, not an error. */
function isPage(response) {
  return response.status === 200 && !response.redirected && response.headers.get("X-Shell-Digest") === DIGEST;
}
