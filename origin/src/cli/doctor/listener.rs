//! The address that the origin listens on: free, or already the origin's.

use super::code::Code;
use super::finding::{Checked, Finding};
use super::web::{self, Answer};
use crate::app::Platform;
use postback::partner::Registry;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long a connection to this machine may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What is at the address.
#[derive(Clone, Debug)]
pub enum Port {
    /// Nothing.
    Free,
    /// The address is not one of this machine, or may not be listened on.
    NotHere(String),
    /// Something that is not an origin.
    Taken,
    /// An origin: its `/info` and `/health`.
    Origin {
        /// `/info`.
        info: Value,
        /// `/health`.
        health: Value,
    },
}

/// Looks, without listening there: an origin that starts at the same moment must not find its port taken.
pub async fn look(bind: SocketAddr, limit: Duration) -> Port {
    if let Err(error) = TcpListener::bind((bind.ip(), 0)).await {
        return Port::NotHere(error.to_string());
    }
    let near = SocketAddr::new(reached_by(bind.ip()), bind.port());
    match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(near)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return Port::Free,
        Err(_) => return Port::Taken,
    }
    let Ok(url) = crate::cli::web::base_url(&format!("http://{near}")) else { return Port::Taken };
    let now_ms = || (Platform::SYSTEM.now)().unix_ms();
    match web::ask(&url, "info", limit, now_ms).await {
        Ok(info) if is_origin(&info) => {
            let health = web::ask(&url, "health", limit, now_ms).await.map(|health| health.json).unwrap_or_default();
            Port::Origin { info: info.json, health }
        }
        Ok(_) | Err(_) => Port::Taken,
    }
}

/// Whether an answer is one of our origins'.
pub fn is_origin(answer: &Answer) -> bool {
    answer.status == 200 && answer.text("service") == "bytec-origin"
}

/// An address by which this machine reaches what listens on all of its addresses.
pub fn reached_by(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => ip,
    }
}

/// What is wrong there. `registry` has the partners that are to be served, where that is known.
pub fn check(bind: SocketAddr, port: &Port, registry: Option<&Registry>) -> Checked {
    let said = match port {
        Port::Free => "nothing listens there".to_owned(),
        Port::NotHere(_) => "cannot be listened on".to_owned(),
        Port::Taken => "something listens there".to_owned(),
        Port::Origin { info, .. } => {
            let number = |name: &str| info.get(name).and_then(Value::as_i64).unwrap_or_default();
            format!("an origin listens there, version {}, for {} s", version(info), number("uptime_s"))
        }
    };
    Checked::new("address", &bind.to_string(), said, judge(bind, port, registry))
}

fn judge(bind: SocketAddr, port: &Port, registry: Option<&Registry>) -> Vec<Finding> {
    match port {
        Port::Free => Vec::new(),
        Port::NotHere(why) => vec![Finding::new(
            Code::AddressNotHere,
            format!("{}: {why}", bind.ip()),
            "set ORIGIN_BIND to an address of this machine, such as 127.0.0.1:8000; ip address lists them",
        )],
        Port::Taken => vec![Finding::new(
            Code::PortTaken,
            format!("{bind} is taken by something that is no origin, so serve cannot start"),
            format!(
                "see what it is: sudo ss -ltnp 'sport = :{}'; stop it, or set ORIGIN_BIND to another port and write that into cloudflared's config.yml",
                bind.port()
            ),
        )],
        Port::Origin { info, health } => {
            let mut findings = about_running(&format!("the origin at {bind}"), version(info), health);
            let code = |partner: &Value| partner.get("code").and_then(Value::as_str).map(str::to_owned);
            let served = info.get("partners").and_then(Value::as_array).into_iter().flatten();
            let served: Vec<_> = served.filter_map(code).collect();
            let wanted: Option<Vec<_>> =
                registry.map(|registry| registry.all().iter().map(|partner| partner.code.clone()).collect());
            if let Some(wanted) = wanted.filter(|wanted| *wanted != served) {
                findings.push(Finding::new(
                    Code::OriginOtherPartners,
                    format!("it serves {}; the configuration that was looked at says {}", served.join(", "), wanted.join(", ")),
                    "run doctor with the same PARTNERS as the origin, or restart it: sudo systemctl restart bytec-origin",
                ));
            }
            findings
        }
    }
}

fn version(info: &Value) -> &str {
    info.get("version").and_then(Value::as_str).unwrap_or_default()
}

/// What a running origin says about itself that is not as it should be.
pub fn about_running(name: &str, version: &str, health: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ours = env!("CARGO_PKG_VERSION");
    if version != ours {
        findings.push(Finding::new(
            Code::OriginOtherVersion,
            format!("{name} has version {version}, this program {ours}"),
            "restart it on the program that is meant: sudo systemctl restart bytec-origin",
        ));
    }
    let databases = health.get("databases").and_then(Value::as_object).into_iter().flatten();
    let shared = health.get("shared_database").filter(|state| *state == "unavailable").map(|_| "the shared one");
    let away = databases.filter(|(_, state)| *state == "unavailable").map(|(code, _)| code.as_str());
    let away: Vec<_> = away.chain(shared).collect();
    if !away.is_empty() {
        findings.push(Finding::new(
            Code::OriginDegraded,
            format!("{name} cannot use these databases: {}", away.join(", ")),
            "its log says why: journalctl -u bytec-origin -o cat -n 50; doctor must be run with the variables of the origin to look at the same ones",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn codes(port: &Port) -> Vec<&'static str> {
        let registry = crate::config::registry().unwrap();
        let checked = check("127.0.0.1:8000".parse().unwrap(), port, Some(&registry));
        checked.findings.iter().map(|finding| finding.code.name()).collect()
    }

    fn origin(version: &str, partners: &[&str], database: &str) -> Port {
        let partners: Vec<_> = partners.iter().map(|code| json!({"code": code})).collect();
        Port::Origin {
            info: json!({"service": "bytec-origin", "version": version, "uptime_s": 5, "partners": partners}),
            health: json!({"databases": {"rector": database}, "shared_database": "ok"}),
        }
    }

    #[test]
    fn an_address_is_free_or_the_origins() {
        const ALL: [&str; 3] = ["involve_asia", "rector", "s2s"];
        let ours = env!("CARGO_PKG_VERSION");
        assert_eq!(codes(&Port::Free), [""; 0]);
        assert_eq!(codes(&origin(ours, &ALL, "ok")), [""; 0]);
        assert_eq!(codes(&Port::Taken), ["port_taken"]);
        assert_eq!(codes(&Port::NotHere("no".to_owned())), ["address_not_here"]);
        assert_eq!(codes(&origin("0.0.0", &ALL, "ok")), ["origin_other_version"]);
        assert_eq!(codes(&origin(ours, &["rector"], "ok")), ["origin_other_partners"]);
        assert_eq!(codes(&origin(ours, &ALL, "unavailable")), ["origin_degraded"]);
    }
}
