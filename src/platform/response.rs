//! A response, built in one crossing.

use wasm_bindgen::prelude::*;
use worker::web_sys::Response;

#[wasm_bindgen(inline_js = r#"
export function respond(status, headerLines, body) {
  const headers = headerLines.split("\n").map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1)];
  });
  return new Response(body, { status, headers });
}
"#)]
extern "C" {
    #[wasm_bindgen(catch)]
    fn respond(status: u16, header_lines: &str, body: Option<&str>) -> Result<Response, JsValue>;
}

/// A response to be. Header values are words and ids of ours, or have been checked to stand in a header.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body; None for a reply without one.
    pub body: Option<String>,
}

impl Reply {
    /// The platform's response.
    ///
    /// # Errors
    /// The platform cannot build it.
    pub fn build(&self) -> Result<Response, JsValue> {
        let lines: Vec<_> = self.headers.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        respond(self.status, &lines.join("\n"), self.body.as_deref())
    }
}
