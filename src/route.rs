//! Which request is meant for what (R1, R2). Pure: method and path in, route out.

use postback::partner::{Partner, Registry};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'r> {
    /// A partner reports an event.
    Postback(&'r Partner),
    /// Somebody checks that a partner's endpoint is there; nothing is recorded.
    Probe,
    /// Is the edge alive?
    Health,
    /// The path is known, the method is not for it.
    WrongMethod {
        /// The value of `Allow`.
        allow: &'static str,
    },
    /// No partner has this endpoint.
    Unknown,
}

/// Finds the route of a request.
pub fn route<'r>(method: &str, path: &str, registry: &'r Registry) -> Route<'r> {
    if path == "/health" {
        return match method {
            "GET" | "HEAD" => Route::Health,
            _ => Route::WrongMethod { allow: "GET, HEAD" },
        };
    }
    match (registry.by_path(path), method) {
        (None, _) => Route::Unknown,
        (Some(partner), "GET" | "POST") => Route::Postback(partner),
        (Some(_), "HEAD") => Route::Probe,
        (Some(_), _) => Route::WrongMethod { allow: "GET, HEAD, POST" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::registry;

    fn routed(method: &str, path: &str) -> String {
        match route(method, path, &registry().unwrap()) {
            Route::Postback(partner) => partner.code.clone(),
            other @ (Route::Probe | Route::Health | Route::WrongMethod { .. } | Route::Unknown) => format!("{other:?}"),
        }
    }

    #[test]
    fn every_live_path_finds_its_partner() {
        for prefix in ["", "/postback", "/partner"] {
            assert_eq!(routed("GET", &format!("{prefix}/involve/event")), "involve_asia");
            assert_eq!(routed("POST", &format!("{prefix}/rector/event")), "rector");
        }
        assert_eq!(routed("POST", "/postback"), "s2s");
    }

    #[test]
    fn what_is_no_endpoint_is_unknown() {
        for path in ["/", "", "/favicon.ico", "/involve", "/involve/event/", "/INVOLVE/event", "/involve/event/x", "/x"]
        {
            assert_eq!(routed("GET", path), "Unknown", "{path}");
        }
    }

    #[test]
    fn other_methods_are_refused_and_head_records_nothing() {
        assert_eq!(routed("HEAD", "/involve/event"), "Probe");
        for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "get", ""] {
            assert_eq!(routed(method, "/involve/event"), "WrongMethod { allow: \"GET, HEAD, POST\" }", "{method}");
        }
        assert_eq!(routed("POST", "/health"), "WrongMethod { allow: \"GET, HEAD\" }");
    }
}
