//! The document as a page for people: HTML alone, without a script and without anything from elsewhere, so that it works where
//! there is no network, in a reader of screens, and under a policy that lets nothing in.

use super::brief::{list, members, schema, text};
use super::html::{escaped, lines, marked};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page.css");
/// HEAD stands beside GET.
const METHODS: [&str; 2] = ["get", "post"];

/// A page, and what a browser may do with it.
#[derive(Clone, Debug)]
pub struct Page {
    /// The HTML.
    pub html: String,
    /// The value of `Content-Security-Policy`.
    pub policy: String,
}

/// The page of a document, from its JSON: to have its types written in a second way, too, would be 20 KB of a Worker.
pub fn page(document: &str) -> Page {
    // The document is JSON of our own.
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let title = escaped(text(&document, "/info/title"));
    let version = escaped(text(&document, "/info/version"));
    let about: String =
        text(&document, "/info/description").split("\n\n").map(|part| format!("<p>{}</p>", marked(part))).collect();
    let operations = operations(&document);
    let links = operations.iter().map(|operation| {
        let Operation { id, method, path, .. } = operation;
        format!("<li><a href=\"#{id}\"><code>{method} {path}</code></a></li>", id = escaped(id), path = escaped(path))
    });
    let links: String = links.collect();
    let sections: String = operations.iter().map(|operation| section(&document, operation)).collect();
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head>\n<body>\n<a class=\"skip\" href=\"#operations\">Skip to the operations</a>\n\
         <header><h1>{title}</h1><p>Version {version}, as <a href=\"/openapi.json\">OpenAPI 3.1</a>.</p>{about}</header>\n\
         <nav aria-label=\"Operations\"><ul>{links}</ul></nav>\n<main>\n<h2>Ways to prove oneself</h2>{schemes}\n\
         <h2 id=\"operations\">Operations</h2>\n{sections}\n<h2>Schemas</h2>\n{schemas}\n</main>\n</body>\n</html>\n",
        schemes = schemes(&document),
        schemas = schemas(&document),
    );
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    Page { html, policy }
}

struct Operation<'a> {
    id: &'a str,
    method: String,
    path: &'a str,
    value: &'a Value,
    /// What HEAD does at the path of a GET.
    head: &'a str,
}

fn operations<'a>(document: &'a Value) -> Vec<Operation<'a>> {
    let paths = members(document.get("paths"));
    let of_path = |(path, item): (&'a str, &'a Value)| {
        let method = move |method: &&str| {
            let value = item.get(*method)?;
            let head = if *method == "get" { text(item, "/head/summary") } else { "" };
            Some(Operation { id: text(value, "/operationId"), method: method.to_uppercase(), path, value, head })
        };
        METHODS.iter().filter_map(method).collect::<Vec<_>>()
    };
    paths.flat_map(of_path).collect()
}

fn section(document: &Value, operation: &Operation<'_>) -> String {
    let Operation { id, method, path, value, head } = operation;
    let heading = format!("<h3><code>{method} {}</code></h3>", escaped(path));
    let summary = marked(text(value, "/summary"));
    let about = marked(text(value, "/description"));
    let proofs = list(value.get("security")).map(|proof| {
        let names: Vec<_> = members(Some(proof))
            .map(|(name, _)| format!("<a href=\"#scheme-{name}\">{name}</a>", name = escaped(name)))
            .collect();
        names.join(" and ")
    });
    let head = if head.is_empty() { String::new() } else { format!("<p><code>HEAD</code>: {}</p>", marked(head)) };
    let proofs: Vec<_> = proofs.collect();
    let proofs = if proofs.is_empty() { "nobody has to".to_owned() } else { proofs.join(", or ") };
    let body: Vec<_> = members(value.pointer("/requestBody/content"))
        .map(|(kind, content)| format!("<code>{}</code>: {}", escaped(kind), schema(content.get("schema"))))
        .collect();
    let body = if body.is_empty() {
        String::new()
    } else {
        format!("<p>Body: {}. {}</p>", body.join(", or "), marked(text(value, "/requestBody/description")))
    };
    format!(
        "<section id=\"{id}\" aria-label=\"{method} {path}\">{heading}<p>{summary} {about}</p><p>Proof: {proofs}.</p>{parameters}{body}{responses}{head}</section>\n",
        id = escaped(id),
        path = escaped(path),
        parameters = parameters(value),
        responses = responses(document, value),
    )
}

