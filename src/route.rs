//! Which request is meant for what (R1, R2). Pure: method and path in, route out.

use postback::partner::{AuthMode, Partner, Registry};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'r> {
    /// A partner reports an event.
    Postback {
        /// Whose endpoint it is.
        partner: &'r Partner,
        /// The segment behind the endpoint, for partners that prove themselves by it.
        path_key: Option<&'r str>,
    },
    /// Somebody checks that a partner's endpoint is there; nothing is recorded.
    Probe,
    /// Is the edge alive?
    Health,
    /// A visitor clicks on an offer's link: the offer's code.
    Click(&'r str),
    /// Something for operators: what stands behind `/ops/`.
    Operations(&'r str),
    /// The path is known, the method is not for it.
    WrongMethod {
        /// The value of `Allow`.
        allow: &'static str,
        /// Whose endpoint it is, if it is one.
        partner: Option<&'r Partner>,
    },
    /// No partner has this endpoint.
    Unknown,
}

/// Finds the route of a request.
pub fn route<'r>(method: &str, path: &'r str, registry: &'r Registry) -> Route<'r> {
    if path == "/health" {
        return match method {
            "GET" | "HEAD" => Route::Health,
            _ => Route::WrongMethod { allow: "GET, HEAD", partner: None },
        };
    }
    if let Some(offer) = path.strip_prefix("/click/") {
        return match method {
            "GET" | "HEAD" => Route::Click(offer),
            _ => Route::WrongMethod { allow: "GET, HEAD", partner: None },
        };
    }
    if let Some(operation) = path.strip_prefix("/ops/") {
        return Route::Operations(operation);
    }
    match (endpoint(path, registry), method) {
        (None, _) => Route::Unknown,
        (Some((partner, path_key)), "GET" | "POST") => Route::Postback { partner, path_key },
        (Some(_), "HEAD") => Route::Probe,
        (Some((partner, _)), _) => Route::WrongMethod { allow: "GET, HEAD, POST", partner: Some(partner) },
    }
}

/// The partner of a path, and the key behind its endpoint. Only partners that prove themselves by such a key have one.
fn endpoint<'r>(path: &'r str, registry: &'r Registry) -> Option<(&'r Partner, Option<&'r str>)> {
    if let Some(partner) = registry.by_path(path) {
        return Some((partner, None));
    }
    let (before, key) = path.rsplit_once('/').filter(|(_, key)| !key.is_empty())?;
    let partner = registry.by_path(before).filter(|partner| partner.auth.contains(&AuthMode::PathKey))?;
    Some((partner, Some(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::registry;

    fn routed(method: &str, path: &str) -> String {
        match route(method, path, &registry().unwrap()) {
            Route::Postback { partner, path_key: None } => partner.code.clone(),
            Route::WrongMethod { allow, .. } => format!("not {allow}"),
            other @ (Route::Postback { .. }
            | Route::Probe
            | Route::Health
            | Route::Click(_)
            | Route::Operations(_)
            | Route::Unknown) => {
                format!("{other:?}")
            }
        }
    }

    #[test]
    fn every_live_path_finds_its_partner() {
        for prefix in ["", "/postback", "/partner"] {
            assert_eq!(routed("GET", &format!("{prefix}/involve/event")), "involve_asia");
            assert_eq!(routed("POST", &format!("{prefix}/rector/event")), "rector");
        }
        assert_eq!(routed("POST", "/postback"), "s2s");
        assert_eq!(routed("POST", "/ops/parked/replay"), "Operations(\"parked/replay\")");
        assert_eq!(routed("GET", "/click/example"), "Click(\"example\")");
    }

    #[test]
    fn what_is_no_endpoint_is_unknown() {
        for path in ["/", "", "/favicon.ico", "/involve", "/involve/event/", "/INVOLVE/event", "/involve/event/x", "/x"]
        {
            assert_eq!(routed("GET", path), "Unknown", "{path}");
        }
    }

    #[test]
    fn a_key_stands_behind_the_endpoint_of_a_partner_that_has_one() {
        let json = serde_json::to_value(registry().unwrap()).unwrap().to_string();
        let keyed = json.replacen("\"auth\":[\"open\"]", "\"auth\":[\"path_key\",\"ip\"]", 1);
        let keyed = Registry::from_json(&keyed).unwrap();
        for prefix in ["", "/postback", "/partner"] {
            let path = format!("{prefix}/involve/event/k3y");
            let Route::Postback { partner, path_key } = route("GET", &path, &keyed) else { panic!("{path}") };
            assert_eq!((partner.code.as_str(), path_key), ("involve_asia", Some("k3y")));
        }
        let without = route("GET", "/involve/event", &keyed);
        assert!(matches!(without, Route::Postback { path_key: None, .. }), "refused later, for what it lacks");
        for path in ["/involve/event/", "/involve/event/a/b", "/rector/event/k3y"] {
            assert_eq!(route("GET", path, &keyed), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn other_methods_are_refused_and_head_records_nothing() {
        assert_eq!(routed("HEAD", "/involve/event"), "Probe");
        for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "get", ""] {
            assert_eq!(routed(method, "/involve/event"), "not GET, HEAD, POST", "{method}");
        }
        assert_eq!(routed("POST", "/health"), "not GET, HEAD");
    }
}
