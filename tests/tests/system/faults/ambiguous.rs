//! Two entries with one address: an error of the directory's administrator, never a guess.

use super::{on_cluster, person, recipient, send};
use crate::front::read;
use crate::login::{Answer, WAYS, expect};
use anyhow::{Result, ensure};
use system_tests::steps::eventually;
use system_tests::{Cluster, HOMES};
use testkit::Person;

#[test]
fn never_the_first_one() -> Result<()> {
    on_cluster(|cluster| {
        let david = person(cluster, "david")?;
        expect(
            read(cluster.front_ports),
            &david.mail,
            &david.password,
            Answer::Accepted,
        )?;
        let twin = Person {
            uid: "david-twin".to_owned(),
            password: "twin-secret".to_owned(),
            host: HOMES
                .iter()
                .find(|host| **host != david.host)
                .copied()
                .unwrap_or_default()
                .to_owned(),
            ..david.clone()
        };
        cluster.slapd.add(&cluster.people.person_ldif(&twin))?;
        // Cached answers are a second old at most.
        eventually("RCPT hears of the two entries", || {
            let reply = recipient(cluster.front_ports.smtp, &david.mail)?;
            Ok(reply.code == 451 && reply.enhanced() == Some("4.3.5"))
        })?;
        eventually("every login hears \"try later\"", || {
            for way in WAYS {
                for password in [&david.password, &twin.password] {
                    let answer = way.try_login(read(cluster.front_ports), &david.mail, password)?;
                    if answer != Answer::Later {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        })?;
        both_are_named(cluster, &david.mail)?;
        let known = cluster.accounts(&david.host)?;
        ensure!(
            known
                .iter()
                .any(|(mail, state)| *mail == david.mail && state == "active"),
            "the account suffered: {known:?}"
        );
        cluster.slapd.delete(&cluster.people.dn("david-twin"))?;
        eventually("one entry again: everything as before", || {
            let login = WAYS[0].try_login(read(cluster.front_ports), &david.mail, &david.password)?;
            Ok(
                login == Answer::Accepted
                    && send(cluster.front_ports.smtp, &david.mail, "again")?.code == 250,
            )
        })
    })
}

#[test]
fn an_alias_counts_as_an_address() -> Result<()> {
    on_cluster(|cluster| {
        let oskar = person(cluster, "oskar")?;
        cluster.slapd.modify(&format!(
            "dn: {}\nchangetype: modify\nadd: mailLocalAddress\nmailLocalAddress: {}\n",
            cluster.people.dn("paula"),
            oskar.mail
        ))?;
        eventually("RCPT hears of the two entries", || {
            let reply = recipient(cluster.front_ports.smtp, &oskar.mail)?;
            Ok(reply.code == 451 && reply.enhanced() == Some("4.3.5"))
        })
    })
}

/// `route explain` names the entries, so that somebody can repair them.
fn both_are_named(cluster: &Cluster, address: &str) -> Result<()> {
    let config = cluster.front.config().display().to_string();
    let (_, stdout, stderr) = cluster
        .binary
        .output(&["route", "explain", address, "--config", &config])?;
    let said = format!("{stdout}{stderr}");
    for uid in ["david", "david-twin"] {
        let dn = cluster.people.dn(uid);
        ensure!(said.contains(&dn), "route explain does not name {dn}:\n{said}");
    }
    Ok(())
}