fn parameters(operation: &Value) -> String {
    let row = |parameter: &Value| {
        let required = if parameter.get("required") == Some(&Value::Bool(true)) { "yes" } else { "no" };
        format!(
            "<tr><th scope=\"row\"><code>{}</code></th><td>{required}</td><td>{}</td><td>{}</td></tr>",
            escaped(text(parameter, "/name")),
            schema(parameter.get("schema")),
            marked(text(parameter, "/description")),
        )
    };
    let rows: Vec<_> = list(operation.get("parameters")).map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = "<tr><th scope=\"col\">name</th><th scope=\"col\">required</th><th scope=\"col\">value</th><th scope=\"col\">meaning</th></tr>";
    format!(
        "<details><summary>{} parameters of the query</summary><div class=\"wide\"><table><thead>{head}</thead><tbody>{}</tbody></table></div></details>",
        rows.len(),
        rows.concat()
    )
}

fn responses(document: &Value, operation: &Value) -> String {
    let row = |(status, response): (&str, &Value)| {
        let elsewhere = text(response, "/$ref").strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        let response = elsewhere.unwrap_or(response);
        let kinds: Vec<_> = members(response.get("content"))
            .map(|(kind, content)| format!("<code>{}</code>: {}", escaped(kind), schema(content.get("schema"))))
            .collect();
        let headers: Vec<_> =
            members(response.get("headers")).map(|(name, _)| format!("<code>{}</code>", escaped(name))).collect();
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(status),
            lines(text(response, "/description")),
            kinds.join("<br>"),
            headers.join(" "),
        )
    };
    let rows: String = members(operation.get("responses")).map(row).collect();
    let head = "<tr><th scope=\"col\">status</th><th scope=\"col\">when</th><th scope=\"col\">body</th><th scope=\"col\">headers</th></tr>";
    format!(
        "<div class=\"wide\"><table><caption>Answers</caption><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
    )
}

fn schemes(document: &Value) -> String {
    let entry = |(name, scheme): (&str, &Value)| {
        format!(
            "<dt id=\"scheme-{name}\"><code>{name}</code></dt><dd>{}</dd>",
            marked(text(scheme, "/description")),
            name = escaped(name)
        )
    };
    format!("<dl>{}</dl>", members(document.pointer("/components/securitySchemes")).map(entry).collect::<String>())
}

fn schemas(document: &Value) -> String {
    let entry = |(name, schema): (&str, &Value)| {
        let shown = serde_json::to_string_pretty(schema).unwrap_or_default();
        let name = escaped(name);
        format!(
            "<section id=\"schema-{name}\"><h3><code>{name}</code></h3><details><summary>{name} in full</summary><pre tabindex=\"0\">{}</pre></details></section>\n",
            escaped(&shown)
        )
    };
    members(document.pointer("/components/schemas")).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::openapi::document;

    #[test]
    fn every_operation_is_on_the_page_and_every_link_leads_somewhere() {
        let document = document(&config::registry().unwrap());
        let Page { html, policy } = page(&document.to_json().unwrap());
        for path in document.paths.paths.keys() {
            assert!(html.contains(&format!("GET {path}</code>")), "{path}");
        }
        let targets: Vec<_> = html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(targets.len() > 50);
        for target in targets {
            assert!(html.contains(&format!("id=\"{target}\"")), "{target}");
        }
        assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("https://"));
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"));
    }

    #[test]
    fn what_others_named_is_text_and_no_markup() {
        let mut registry = serde_json::to_value(config::registry().unwrap()).unwrap();
        registry["partners"][0]["name"] = "<img src=x onerror=alert(1)>\"'&".into();
        registry["partners"][0]["endpoint"] = "a\"><script>".into();
        let registry = postback::partner::Registry::from_json(&registry.to_string()).unwrap();
        let html = page(&document(&registry).to_json().unwrap()).html;
        assert!(!html.contains("<img") && !html.contains("<script"));
        assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;"));
    }
}
