//! A request as it came, picked up in one crossing.

use super::error_text;
use wasm_bindgen::prelude::*;
use worker::js_sys::{Promise, Uint8Array};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::Request;

#[wasm_bindgen(inline_js = r#"
const HEADERS = [
  "accept", "content-type", "content-encoding", "content-length", "cf-connecting-ip", "authorization", "x-key-id",
  "x-timestamp", "x-nonce", "x-signature", "x-signature-profile", "user-agent", "referer",
];

const PLATFORMS = new Set([
  "cdn-loop", "cf-connecting-ip", "cf-connecting-ipv6", "cf-ew-via", "cf-ipcountry", "cf-pseudo-ipv4", "cf-ray", "cf-visitor", "cf-worker",
  "x-forwarded-for", "x-forwarded-proto", "x-real-ip",
]);

// A line for the method, the URL, the number of headers and their size, each header that matters, then what the platform knows of the sender; an absent value is an empty
// line, others begin with "+". None of them can hold a line break.
export function pick(request) {
  const headers = request.headers;
  let count = 0;
  let size = 0;
  for (const [name, value] of headers) {
    // What the platform adds is not the sender's.
    if (PLATFORMS.has(name)) continue;
    count++;
    size += name.length + value.length;
  }
  let text = `${request.method}\n${request.url}\n${count}\n${size}`;
  for (let i = 0; i < HEADERS.length; i++) {
    const value = headers.get(HEADERS[i]);
    text += value === null ? "\n" : "\n+" + value;
  }
  const cf = request.cf;
  if (cf === undefined || cf === null) return text;
  const tls = cf.tlsClientAuth;
  const known = [cf.country, tls?.certPresented, tls?.certVerified, tls?.certRevoked, tls?.certFingerprintSHA256];
  for (const value of known) text += typeof value === "string" ? "\n+" + value : "\n";
  return text;
}

// Reads a request's body up to a limit, for so long; undefined when it is larger.
export async function readBody(request, bytesMax, timeoutMs) {
  if (!request.body) return new Uint8Array();
  const reader = request.body.getReader();
  const chunks = [];
  let length = 0;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new DOMException("the body did not arrive in time", "TimeoutError")), timeoutMs);
  });
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) break;
      length += value.byteLength;
      if (length > bytesMax) {
        await reader.cancel();
        return undefined;
      }
      chunks.push(value);
    }
  } finally {
    clearTimeout(timer);
  }
  const body = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return body;
}
"#)]
extern "C" {
    fn pick(request: &Request) -> String;

    #[wasm_bindgen(js_name = readBody)]
    fn read_body_js(request: &Request, bytes_max: u32, timeout_ms: u32) -> Promise;
}

/// What can be asked of a request beside method and URL, in the order of the script above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the header or the property of that name")]
pub enum Part {
    Accept = 4,
    ContentType,
    ContentEncoding,
    ContentLength,
    ConnectingIp,
    Authorization,
    KeyId,
    Timestamp,
    Nonce,
    Signature,
    SignatureProfile,
    UserAgent,
    Referer,
    Country,
    CertificatePresented,
    CertificateVerified,
    CertificateRevoked,
    CertificateSha256,
}

/// A request's head. The body is read apart, and only where it is wanted.
pub struct Incoming {
    text: String,
    request: Request,
}

impl Incoming {
    /// Picks a request up.
    pub fn of(request: Request) -> Incoming {
        Incoming { text: pick(&request), request }
    }

    fn line(&self, number: usize) -> &str {
        self.text.split('\n').nth(number).unwrap_or("")
    }

    /// In capitals, for methods that HTTP knows.
    pub fn method(&self) -> &str {
        self.line(0)
    }

    /// Path and query as they came.
    pub fn target(&self) -> &str {
        target_of(self.line(1))
    }

    /// How many headers the sender sent, and how long their names and values are together, in characters.
    pub fn headers_count_and_size(&self) -> (usize, usize) {
        let number = |line| self.line(line).parse().unwrap_or(usize::MAX);
        (number(2), number(3))
    }

    /// A header or a property of the connection; None where it is absent.
    pub fn part(&self, part: Part) -> Option<&str> {
        self.line(part as usize).strip_prefix('+')
    }

    /// The body, read up to a limit and for `timeout_ms` at most.
    ///
    /// # Errors
    /// The platform's words when the sender broke off or was too slow. `Ok(None)`: larger than `bytes_max`.
    pub async fn body(&self, bytes_max: u32, timeout_ms: u32) -> Result<Option<Vec<u8>>, String> {
        let body = JsFuture::from(read_body_js(&self.request, bytes_max, timeout_ms))
            .await
            .map_err(|error| error_text(&error))?;
        Ok(body.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec()))
    }
}

/// Path and query of an absolute URL, as they came.
fn target_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let start = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
    let target = after_scheme.get(start..).unwrap_or("/");
    target.split('#').next().unwrap_or(target)
}

#[cfg(test)]
mod tests {
    use super::target_of;

    #[test]
    fn the_target_of_a_url_is_its_path_and_query() {
        for (url, target) in [
            ("http://127.0.0.1:8787/involve/event?a=1%20b", "/involve/event?a=1%20b"),
            ("https://network.bytec.com/", "/"),
            ("https://network.bytec.com", ""),
            ("https://network.bytec.com?a=/b", "?a=/b"),
            ("https://network.bytec.com/a?b=http://c/#d", "/a?b=http://c/"),
        ] {
            assert_eq!(target_of(url), target, "{url}");
        }
    }
}
