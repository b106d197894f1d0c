//! The tunnel's configuration, as cloudflared reads it: that what comes for the origin's hostname goes to where the origin listens.

use super::code::Code;
use super::files;
use super::finding::{Checked, Finding};
use super::listener::reached_by;
use reqwest::Url;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Bytes of the file at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What of it is looked at.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Tunnel {
    tunnel: Option<String>,
    #[serde(rename = "credentials-file")]
    credentials_file: Option<PathBuf>,
    #[serde(default)]
    ingress: Vec<Rule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Rule {
    hostname: Option<String>,
    path: Option<String>,
    service: Option<String>,
}

/// What was found at its place.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The file.
    path: PathBuf,
    tunnel: Result<Tunnel, String>,
    /// Of the credentials file: whether it is there, and whether everybody can read it.
    credentials: Option<(bool, bool)>,
}

/// Where cloudflared looks.
pub fn usual_places() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cloudflared/config.yml"));
    ["/etc/cloudflared/config.yml", "/usr/local/etc/cloudflared/config.yml"]
        .map(PathBuf::from)
        .into_iter()
        .chain(home)
        .collect()
}

/// Looks.
pub fn look(path: &Path) -> Looked {
    let tunnel = text_of(path, FILE_BYTES_MAX).and_then(|text| read(&text));
    let credentials = tunnel.as_ref().ok().and_then(|tunnel| tunnel.credentials_file.as_ref());
    let credentials = credentials.map(|file| (file.is_file(), files::is_readable_by_all(file) == Some(true)));
    Looked { path: path.to_owned(), tunnel, credentials }
}

/// A file's text, where it is not longer than it may be.
///
/// # Errors
/// Why it cannot be had.
pub fn text_of(path: &Path, bytes_max: u64) -> Result<String, String> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(bytes_max).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| error.to_string())
}

fn read(text: &str) -> Result<Tunnel, String> {
    // The first line says what and where; those below show the place, and with it what may be nobody's business.
    serde_saphyr::from_str(text).map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
}

impl Looked {
    /// The hostnames that lead somewhere.
    pub fn hostnames(&self) -> Vec<&str> {
        let rules = self.tunnel.iter().flat_map(|tunnel| &tunnel.ingress);
        rules.filter_map(|rule| rule.hostname.as_deref()).filter(|name| !name.is_empty()).collect()
    }
}

/// What is wrong with it. `hostnames` are those of the origin, as far as they are known; `bind` is where it listens.
pub fn check(looked: &Looked, hostnames: &[String], bind: Option<SocketAddr>) -> Checked {
    Checked::new("tunnel", "", looked.path.display().to_string(), judge(looked, hostnames, bind))
}

fn judge(looked: &Looked, hostnames: &[String], bind: Option<SocketAddr>) -> Vec<Finding> {
    let path = looked.path.display();
    let tunnel = match &looked.tunnel {
        Ok(tunnel) => tunnel,
        Err(why) => {
            return vec![Finding::new(
                Code::TunnelUnreadable,
                format!("{path}: {why}"),
                format!(
                    "mend it: cloudflared --config {path} tunnel ingress validate; a right one to begin with is cloudflared/config.yml"
                ),
            )];
        }
    };
    let mut findings = Vec::new();
    let is_named = tunnel.tunnel.as_ref().is_some_and(|name| !name.is_empty() && !name.contains(['<', '>']));
    if !is_named {
        findings.push(Finding::new(
            Code::TunnelUnnamed,
            format!("{path}: tunnel is not a tunnel's UUID"),
            format!("write the UUID into {path}, as tunnel and in credentials-file: cloudflared tunnel list"),
        ));
    }
    findings.extend(judge_credentials(looked, tunnel));
    findings.extend(judge_ingress(looked, tunnel, hostnames, bind));
    let last = tunnel.ingress.last();
    if !last.is_some_and(|rule| rule.is_for_all() && rule.service.as_deref() == Some("http_status:404")) {
        findings.push(Finding::new(
            Code::TunnelNoCatchAll,
            format!("{path}: the last rule of ingress is not service: http_status:404 alone"),
            format!("add it at the end of ingress in {path}: - service: http_status:404"),
        ));
    }
    findings
}

