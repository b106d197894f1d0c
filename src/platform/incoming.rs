//! A request as it came, picked up in one crossing.

use super::error_text;
use super::task::settled;
use wasm_bindgen::prelude::*;
use worker::js_sys::{Promise, Uint8Array};
use worker::web_sys::Request;

#[wasm_bindgen(raw_module = "./platform/incoming.js")]
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
    Purpose,
    Country,
    CertificatePresented,
    CertificateVerified,
    CertificateRevoked,
    CertificateSha256,
}

/// Lines of a head: as many as come before the last [`Part`], and its own.
const LINES: usize = Part::CertificateSha256 as usize + 1;

/// A request's head. The body is read apart, and only where it is wanted.
pub struct Incoming {
    text: String,
    /// Where each line begins and ends.
    lines: [(usize, usize); LINES],
    request: Request,
}

impl Incoming {
    /// Picks a request up.
    pub fn of(request: Request) -> Incoming {
        let text = pick(&request);
        Incoming { lines: lines_of(&text), text, request }
    }

    fn line(&self, number: usize) -> &str {
        let (begin, end) = self.lines.get(number).copied().unwrap_or_default();
        self.text.get(begin..end).unwrap_or("")
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
        let body =
            settled(read_body_js(&self.request, bytes_max, timeout_ms)).await.map_err(|error| error_text(&error))?;
        Ok(body.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec()))
    }
}

/// Where the lines of a text begin and end; (0, 0) for those that it does not have.
fn lines_of(text: &str) -> [(usize, usize); LINES] {
    let mut lines = [(0, 0); LINES];
    let mut begin = 0_usize;
    for (line, of_text) in lines.iter_mut().zip(text.split('\n')) {
        let end = begin.saturating_add(of_text.len());
        *line = (begin, end);
        begin = end.saturating_add(1);
    }
    lines
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
