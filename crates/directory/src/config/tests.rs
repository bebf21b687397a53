//! Configuration texts, good and bad.

use super::*;

/// The smallest connector, as a configuration file has it, with further lines.
fn connector(more: &str) -> Result<ConnectorConfig, String> {
    let text = format!(
        "name = \"main\"\nuris = [\"ldap://127.0.0.1\"]\nserver_type = \"openldap\"\n{more}\n[accounts]\nbase_dn = [\"ou=Users,dc=test\"]\n"
    );
    toml::from_str(&text).map_err(|error| error.to_string())
}

#[test]
fn the_smallest_connector_is_good() {
    let config = connector("").expect("parses");
    assert_eq!(config.check(), []);
    let default = ConnectorConfig::openldap("main", config.uris.clone(), config.accounts.base_dn.clone());
    assert_eq!(default.check(), []);
    assert_eq!(
        (config.timeout, config.polling_interval, config.page_size),
        (4, 30, 500)
    );
    assert!(config.has_host());
}

#[test]
fn unknown_keys_and_values_are_refused() {
    for more in [
        "bind_dm = \"cn=x\"",
        "direction = \"sideways\"",
        "conflict_resolution = \"newest-wins\"",
        "server_type = \"openldap\"",
        "on_delete = \"explode\"",
        "guard = { limits = 3 }",
        "attributes = { mial = \"mail\" }",
        "attributes = { enabled = { attribute = \"x\", kind = \"maybe\" } }",
        "timeout = -1",
    ] {
        assert!(connector(more).is_err(), "{more}");
    }
    assert!(toml::from_str::<UserMapConfig>("name = \"a\"\nkind = \"ldap\"").is_err());
    assert!(toml::from_str::<HomeConfig>("name = \"a\"\nimap = { prot = 1 }").is_err());
}

#[test]
fn checks_name_the_key() {
    for (more, key) in [
        ("timeout = 0", "timeout"),
        ("timeout = 601", "timeout"),
        ("polling_interval = 0", "polling_interval"),
        ("retry_interval = 61", "retry_interval"),
        ("retention = 0", "retention"),
        ("conflict_retention = 0", "conflict_retention"),
        ("page_size = 0", "page_size"),
        ("max_entry = 0", "max_entry"),
        ("max_entry = 1025", "max_entry"),
        ("credential_ttl = 3601", "credential_ttl"),
        ("guard = { percent = 0 }", "guard.percent"),
        ("bind_dn = \"cn=x\"", "bind_password"),
        ("bind_dn = \"x\"\nbind_password = \"y\"", "bind_dn"),
        ("bind_dn = \"cn=x\"\nbind_password = \"\"", "bind_password"),
        ("bind_password = \"y\"", "bind_dn"),
        (
            "bind_dn = \"cn=x\"\nbind_password = \"y\"\nbind_password_env = \"Z\"",
            "bind_password",
        ),
        ("bind_dn = \"cn=x\"\nsasl_external = true", "sasl_external"),
        ("client_cert = \"/x\"", "client_key"),
        ("address_pattern = \"(mail=%e\"", "address_pattern"),
        ("address_pattern = \"(mail=x)\"", "address_pattern"),
        ("login_pattern = \"(%u=x)\"", "login_pattern"),
        ("search_pattern = \"(mail=%z)\"", "search_pattern"),
        (
            "search_pattern = \"(mail=%e)\"\nlogin_pattern = \"(uid=%u)\"",
            "search_pattern",
        ),
        ("attributes = { mail = \"no name\" }", "attributes"),
        (
            "domains = [\"a.test\"]\ndefault_domain = \"b.test\"",
            "default_domain",
        ),
        ("groups = { base_dn = [\"dc=other\"] }", "accounts.base_dn"),
        ("groups = { base_dn = [\"nonsense\"] }", "groups.base_dn.0"),
        ("groups = { filter = \"(x=y)\" }", "groups.base_dn"),
        (
            "groups = { base_dn = [\"ou=g,dc=test\"], filter = \"(x\" }",
            "groups.filter",
        ),
    ] {
        let problems = connector(more).expect(more).check();
        assert!(
            problems.iter().any(|problem| problem.key == key),
            "{more}: {problems:?}"
        );
    }
}

