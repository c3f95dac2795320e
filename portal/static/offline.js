// Registers the service worker, so that the page opens while the server can't be reached.

/**
 * @param {string} root what the server is mounted below
 * @param {string} digest of the page's files: a new one makes a new worker, which fetches them again
 * @returns {Promise<ServiceWorkerRegistration | null>} null if the browser has no service workers; never rejects
 */
export async function registerShell(root, digest) {
  // Only over https or on localhost.
  if (!("serviceWorker" in navigator)) return null;
  const address = `${root}/service-worker.js?shell=${encodeURIComponent(digest)}`;
  try {
    return await navigator.serviceWorker.register(trusted(address), { scope: `${root}/` });
  } catch (error) {
    console.info(error); // forbidden by the browser's settings: the page works anyway
    return null;
  }
}

/** The page's content security policy lets only this text become a script address. */
function trusted(address) {
  if (!self.trustedTypes) return address;
  return trustedTypes.createPolicy("service-worker", { createScriptURL: (url) => url }).createScriptURL(address);
}
