//! Client certificates (SASL EXTERNAL): curl and Python, at the home and through a front end that vouches.

use super::{Options, PROTOCOLS, Site, expect, python};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::{Authority, Certificate, run_with_input};

#[test]
fn a_certificate_logs_its_owner_in() -> Result<()> {
    let site = Site::start(Options::default())?;
    let (front, front_doors) = site.front(Options::default(), "kind = \"ldap-password\"")?;
    let (alice, bob) = (site.mail("alice"), site.mail("bob"));
    let alices = site.authority.person("alice", &[&alice])?;
    let both = site.authority.person("both", &[&alice, &bob])?;
    let nobodys = site.authority.person("nobody", &[&site.mail("nobody")])?;
    let other = Authority::new(&site.scratch.folder("other")?)?;
    let foreign = other.person("alice", &[&alice])?;
    for (name, doors) in [("home", site.home_doors), ("front", front_doors)] {
        let mut attempts: Vec<(Value, &str)> = Vec::new();
        for protocol in PROTOCOLS {
            for mode in ["starttls", "implicit"] {
                let attempt = |certificate: &Certificate, authzid: &str| {
                    let how = json!({
                        "mechanism": "EXTERNAL", "authzid": authzid, "certificate": certificate.certificate,
                        "key": certificate.key,
                    });
                    site.attempt(doors, protocol, mode, how)
                };
                attempts.push((attempt(&alices, ""), "in"));
                attempts.push((attempt(&alices, &alice), "in"));
                attempts.push((attempt(&alices, &bob), "refused"));
                attempts.push((attempt(&both, &bob), "in"));
                // Which of the two?
                attempts.push((attempt(&both, ""), "refused"));
                attempts.push((attempt(&nobodys, ""), "refused"));
                announced_to_those_who_have_one(&site, doors, protocol, mode, &alices)?;
            }
        }
        expect(&attempts)
            .with_context(|| format!("{name}\n{}\n{}", site.home.log_tail(), front.log_tail()))?;
        for protocol in PROTOCOLS {
            curl_in(&site, doors.ports("implicit"), protocol, &alices).context(name)?;
            // Another authority's certificate is none.
            let refused = curl_in(&site, doors.ports("implicit"), protocol, &foreign);
            ensure!(refused.is_err(), "{name}: anybody's certificate is taken");
        }
    }
    Ok(())
}

fn announced_to_those_who_have_one(
    site: &Site,
    doors: super::Doors,
    protocol: &str,
    mode: &str,
    certificate: &Certificate,
) -> Result<()> {
    let files = json!({ "certificate": certificate.certificate, "key": certificate.key });
    let told = python(&[
        site.attempt(doors, protocol, mode, json!({})),
        site.attempt(doors, protocol, mode, files),
    ])?;
    ensure!(!told[0]["after"].to_string().contains("EXTERNAL"), "{told:?}");
    ensure!(told[1]["after"].to_string().contains("EXTERNAL"), "{told:?}");
    // A certificate does no harm to who logs in by a password all the same.
    let how = json!({
        "mechanism": "PLAIN", "login": site.mail("alice"), "password": "alice-secret",
        "certificate": certificate.certificate, "key": certificate.key,
    });
    expect(&[(site.attempt(doors, protocol, mode, how), "in")]).map(drop)
}

fn curl_in(
    site: &Site,
    ports: crate::login::ReadPorts,
    protocol: &str,
    certificate: &Certificate,
) -> Result<String> {
    let port = if protocol == "imap" {
        ports.imap
    } else {
        ports.pop3
    };
    let url = format!("{protocol}s://127.0.0.1:{port}/");
    let (ca, cert, key) = (
        site.ca(),
        certificate.certificate.display().to_string(),
        certificate.key.display().to_string(),
    );
    let user = format!("{}:", site.mail("alice"));
    let args = [
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--cacert",
        &ca,
        "--cert",
        &cert,
        "--key",
        &key,
        "--login-options",
        "AUTH=EXTERNAL",
        "--user",
        &user,
        &url,
    ];
    run_with_input("curl", &args, b"")
}