#[test]
fn passwords_do_not_cross_networks_in_the_clear() {
    let at = |uri: &str, more: &str| {
        let mut config = connector(more).expect("parses");
        config.uris = vec![uri.to_owned()];
        config.check()
    };
    for (uri, more, problems) in [
        ("ldap://ldap.example.test", "", 0),
        ("ldap://ldap.example.test", "tls = \"starttls\"", 0),
        ("ldap://ldap.example.test", "tls = \"none\"", 1),
        (
            "ldap://ldap.example.test",
            "tls = \"none\"\nallow_plaintext = true",
            0,
        ),
        ("ldap://127.0.0.1", "tls = \"none\"", 0),
        ("ldaps://ldap.example.test", "tls = \"none\"", 0),
        ("ldapi://%2Frun%2Fslapd%2Fldapi", "tls = \"none\"", 0),
        ("http://ldap.example.test", "", 1),
    ] {
        assert_eq!(at(uri, more).len(), problems, "{uri} {more}");
    }
    let mut many = connector("").expect("parses");
    many.uris = vec!["ldap://127.0.0.1".to_owned(); 6];
    assert_eq!(many.check().len(), 1);
    many.uris.clear();
    assert_eq!(many.check().len(), 1);
}

#[test]
fn active_directory_has_no_host_of_its_own() {
    let mut config = connector("clustered = true").expect("parses");
    config.server_type = ServerType::ActiveDirectory;
    assert!(!config.has_host());
    assert_eq!(config.check().len(), 1);
    config.attributes.host = Some("extensionAttribute1".to_owned());
    assert_eq!(config.check(), []);
}

#[test]
fn user_maps() {
    for (text, keys) in [
        ("kind = \"local-file\"\npath = \"/x\"", &[][..]),
        ("kind = \"local-file\"", &["path"]),
        (
            "kind = \"local-file\"\npath = \"/x\"\nconnector = \"main\"",
            &["connector"],
        ),
        ("kind = \"ldap-bind\"\nconnector = \"main\"\nlive = true", &[]),
        ("kind = \"local-file\"\npath = \"/x\"\nlive = true", &["live"]),
        ("kind = \"ldap-bind\"\nconnector = \"other\"", &["connector"]),
        ("kind = \"ldap-password\"\npath = \"/x\"", &["path", "connector"]),
        (
            "kind = \"ldap-bind\"\nconnector = \"main\"\non_no_match = \"default\"",
            &["default_home"],
        ),
        (
            "kind = \"ldap-bind\"\nconnector = \"main\"\ndefault_home = \"a\"",
            &["default_home"],
        ),
        (
            "kind = \"ldap-bind\"\nconnector = \"main\"\non_no_match = \"default\"\ndefault_home = \"a b\"",
            &["default_home"],
        ),
        (
            "kind = \"ldap-bind\"\nconnector = \"main\"\ncache_ttl = 86401\nnegative_ttl = 3601",
            &["cache_ttl", "negative_ttl"],
        ),
    ] {
        let config: UserMapConfig = toml::from_str(&format!("name = \"m\"\n{text}")).expect(text);
        let found: Vec<String> = config
            .check(&["main"])
            .into_iter()
            .map(|problem| problem.key)
            .collect();
        assert_eq!(found, keys, "{text}");
    }
}

#[test]
fn homes() {
    for (text, keys) in [
        (
            "name = \"a.test\"\nimap = { port = 1143, tls = \"implicit\" }",
            &[][..],
        ),
        ("name = \"a.test:143\"", &["name"]),
        (
            "name = \"a.test\"\nhost = \"b:1\"\npop3 = { port = 0 }\nconnect_timeout = 0",
            &["host", "pop3.port", "connect_timeout"],
        ),
        ("name = \"a.test\"\nclient_key = \"/x\"", &["client_key"]),
    ] {
        let config: HomeConfig = toml::from_str(text).expect(text);
        let found: Vec<String> = config.check().into_iter().map(|problem| problem.key).collect();
        assert_eq!(found, keys, "{text}");
    }
}