fn judge_credentials(looked: &Looked, tunnel: &Tunnel) -> Vec<Finding> {
    let path = looked.path.display();
    let missing = |says: String| {
        vec![Finding::new(
            Code::TunnelNoCredentials,
            says,
            format!(
                "copy what cloudflared tunnel create wrote (~/.cloudflared/<UUID>.json) to /etc/cloudflared/, and name it as credentials-file in {path}"
            ),
        )]
    };
    match (&tunnel.credentials_file, looked.credentials) {
        (Some(file), Some((true, true))) => vec![Finding::new(
            Code::SecretReadable,
            format!("every user of this machine can read {}, and be the tunnel", file.display()),
            format!("sudo chmod 600 {}, owned by whom cloudflared runs as", file.display()),
        )],
        (Some(_), Some((true, false))) => Vec::new(),
        (Some(file), _) => missing(format!("{path}: there is no {}", file.display())),
        (None, _) => missing(format!("{path}: credentials-file is not said")),
    }
}

fn judge_ingress(looked: &Looked, tunnel: &Tunnel, hostnames: &[String], bind: Option<SocketAddr>) -> Vec<Finding> {
    let path = looked.path.display();
    let address = bind.map_or_else(|| "http://127.0.0.1:8000".to_owned(), |bind| format!("http://{}", near(bind)));
    let other = |says: String| {
        Finding::new(
            Code::TunnelOtherService,
            says,
            format!("in {path}, under ingress, write service: {address}; or set ORIGIN_BIND to what stands there"),
        )
    };
    let mut findings = Vec::new();
    for hostname in hostnames {
        // The first rule that fits counts, as cloudflared reads them.
        match tunnel.ingress.iter().find(|rule| rule.is_for(hostname)) {
            Some(rule) if rule.hostname.as_deref().is_some_and(|name| !name.is_empty()) => {
                let service = rule.service.as_deref().unwrap_or_default();
                if bind.is_some_and(|bind| !leads_to(service, bind)) {
                    findings.push(other(format!("{path}: {hostname} goes to {service:?}, and the origin listens on {address}")));
                }
            }
            Some(_) | None => findings.push(Finding::new(
                Code::TunnelNoHostname,
                format!("{path}: ingress has no rule for {hostname}"),
                format!("add under ingress in {path}, above the last rule, a rule with hostname: {hostname} and service: {address}; then cloudflared tunnel route dns <tunnel> {hostname}"),
            )),
        }
    }
    if hostnames.is_empty() {
        let leads = |rule: &&Rule| bind.is_none_or(|bind| leads_to(rule.service.as_deref().unwrap_or_default(), bind));
        if tunnel.ingress.iter().find(leads).is_none() {
            findings.push(other(format!("{path}: no rule of ingress leads to {address}, where the origin listens")));
        }
    }
    findings
}

impl Rule {
    /// Whether it is for every request.
    fn is_for_all(&self) -> bool {
        let is_any = |name: &Option<String>| name.as_deref().is_none_or(|name| name.is_empty() || name == "*");
        is_any(&self.hostname) && self.path.as_deref().is_none_or(str::is_empty)
    }

    /// Whether it is for all that comes for a hostname.
    fn is_for(&self, hostname: &str) -> bool {
        let name = self.hostname.as_deref().unwrap_or_default();
        let fits = match name.strip_prefix("*.") {
            Some(domain) => hostname.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
            None => name.is_empty() || name == "*" || name.eq_ignore_ascii_case(hostname),
        };
        fits && self.path.as_deref().is_none_or(str::is_empty)
    }
}

fn near(bind: SocketAddr) -> SocketAddr {
    SocketAddr::new(reached_by(bind.ip()), bind.port())
}

