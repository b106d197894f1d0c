//! A response, built in one crossing.

use super::head;
use wasm_bindgen::prelude::*;
use worker::web_sys::Response;

#[wasm_bindgen(raw_module = "./platform/response.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn respond(head: &str, body: Option<&str>) -> Result<Response, JsValue>;
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
        respond(&head([self.status.to_string().as_str()], &self.headers), self.body.as_deref())
    }
}
