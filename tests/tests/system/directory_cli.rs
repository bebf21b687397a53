//! `homing directory` against a real slapd: every command, its answer and its exit code.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use testkit::{Homing, HomingBinary, Slapd, SlapdOptions, free_port};

const SUFFIX: &str = "dc=example,dc=test";
const USERS: &str = "ou=Users,o=example,dc=example,dc=test";

const ALICE: &str = "\
dn: uid=alice,ou=Users,o=example,dc=example,dc=test
objectClass: inetOrgPerson
objectClass: inetLocalMailRecipient
uid: alice
cn: Alice
sn: Example
mail: alice@example.test
userPassword: alice-secret
";

const MOVE: &str = "\
dn: uid=alice,ou=Users,o=example,dc=example,dc=test
changetype: modify
add: mailHost
mailHost: store1.example.test
";

fn config(slapd: &Slapd, port: u16) -> String {
    format!(
        "server_name = \"store1.example.test\"\n\
         [[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"{}\"]\n\
         bind_dn = \"{}\"\nbind_password = \"{}\"\nwrite_bind_dn = \"{}\"\nwrite_bind_password = \"{}\"\n\
         domains = [\"example.test\"]\naccounts.base_dn = [\"{USERS}\"]\n\
         groups.base_dn = [\"ou=Groups,o=example,{SUFFIX}\"]\n\
         [[user_map]]\nname = \"corp\"\nkind = \"ldap-bind\"\nconnector = \"corp\"\n\
         [[domain]]\nname = \"example.test\"\n\
         [[imap.listener]]\naddress = \"127.0.0.1:{port}\"\n",
        slapd.uri(),
        slapd.reader.dn,
        slapd.reader.password,
        slapd.root.dn,
        slapd.root.password
    )
}

/// Runs `homing directory ARGS` and answers exit code and standard output.
pub(crate) fn run(
    homing: &Homing,
    binary: &HomingBinary,
    args: &[&str],
    input: &str,
) -> Result<(i32, String)> {
    let mut child = Command::new(binary.path())
        .arg("--config")
        .arg(homing.config())
        .arg("directory")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("standard input")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let code = output.status.code().context("ended by a signal")?;
    Ok((code, String::from_utf8(output.stdout)?))
}

#[test]
fn every_command_answers_and_its_exit_code_says_how_it_went() -> Result<()> {
    let binary = HomingBinary::find()?;
    let options = SlapdOptions {
        suffix: SUFFIX.to_owned(),
        port: 0,
    };
    let mut slapd = Slapd::start(&binary, &options, "")?;
    let mut homing = Homing::start(&binary, &config(&slapd, free_port()?))?;
    let ask = |args: &[&str], input: &str| run(&homing, &binary, args, input);
    let expect = |args: &[&str], input: &str, code: i32, part: &str| -> Result<()> {
        let (found, text) = ask(args, input)?;
        ensure!(
            found == code && text.contains(part),
            "{args:?}: {found}, {text:?}"
        );
        Ok(())
    };
    expect(&["check"], "", 0, "the server gives a cookie and takes it back")?;
    expect(&["add"], ALICE, 0, "added uid=alice")?;
    expect(&["add"], ALICE, 1, "")?;
    expect(&["add"], &format!("{ALICE}\n{ALICE}"), 64, "")?;
    expect(&["add"], MOVE, 64, "")?;
    expect(&["check"], "", 1, "1 entries without a host: uid=alice")?;
    expect(&["modify"], MOVE, 0, "changed uid=alice")?;
    expect(&["modify"], ALICE, 64, "")?;
    expect(&["check"], "", 0, "every entry has one mailHost")?;
    let found = "dn: uid=alice,ou=Users,o=example,dc=example,dc=test\nmail: alice@example.test\n";
    expect(&["search", "(uid=alice)", "mail"], "", 0, found)?;
    expect(&["search", "(uid=nobody)"], "", 1, "")?;
    expect(&["search", "(uid=alice"], "", 64, "")?;
    expect(
        &["test-lookup", "alice+x@example.test"],
        "",
        0,
        "(mail=alice+x@example.test)",
    )?;
    expect(
        &["test-lookup", "nobody@example.test"],
        "",
        1,
        "=> no such address",
    )?;
    expect(
        &["test-login", "alice"],
        "alice-secret\n",
        0,
        "=> accepted: logged in as alice@example.test",
    )?;
    expect(
        &["test-login", "alice"],
        "wrong\n",
        1,
        "=> rejected: the password is not the entry's",
    )?;
    expect(
        &["test-login", "alice", "--method", "ldap-password"],
        "alice-secret",
        0,
        "method    ldap-password",
    )?;
    expect(&["test-login", "nobody"], "x", 1, "=> no entry")?;
    expect(
        &["delete", &format!("uid=alice,{USERS}")],
        "",
        0,
        "deleted uid=alice",
    )?;
    expect(&["delete", &format!("uid=alice,{USERS}")], "", 1, "")?;
    expect(&["delete", "alice"], "", 64, "")?;
    expect(&["check", "nosuch"], "", 64, "")?;
    // What this server holds goes into a directory as it is printed.
    homing.command_with_input(
        &["account", "create", "bob@example.test", "--password-stdin"],
        b"bob-secret-1",
    )?;
    homing.command(&[
        "group",
        "create",
        "staff@example.test",
        "--member",
        "bob@example.test",
    ])?;
    let (code, ldif) = ask(&["ldif"], "")?;
    ensure!(code == 0 && !ldif.contains("userPassword"), "{code}: {ldif}");
    slapd.add(&ldif)?;
    let group = slapd.search(SUFFIX, "(mail=staff@example.test)", &["member"])?;
    ensure!(group.contains(&format!("member: uid=bob,{USERS}")), "{group}");
    slapd.kill()?;
    let (code, text) = ask(&["--json", "check"], "")?;
    let reports: Value = serde_json::from_str(&text)?;
    ensure!(
        code == 75 && reports[0]["verdict"] == "no-answer",
        "{code}: {text}"
    );
    expect(&["test-lookup", "bob@example.test"], "", 75, "cannot answer now")?;
    expect(&["test-login", "bob"], "x", 75, "=> unavailable")?;
    expect(&["search"], "", 75, "")?;
    homing.stop()?;
    expect_ldif_needs_a_server(&homing, &binary)
}

fn expect_ldif_needs_a_server(homing: &Homing, binary: &HomingBinary) -> Result<()> {
    let (code, _) = run(homing, binary, &["ldif"], "")?;
    ensure!(code == 69, "{code}");
    Ok(())
}