/// Whether a service of cloudflared's is what listens at an address of this machine.
fn leads_to(service: &str, bind: SocketAddr) -> bool {
    let Ok(url) = service.parse::<Url>() else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    // localhost is tried by both of its addresses.
    let is_same = match host.parse::<IpAddr>() {
        Ok(ip) => ip == bind.ip() || bind.ip().is_unspecified(),
        Err(_) => {
            host == "localhost" && (bind.ip().is_loopback() || bind.ip().is_unspecified()) || bind.ip().is_unspecified()
        }
    };
    url.scheme() == "http" && is_same && url.port_or_known_default() == Some(bind.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file of the repository, with its UUID filled in.
    fn good() -> String {
        include_str!("../../../../cloudflared/config.yml").replace("<UUID>", "6f0d1c")
    }

    fn codes(text: &str, hostname: &str, bind: &str, credentials: (bool, bool)) -> Vec<&'static str> {
        let looked = Looked { path: "config.yml".into(), tunnel: read(text), credentials: Some(credentials) };
        let hostnames: Vec<_> = [hostname].into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let checked = check(&looked, &hostnames, Some(bind.parse().unwrap()));
        checked.findings.iter().map(|finding| finding.code.name()).collect()
    }

    fn of(text: &str) -> Vec<&'static str> {
        codes(text, "origin.bytec.com", "127.0.0.1:8000", (true, false))
    }

    #[test]
    fn the_file_of_the_repository_is_right_once_it_is_filled_in() {
        assert_eq!(of(&good()), [""; 0]);
        assert_eq!(codes(&good(), "", "127.0.0.1:8000", (true, false)), [""; 0]);
        assert_eq!(of(include_str!("../../../../cloudflared/config.yml")), ["tunnel_unnamed"]);
    }

    #[test]
    fn what_is_wrong_with_it_is_found() {
        assert_eq!(codes(&good(), "other.bytec.com", "127.0.0.1:8000", (true, false)), ["tunnel_no_hostname"]);
        for bind in ["127.0.0.1:8001", "[::1]:8000", "10.0.0.1:8000"] {
            assert_eq!(codes(&good(), "origin.bytec.com", bind, (true, false)), ["tunnel_other_service"], "{bind}");
        }
        assert_eq!(codes(&good(), "", "127.0.0.1:8001", (true, false)), ["tunnel_other_service"]);
        assert_eq!(of(&good().replace("http://127", "https://127")), ["tunnel_other_service"]);
        assert_eq!(of(&good().replace("http_status:404", "http_status:503")), ["tunnel_no_catch_all"]);
        assert_eq!(codes(&good(), "origin.bytec.com", "127.0.0.1:8000", (false, false)), ["tunnel_no_credentials"]);
        assert_eq!(codes(&good(), "origin.bytec.com", "127.0.0.1:8000", (true, true)), ["secret_readable"]);
        for text in ["ingress: [", "ingress: 5", "- a"] {
            assert_eq!(of(text), ["tunnel_unreadable"], "{text}");
        }
        assert_eq!(of("tunnel: t"), ["tunnel_no_credentials", "tunnel_no_hostname", "tunnel_no_catch_all"]);
    }

    #[test]
    fn rules_are_read_in_their_order() {
        let rules =
            |rules: &str| format!("tunnel: t\ncredentials-file: c\ningress:\n{rules}\n  - service: http_status:404\n");
        let ours = "  - hostname: origin.bytec.com\n    service: http://localhost:8000";
        assert_eq!(of(&rules(ours)), [""; 0]);
        assert_eq!(of(&rules("  - hostname: '*.bytec.com'\n    service: http://127.0.0.1:8000")), [""; 0]);
        let hidden = format!("  - hostname: '*.bytec.com'\n    service: http://127.0.0.1:9\n{ours}");
        assert_eq!(of(&rules(&hidden)), ["tunnel_other_service"]);
        let behind_all = format!("  - service: http_status:404\n{ours}");
        assert_eq!(of(&rules(&behind_all)), ["tunnel_no_hostname"]);
        // A rule for one path is not one for all that comes.
        let path = format!("  - hostname: origin.bytec.com\n    path: ^/x\n    service: http://127.0.0.1:9\n{ours}");
        assert_eq!(of(&rules(&path)), [""; 0]);
    }
}
