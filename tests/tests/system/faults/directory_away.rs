//! The directory is killed, or hangs, and comes back.

use super::{on_cluster, person, recipient, send};
use crate::front::read;
use crate::login::{Answer, WAYS, expect};
use anyhow::{Context, Result, ensure};
use system_tests::steps::eventually;
use system_tests::{Cluster, HOMES};
use testkit::Person;

#[test]
fn killed_and_started_again() -> Result<()> {
    on_cluster(|cluster| {
        warm(cluster)?;
        cluster.slapd.kill()?;
        degraded(cluster)?;
        cluster.slapd.restart()?;
        healed(cluster)?;
        // A second time, while the connections are fresh.
        cluster.slapd.kill()?;
        cluster.slapd.restart()?;
        healed(cluster)
    })
}

#[test]
fn hanging_is_as_good_as_dead() -> Result<()> {
    on_cluster(|cluster| {
        warm(cluster)?;
        cluster.slapd.child().context("slapd runs")?.freeze();
        degraded(cluster)?;
        cluster.slapd.child().context("slapd runs")?.thaw();
        healed(cluster)
    })
}

/// alice logs in and gets mail, so that both caches know her.
fn warm(cluster: &Cluster) -> Result<()> {
    let alice = person(cluster, "alice")?;
    expect(
        read(cluster.front_ports),
        &alice.mail,
        &alice.password,
        Answer::Accepted,
    )?;
    let reply = send(cluster.front_ports.smtp, &alice.mail, "before")?;
    ensure!(reply.code == 250, "{reply:?}");
    Ok(())
}

/// Known people go on; whatever only the directory can tell is "try later", never "no".
fn degraded(cluster: &Cluster) -> Result<()> {
    let (alice, lena) = (person(cluster, "alice")?, person(cluster, "lena")?);
    let front = read(cluster.front_ports);
    expect(front, &alice.mail, &alice.password, Answer::Accepted)?;
    expect(front, &lena.mail, &lena.password, Answer::Later)?;
    expect(front, &lena.mail, "wrong", Answer::Later)?;
    expect(front, "nobody@localdomain.test", "x", Answer::Later)?;
    let reply = send(cluster.front_ports.smtp, &alice.mail, "meanwhile")?;
    ensure!(reply.code == 250, "{reply:?}");
    let reply = recipient(cluster.front_ports.smtp, "nobody@localdomain.test")?;
    ensure!(
        reply.code == 451 && reply.enhanced() == Some("4.4.3"),
        "{reply:?}"
    );
    // Another domain is refused by the front end's own list.
    let reply = recipient(cluster.front_ports.smtp, "x@elsewhere.example")?;
    ensure!(reply.code == 550, "{reply:?}");
    // The home knows its accounts, but not the passwords.
    let home = HOMES
        .iter()
        .position(|host| *host == lena.host)
        .context("lena's home")?;
    let ports = cluster.home_ports.get(home).context("lena's home")?;
    expect(read(*ports), &lena.mail, &lena.password, Answer::Later)
}

/// Everything is definite again, nothing was lost, and the sync goes on.
fn healed(cluster: &mut Cluster) -> Result<()> {
    let lena = person(cluster, "lena")?;
    let front = read(cluster.front_ports);
    for way in WAYS {
        eventually("lena logs in", || {
            Ok(way.try_login(front, &lena.mail, &lena.password)? == Answer::Accepted)
        })?;
        eventually("a wrong password is wrong", || {
            Ok(way.try_login(front, &lena.mail, "wrong")? == Answer::Refused)
        })?;
    }
    eventually("nobody is nobody", || {
        Ok(recipient(cluster.front_ports.smtp, "nobody@localdomain.test")?.code == 550)
    })?;
    let uid = format!("late{}", cluster.people.persons.len());
    let late = Person {
        mail: format!("{uid}@localdomain.test"),
        password: format!("{uid}-secret"),
        uid,
        ..lena
    };
    cluster.slapd.add(&cluster.people.person_ldif(&late))?;
    cluster.people.persons.push(late.clone());
    eventually("the sync brings a new account", || {
        Ok(cluster
            .accounts(&late.host)?
            .contains(&(late.mail.clone(), "active".to_owned())))
    })?;
    for host in HOMES {
        let active = cluster
            .accounts(host)?
            .iter()
            .filter(|(_, state)| state == "active")
            .count();
        ensure!(
            active == cluster.people.on_host(host).count(),
            "{host} lost accounts: {active}"
        );
    }
    Ok(())
}
