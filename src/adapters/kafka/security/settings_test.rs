use super::*;

fn read(toml: &str) -> SecuritySettings {
    toml::from_str(toml).unwrap()
}

#[test]
fn nothing_set_is_plaintext_and_needs_nothing() {
    assert_eq!(read("").properties("b:1").unwrap(), [("security.protocol", "plaintext".to_owned())]);
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_refuses_a_configuration_that_asks_for_it() {
    for protocol in ["ssl", "sasl_ssl", "sasl_plaintext"] {
        let error = read(&format!("protocol = \"{protocol}\"")).check("b:1").unwrap_err();
        assert!(matches!(error, SecurityError::NotBuilt(_)), "{error}");
    }
}

#[cfg(feature = "tls")]
mod with_tls {
    use super::*;

    fn problems(toml: &str, brokers: &str) -> Vec<String> {
        match read(toml).check(brokers) {
            Err(SecurityError::Settings(problems)) => problems,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn everything_that_is_wrong_is_found_at_once() {
        let found = problems("protocol = \"sasl_ssl\"\nmechanism = \"PLAIN\"\ncertificate_file = \"c.pem\"", "b:1");
        assert_eq!(found.len(), 3, "{found:?}");
        for part in ["key_file", "username", "password"] {
            assert!(found.iter().any(|problem| problem.contains(part)), "{part}: {found:?}");
        }
    }

    #[test]
    fn what_would_not_be_used_is_an_error() {
        let found = problems("username = \"u\"\npassword = \"p\"\nca_file = \"ca.pem\"", "b:1");
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(problems("protocol = \"ssl\"\nmechanism = \"PLAIN\"", "b:1").len(), 1);
        let two = "protocol = \"sasl_ssl\"\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword = \"p\"\n";
        assert!(problems(&format!("{two}password_file = \"f\""), "b:1")[0].contains("both"));
        assert!(problems(&format!("{two}token_file = \"f\""), "b:1")[0].contains("token_file"));
    }

    #[test]
    fn certificates_and_names_are_verified_and_only_a_setting_of_its_own_lets_names_be() {
        let set = |toml: &str| read(toml).properties("b:1").unwrap();
        let strict = set("protocol = \"ssl\"");
        assert!(strict.contains(&("enable.ssl.certificate.verification", "true".to_owned())));
        assert!(strict.contains(&("ssl.endpoint.identification.algorithm", "https".to_owned())));
        let lax = set("protocol = \"ssl\"\nallow_any_host_name = true");
        assert!(lax.contains(&("enable.ssl.certificate.verification", "true".to_owned())));
        assert!(lax.contains(&("ssl.endpoint.identification.algorithm", "none".to_owned())));
    }

    #[test]
    fn credentials_go_in_the_clear_only_to_loopback_and_only_where_that_is_said() {
        let plain = "protocol = \"sasl_plaintext\"\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword = \"p\"\n";
        let allowed = format!("{plain}allow_sasl_plaintext = true");
        assert!(problems(plain, "localhost:9092")[0].contains("in the clear"));
        assert!(problems(&allowed, "localhost:9092,kafka:9092")[0].contains("in the clear"));
        assert!(read(&allowed).check("localhost:9092,127.0.0.1:9093, [::1]:9094").is_ok());
    }

    #[test]
    fn a_token_needs_a_file_with_a_jwt_that_is_valid() {
        use base64::Engine as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let settings = format!("protocol = \"sasl_ssl\"\nmechanism = \"OAUTHBEARER\"\ntoken_file = {file:?}");
        let jwt = |exp: u64| {
            let claims = format!("{{\"sub\":\"worker\",\"exp\":{exp}}}");
            format!("e30.{}.c2ln", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
        };
        for (text, part) in [(String::new(), "is empty"), ("opaque".to_owned(), "no JWT"), (jwt(1_000), "has expired")]
        {
            std::fs::write(&file, text).unwrap();
            let found = problems(&settings, "b:1");
            assert!(found[0].contains(part), "{found:?}");
        }
        std::fs::write(&file, jwt(99_999_999_999)).unwrap();
        assert!(read(&settings).check("b:1").is_ok());
        let token = context::read_token(&file).unwrap();
        assert_eq!(token.principal_name, "worker");
        assert!(token.lifetime_ms < 99_999_999_999_000, "it is read again long before: {}", token.lifetime_ms);
    }

    #[test]
    fn no_secret_is_printed() {
        let settings =
            read("protocol = \"sasl_ssl\"\nmechanism = \"PLAIN\"\npassword = \"hunter2\"\nkey_password = \"hunter3\"");
        let printed = format!("{settings:?} {:?}", settings.check("b:1"));
        assert!(!printed.contains("hunter"), "{printed}");
    }
}
