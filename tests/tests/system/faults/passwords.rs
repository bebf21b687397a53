//! Wrong, empty and missing passwords, at the proxies and at the homes themselves.

use super::{on_cluster, person};
use crate::front::read;
use crate::login::{Answer, ReadPorts, WAYS, expect};
use anyhow::{Result, ensure};
use system_tests::{Cluster, HOMES};

#[test]
fn no_password_but_the_right_one() -> Result<()> {
    on_cluster(|cluster| {
        let alice = person(cluster, "alice")?;
        let lena = person(cluster, "lena")?;
        // Entries without a password, with an empty one, and with one that no scheme can check.
        cluster.slapd.modify(&format!(
            "dn: {}\nchangetype: modify\ndelete: userPassword\n\n\
             dn: {}\nchangetype: modify\nreplace: userPassword\nuserPassword: {{NOSUCHSCHEME}}x\n",
            cluster.people.dn("sven"),
            cluster.people.dn("rosa"),
        ))?;
        for ports in doors(cluster, &alice.host)? {
            for wrong in [
                "wrong",
                "alice-secre",
                "alice-secret ",
                "ALICE-SECRET",
                "{SSHA}x",
                &lena.password,
            ] {
                expect(ports, &alice.mail, wrong, Answer::Refused)?;
            }
            expect(ports, &alice.mail, &alice.password, Answer::Accepted)?;
        }
        let (sven, rosa) = (person(cluster, "sven")?, person(cluster, "rosa")?);
        for tried in ["sven-secret", "x", ""] {
            for ports in doors(cluster, &sven.host)? {
                never_in(ports, &sven.mail, tried)?;
            }
        }
        // Nobody can tell whether a password fits an unknown scheme, so this may be "try later".
        for tried in ["rosa-secret", "{NOSUCHSCHEME}x", "x"] {
            for ports in doors(cluster, &rosa.host)? {
                for way in WAYS {
                    let answer = way.try_login(ports, &rosa.mail, tried)?;
                    ensure!(answer != Answer::Accepted, "{way:?} let rosa in with {tried:?}");
                }
            }
        }
        Ok(())
    })
}

#[test]
fn empty_passwords_and_names_that_are_patterns() -> Result<()> {
    on_cluster(|cluster| {
        let alice = person(cluster, "alice")?;
        for ports in doors(cluster, &alice.host)? {
            // RFC 4513 section 5.1.2: an empty password would be an unauthenticated bind, which succeeds.
            never_in(ports, &alice.mail, "")?;
            // LDAP filter and DN injection, wildcards, and a distinguished name for a login.
            for login in [
                "*",
                "a*@localdomain.test",
                "alice@localdomain.test)(uid=*",
                "*)(mail=alice@localdomain.test",
                "alice\\2a",
                &cluster.people.dn("alice"),
                "nobody@localdomain.test",
                "alice@elsewhere.example",
            ] {
                never_in(ports, login, &alice.password)?;
            }
        }
        Ok(())
    })
}

/// The front end, and the home of the account.
fn doors(cluster: &Cluster, host: &str) -> Result<Vec<ReadPorts>> {
    let homes = HOMES.iter().zip(&cluster.home_ports);
    let mut doors: Vec<ReadPorts> = homes
        .filter(|(name, _)| **name == host)
        .map(|(_, ports)| read(*ports))
        .collect();
    ensure!(doors.len() == 1, "{host} is no home");
    doors.push(read(cluster.front_ports));
    Ok(doors)
}

/// Whatever the words are, they are a refusal for good.
fn never_in(ports: ReadPorts, login: &str, password: &str) -> Result<()> {
    for way in WAYS {
        let reply = way.reply(ports, login, password)?;
        let refused = ["NO", "BAD", "-ERR"].iter().any(|start| reply.starts_with(start));
        ensure!(refused, "{way:?} of {login} with {password:?}: {reply}");
        ensure!(
            !reply.contains("[UNAVAILABLE]") && !reply.contains("SYS/TEMP"),
            "{way:?} of {login} with {password:?} is no passing thing: {reply}"
        );
    }
    Ok(())
}
