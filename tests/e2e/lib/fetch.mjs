// What a test asks of a running part.

/**
 * `fetch` against one address: redirects are answered, not followed, and every request has a connection of its own. A test that runs another program
 * and waits for it handles no event meanwhile: the other side then closes a connection that was kept, and the next request would go out on it.
 */
export const fetchFrom = (url) => (target, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set("connection", "close");
  return fetch(`${url}${target}`, { redirect: "manual", ...init, headers });
};
