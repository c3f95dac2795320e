// Has the browser keep the page, so that it opens where the server cannot be reached.

/**
 * @param {string} root what the server is mounted below
 * @param {string} digest of the page's files: another one makes another worker, which fetches them anew
 * @returns {Promise<ServiceWorkerRegistration | null>} null where the browser has none; never rejects
 */
export async function registerShell(root, digest) {
  // Only over https, or on the server's own machine.
  if (!("serviceWorker" in navigator)) return null;
  const address = `${root}/service-worker.js?shell=${encodeURIComponent(digest)}`;
  try {
    return await navigator.serviceWorker.register(trusted(address), { scope: `${root}/` });
  } catch (error) {
    console.info(error); // forbidden by the browser's settings: the page works all the same
    return null;
  }
}

/** The page's policy lets no text become a script, this address excepted. */
function trusted(address) {
  if (!self.trustedTypes) return address;
  return trustedTypes.createPolicy("service-worker", { createScriptURL: (url) => url }).createScriptURL(address);
}
