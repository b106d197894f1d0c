//! What senders prove themselves with, out of Worker secrets (R12, R61). A secret that a partner's mode needs and that is
//! not there refuses that partner's requests alone: one partner's missing key is not everybody's outage.

use super::{Environment, Reader};
use postback::credential::{self, DEVELOPMENT_TOKEN, TOKEN_BYTES_MIN, Tokens};
use postback::jwt::JwtKeys;
use postback::key::KeySet;
use postback::partner::{AuthMode, Partner, Registry};
use std::collections::BTreeMap;

/// The operator's token of the development set-up. Public, so believed nowhere else.
pub const DEVELOPMENT_OPERATOR_TOKEN: &str = "default-operator-token";

/// Secrets by whose they are. None of them is shown by `Debug`.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// Tenants' tokens, by tenant.
    pub tenant_tokens: Tokens,
    /// Unguessable path segments, by partner.
    pub path_keys: Tokens,
    /// Operators' tokens, by the operator's name.
    pub operator_tokens: Tokens,
    /// Keys of `bytec-v1`, by partner.
    pub partner_keys: BTreeMap<String, KeySet>,
    /// Keys of JSON Web Tokens, by partner.
    pub jwt_keys: BTreeMap<String, JwtKeys>,
}

impl Secrets {
    pub(super) fn read(
        reader: &mut Reader<impl Fn(&str) -> Option<String>>,
        registry: &Registry,
        environment: Environment,
    ) -> Secrets {
        let development = environment == Environment::Development;
        let partners: Vec<_> = registry.all().iter().map(|partner| partner.code.as_str()).collect();
        let tenants: Vec<_> = registry.all().iter().map(|partner| partner.tenant.as_str()).collect();
        let bytes_min = if development { 0 } else { TOKEN_BYTES_MIN };
        let text = |name: &str| reader.variable(name).unwrap_or_default();
        let (tenant, path, operator) = (text("TENANT_TOKENS"), text("PATH_KEYS"), text("OPERATOR_TOKENS"));
        let (partner, jwt) = (text("PARTNER_KEYS"), text("JWT_KEYS"));
        let is_tenant = |name: &str| tenants.contains(&name);
        let is_partner = |name: &str| partners.contains(&name);
        let mut secrets = Secrets {
            tenant_tokens: reader.but_for(Tokens::parse("TENANT_TOKENS", &tenant, "tenant", is_tenant, bytes_min)),
            path_keys: reader.but_for(Tokens::parse("PATH_KEYS", &path, "partner", is_partner, bytes_min)),
            operator_tokens: reader.but_for(Tokens::parse(
                "OPERATOR_TOKENS",
                &operator,
                "operator",
                |name| !name.is_empty(),
                bytes_min,
            )),
            partner_keys: reader.but_for(credential::partner_keys("PARTNER_KEYS", &partner, is_partner)),
            jwt_keys: reader.but_for(credential::owned_sets("JWT_KEYS", &jwt, is_partner, JwtKeys::parse)),
        };
        let both: Vec<_> = secrets
            .jwt_keys
            .iter()
            .filter(|(code, keys)| secrets.partner_keys.get(*code).is_some_and(|set| keys.shares_a_secret_with(set)))
            .map(|(code, _)| code.clone())
            .collect();
        for code in both {
            secrets.jwt_keys.remove(&code);
            reader.leave_out(format!("JWT_KEYS: {code} has the same secret in PARTNER_KEYS: a key is for one purpose"));
        }
        if development {
            tenants.iter().for_each(|tenant| secrets.tenant_tokens.add(tenant, DEVELOPMENT_TOKEN));
            secrets.operator_tokens.add("development", DEVELOPMENT_OPERATOR_TOKEN);
        }
        secrets
    }

    /// The secrets that a partner's modes need and that are not there, by the names of their variables.
    pub fn missing_of(&self, partner: &Partner) -> Vec<&'static str> {
        let missing = |mode: &AuthMode| match mode {
            AuthMode::Token => (!self.tenant_tokens.has(&partner.tenant)).then_some("TENANT_TOKENS"),
            AuthMode::Signature => (!self.partner_keys.contains_key(&partner.code)).then_some("PARTNER_KEYS"),
            AuthMode::Jwt => (!self.jwt_keys.contains_key(&partner.code)).then_some("JWT_KEYS"),
            AuthMode::PathKey => (!self.path_keys.has(&partner.code)).then_some("PATH_KEYS"),
            // What these go by stands in the partner's file.
            AuthMode::Open | AuthMode::Ip | AuthMode::Mtls => None,
        };
        partner.auth.iter().filter_map(missing).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{DEVELOPMENT, read};

    #[test]
    fn tokens_outside_development_are_long_and_never_the_public_ones() {
        let keys = format!("k1:{}", "ab".repeat(32));
        let production = |more: &[(&'static str, &'static str)]| {
            let base =
                [("ENVIRONMENT", "production"), ("ORIGIN_URL", "https://origin.bytec.com"), ("EDGE_KEYS", &*keys)];
            read(&[base.as_slice(), more].concat())
        };
        let config = production(&[]).unwrap();
        assert_eq!(config.secrets.operator_tokens.owner_of("default-operator-token", 0), None);
        assert!(!config.secrets.tenant_tokens.belong_to("bytec", "default-ts-token", 0));
        let config =
            production(&[("OPERATOR_TOKENS", "ann=default-operator-token"), ("PATH_KEYS", "rector=short")]).unwrap();
        assert_eq!(config.left_out.len(), 2, "both are too short");
        assert_eq!(config.secrets.operator_tokens.owner_of("default-operator-token", 0), None);
        assert!(!config.secrets.path_keys.belong_to("rector", "short", 0));
    }

    #[test]
    fn development_has_public_tokens() {
        let config = read(&DEVELOPMENT).unwrap();
        assert_eq!(config.secrets.operator_tokens.owner_of("default-operator-token", 0), Some("development"));
        assert!(config.secrets.tenant_tokens.belong_to("bytec", "default-ts-token", 0));
    }

    #[test]
    fn a_key_is_for_one_purpose() {
        let hex = "ab".repeat(32);
        let (partner, jwt) = (format!("rector=k1:{hex}"), format!("rector=j1:HS256:{hex}"));
        let variables = [DEVELOPMENT[0], DEVELOPMENT[1], ("PARTNER_KEYS", partner.as_str()), ("JWT_KEYS", &jwt)];
        let config = read(&variables).unwrap();
        assert!(config.left_out[0].starts_with("JWT_KEYS: rector has the same secret"), "{:?}", config.left_out);
        assert!(!config.left_out[0].contains(&hex) && !config.secrets.jwt_keys.contains_key("rector"));
    }

    #[test]
    fn one_wrong_entry_costs_its_owner_alone() {
        let good = format!("rector=k1:{}", "ab".repeat(32));
        let keys = format!("{good},newcomer=k1:{},s2s=k1:geheim,x", "cd".repeat(32));
        let config = read(&[DEVELOPMENT[0], DEVELOPMENT[1], ("PARTNER_KEYS", keys.as_str())]).unwrap();
        assert_eq!(config.secrets.partner_keys.keys().collect::<Vec<_>>(), ["rector"]);
        assert_eq!(config.left_out.len(), 3, "{:?}", config.left_out);
        assert!(!config.left_out.concat().contains("geheim"));
    }
}
