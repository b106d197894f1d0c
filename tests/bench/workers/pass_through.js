// The least that a Worker in front of an origin can do: the same path and query, the reply streamed back. What it costs is
// the platform's price of one request.
export default {
  fetch(request, env) {
    const url = request.url;
    return fetch(env.ORIGIN_URL + url.slice(url.indexOf("/", 8)));
  },
};
