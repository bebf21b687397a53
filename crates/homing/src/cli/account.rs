//! `homing account`.

use super::client::{Client, segment};
use super::{Failure, Global, output};
use clap::{Args, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use std::io::{IsTerminal, Read};

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Create an account in a domain that exists.
    ///
    /// In a domain that is synchronised in both directions an entry is made for it, without the password: that is kept here.
    /// Where logins are compared in the directory (front ends do), homing account password sets it there once the entry is made.
    #[command(
        after_help = "Example: printf %s \"$PASSWORD\" | homing account create alice@example.org --password-stdin"
    )]
    Create {
        /// The address, local-part@domain.
        address: String,
        /// Read the password from standard input instead of asking for it.
        #[arg(long)]
        password_stdin: bool,
        /// The name that people see.
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
        /// Another address of the account; may be given several times.
        #[arg(long = "alias", value_name = "ADDRESS")]
        aliases: Vec<String>,
    },
    /// List accounts in the order of their creation.
    #[command(after_help = "Example: homing account list --state moved-away")]
    List {
        /// Only accounts in this state: active, disabled, deleted, moved-away or awaiting-mail. Whose entry is gone is
        /// deleted, also with on_delete = "disable": its mail is kept and it can be brought back.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show one account.
    #[command(after_help = "Example: homing account show alice@example.org")]
    Show {
        /// The account's address or one of its aliases.
        address: String,
    },
    /// Change what people know an account by; only what is named. Goes to the directory where the direction says so.
    ///
    /// Refused for what the directory alone decides (direction ldap-to-local), for it would be undone.
    #[command(
        after_help = "Example: homing account change alice@example.org --display-name 'Alice A.' --quota '1 GiB'\nExample: homing account change alice@example.org --address alice.a@example.org --add-alias alice@example.org"
    )]
    Change(Change),
    /// Set the password where it is read: in the directory when the account comes from there and password_change
    /// allows it, here otherwise.
    #[command(after_help = "Example: homing account password alice@example.org")]
    Password {
        /// The account's address.
        address: String,
        /// Read the password from standard input instead of asking for it.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change the password as its owner, who knows the old one. Asks for both; a directory's password policy has
    /// the last word.
    #[command(
        after_help = "Example: homing account change-password alice@example.org\n\nFrom a script: printf '%s\\n%s\\n' \"$OLD\" \"$NEW\" | homing account change-password alice@example.org --password-stdin"
    )]
    ChangePassword {
        /// The account's address.
        address: String,
        /// Read two lines from standard input, the old password and the new one, instead of asking for them.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Let nobody log in to the account; what happens to its mail is for disabled_delivery to say.
    #[command(after_help = "Example: homing account disable alice@example.org")]
    Disable {
        /// The account's address.
        address: String,
    },
    /// Undo a disable or a delete. A deleted account is named by its number, for its address is free for others.
    #[command(after_help = "Example: homing account enable 17")]
    Enable {
        /// The account's address, or its number in the list.
        address: String,
    },
    /// Let the mail of an account go that has moved to another home: it is kept for the retention time and then erased.
    ///
    /// Mail of a moved account is never erased by itself, for this server cannot know whether the other one has it.
    #[command(after_help = "Example: homing account release 17")]
    Release {
        /// The account's address, or its number in the list.
        address: String,
    },
    /// Open an account that waits for its mail from another home, without that mail.
    ///
    /// An account whose entry came from another home stays closed until that home has sent its mail. This is for a home that
    /// never will: it has no mail of the account, or is gone. Whatever it still has does not come here.
    #[command(after_help = "Example: homing account open alice@example.org")]
    Open {
        /// The account's address, or its number in the list.
        address: String,
    },
    /// Bring a deleted account back with its mail, under its own address or another one.
    ///
    /// Where its directory entry is gone, the account is unlinked from it and held, or the next comparison would delete
    /// it again. With --as it takes an address that is free, when a successor has the old one. With --into the successor
    /// gets the mail: it is copied to mailboxes of the same names, and the deleted account stays as it is. A new entry
    /// never gets the mail of a namesake by itself, for only a person knows whether the two are the same.
    #[command(
        after_help = "Example: homing account undelete 17 --as alice.old@example.org\nExample: homing account undelete 17 --into alice@example.org"
    )]
    Undelete {
        /// The account's number in the list, for its address is free for others.
        account: String,
        /// Its address from now on.
        #[arg(long = "as", value_name = "ADDRESS")]
        address: Option<String>,
        /// Copy its mail to this account, and leave it deleted. May be repeated: what is there is not copied again.
        #[arg(long, value_name = "ADDRESS", conflicts_with = "address")]
        into: Option<String>,
    },
    /// Delete an account: login ends at once, the mail is kept for the retention time.
    ///
    /// Where a connector writes to the directory (both-ways, local-to-ldap), the account's entry is deleted there too, and
    /// "undelete" does not bring it back. To keep the entry: homing sync unlink first, or homing account disable instead.
    #[command(after_help = "Example: homing account delete alice@example.org")]
    Delete {
        /// The account's address.
        address: String,
    },
}

/// What is to change.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The account's address or one of its aliases.
    account: String,
    /// Its address from now on; the mail stays. The old one is free unless --add-alias keeps it.
    #[arg(long = "address", value_name = "ADDRESS")]
    new: Option<String>,
    /// The name that people see; empty for none.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// The most mail that it may hold, such as "1 GiB"; "none" for no limit.
    #[arg(long, value_name = "SIZE")]
    quota: Option<String>,
    /// Another address of the account; may be given several times.
    #[arg(long = "add-alias", value_name = "ADDRESS")]
    add_aliases: Vec<String>,
    /// An address that it is to lose; may be given several times.
    #[arg(long = "remove-alias", value_name = "ADDRESS")]
    remove_aliases: Vec<String>,
    /// Change it only in this version, as `account show --json` tells it, and refuse when somebody or the directory
    /// has changed the account since.
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

impl Change {
    fn body(self) -> Result<Value, Failure> {
        let mut body = serde_json::Map::new();
        let mut put = |key: &str, value: Value| {
            body.insert(key.to_owned(), value);
        };
        if let Some(new) = self.new {
            put("address", json!(new));
        }
        if let Some(name) = self.display_name {
            put("display_name", json!(name));
        }
        match self.quota.as_deref() {
            None => {}
            Some("none") => put("quota", Value::Null),
            Some(size) => {
                let size = model::ByteSize::parse(size).map_err(Failure::Usage)?;
                put("quota", json!(size));
            }
        }
        for (key, addresses) in [
            ("add_aliases", self.add_aliases),
            ("remove_aliases", self.remove_aliases),
        ] {
            if !addresses.is_empty() {
                put(key, json!(addresses));
            }
        }
        if body.is_empty() {
            return Err(Failure::Usage(
                "nothing is to be changed; see homing account change --help".to_owned(),
            ));
        }
        if let Some(version) = self.if_version {
            body.insert("version".to_owned(), json!(version));
        }
        Ok(Value::Object(body))
    }
}

pub(crate) fn run(global: &Global, command: AccountCommand) -> Result<(), Failure> {
    let client = Client::new(global)?;
    let path = |address: &str| format!("/v1/accounts/{}", segment(address));
    match command {
        AccountCommand::Create {
            address,
            password_stdin,
            display_name,
            aliases,
        } => {
            let password = read_password(password_stdin)?;
            let body = json!({
                "address": address, "password": password, "display_name": display_name, "aliases": aliases,
            });
            let answer = client.post("/v1/accounts", body)?;
            output::either(global.json, &answer, |_| format!("created account {address}"));
        }
        AccountCommand::List { state } => list(global, &client, state.as_deref())?,
        AccountCommand::Show { address } => {
            let answer = client.get(&path(&address))?;
            output::either(global.json, &answer, output::details);
        }
        AccountCommand::Change(change) => {
            let path = path(&change.account);
            let answer = client.patch(&path, change.body()?)?;
            output::either(global.json, &answer, |account| {
                format!("changed account {}", address_of(account))
            });
        }
        AccountCommand::Password {
            address,
            password_stdin,
        } => {
            let password = read_password(password_stdin)?;
            let answer = client.put(
                &format!("{}/password", path(&address)),
                json!({ "password": password }),
            )?;
            output::either(global.json, &answer, |answer| changed(answer, &address));
        }
        AccountCommand::ChangePassword {
            address,
            password_stdin,
        } => {
            let (old, new) = if password_stdin {
                two_lines()?
            } else {
                ask_for_both()?
            };
            let answer = client.post(
                &format!("{}/password-change", path(&address)),
                json!({ "old": old, "new": new }),
            )?;
            output::either(global.json, &answer, |answer| changed(answer, &address));
        }
        AccountCommand::Disable { address } => {
            let answer = client.put(
                &format!("{}/enabled", path(&address)),
                json!({ "enabled": false }),
            )?;
            output::either(global.json, &answer, |account| switched(account, "disabled"));
        }
        AccountCommand::Enable { address } => {
            let answer = client.put(&format!("{}/enabled", path(&address)), json!({ "enabled": true }))?;
            output::either(global.json, &answer, |account| switched(account, "enabled"));
        }
        AccountCommand::Release { address } => {
            let answer = client.post(&format!("{}/release", path(&address)), json!({}))?;
            output::either(global.json, &answer, |account| {
                let until = account.get("kept_until").and_then(Value::as_str).unwrap_or("-");
                format!(
                    "released account {}; its mail is kept until {until}",
                    address_of(account)
                )
            });
        }
        AccountCommand::Open { address } => {
            let answer = client.post(&format!("{}/open", path(&address)), json!({}))?;
            output::either(global.json, &answer, |account| {
                format!("{} is in use", address_of(account))
            });
        }
        AccountCommand::Undelete {
            account,
            address,
            into,
        } => {
            let body = json!({ "as": address, "into": into });
            let answer = client.post(&format!("{}/undelete", path(&account)), body)?;
            output::either(global.json, &answer, undeleted);
        }
        AccountCommand::Delete { address } => {
            let answer = client.delete(&path(&address))?;
            output::either(global.json, &answer, |account| deleted(account, &address));
        }
    }
    Ok(())
}

/// Where the new password is.
fn changed(answer: &Value, address: &str) -> String {
    match answer.get("connector").and_then(Value::as_str) {
        Some(connector) => format!("changed the password of {address} in the directory ({connector})"),
        None => format!("changed the password of {address}"),
    }
}

/// A switch that was set, and whether it will stay so.
fn switched(account: &Value, what: &str) -> String {
    let address = address_of(account);
    match account.get("undone_by").and_then(Value::as_str) {
        Some(connector) => format!(
            "{what} account {address} for the moment: its entry decides (connector {connector}, direction \
             ldap-to-local), so change the entry as well, or the next comparison undoes this"
        ),
        None => format!("{what} account {address}"),
    }
}

/// A deletion, and whether it will last.
fn deleted(account: &Value, address: &str) -> String {
    let text = |key| account.get(key).and_then(Value::as_str);
    match text("undone_by") {
        Some(connector) => format!(
            "deleted account {address} for the moment: its entry decides (connector {connector}, direction \
             ldap-to-local), so delete the entry as well, or the next comparison brings it back"
        ),
        None => {
            let until = text("kept_until").unwrap_or("the end of the retention time");
            let kept = format!("deleted account {address}; its mail is kept until {until}");
            let Some(connector) = text("entry_deleted_by") else {
                return kept;
            };
            let (dn, id) = (
                text("entry_dn").unwrap_or("-"),
                account.get("id").and_then(Value::as_u64),
            );
            format!(
                "{kept}\nits entry {dn} is deleted in the directory as well (connector {connector}), with all its attributes: \
                 homing account undelete {} brings the mail back, not the entry",
                id.unwrap_or_default()
            )
        }
    }
}

fn undeleted(account: &Value) -> String {
    let address = address_of(account);
    let Some(mail) = account.get("inherited") else {
        if let Some(home) = account.get("other_home").and_then(Value::as_str) {
            return format!(
                "{address} has its home on {home}; its mail here is kept until it is released again"
            );
        }
        return match account.get("unlinked").and_then(Value::as_bool) {
            Some(true) => format!(
                "{address} is in use again, with its mail. It is parted from its entry, which is gone or out of scope; \
                 homing sync release {address} lets it join or get one where the direction says so"
            ),
            _ => format!("{address} is in use again, with its mail"),
        };
    };
    let number = |key: &str| mail.get(key).and_then(Value::as_u64).unwrap_or_default();
    format!(
        "{address} has the mail of account {} now: {} messages in {} mailboxes were copied, {} were there already",
        number("from"),
        number("copied"),
        number("mailboxes"),
        number("already_there")
    )
}

/// The address of an account that may have been named by its number.
fn address_of(account: &Value) -> &str {
    account.get("address").and_then(Value::as_str).unwrap_or_default()
}

/// Reads all pages; a page is bounded, so the server never builds a list of every account at once.
fn list(global: &Global, client: &Client, state: Option<&str>) -> Result<(), Failure> {
    let mut rows = Vec::new();
    if let Some(state) = state {
        let path = format!("/v1/accounts?limit=256&state={}", segment(state));
        client.rows(&path, "after", &mut |row| {
            rows.push(row);
            Ok(())
        })?;
        show_list(global, rows);
        return Ok(());
    }
    client.numbered("/v1/accounts", 1000, &mut |row| {
        rows.push(row);
        Ok(())
    })?;
    show_list(global, rows);
    Ok(())
}

fn show_list(global: &Global, rows: Vec<Value>) {
    output::either(global.json, &Value::Array(rows), |rows| {
        output::table(
            rows,
            &[
                ("ID", "id"),
                ("ADDRESS", "address"),
                ("STATE", "state"),
                ("NAME", "display_name"),
                ("ENTRY", "entry_uuid"),
            ],
        )
    });
}

/// A password never stands on a command line, where every user of the machine could read it.
fn read_password(from_stdin: bool) -> Result<String, Failure> {
    if from_stdin {
        let text = standard_input()?;
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        return if text.is_empty() {
            Err(Failure::Usage(
                "the password on standard input is empty".to_owned(),
            ))
        } else {
            Ok(text)
        };
    }
    at_a_terminal()?;
    ask_twice("Password: ")
}

/// The old password and the new one.
fn ask_for_both() -> Result<(String, String), Failure> {
    at_a_terminal()?;
    let old = ask("Old password: ")?;
    Ok((old, ask_twice("New password: ")?))
}

fn two_lines() -> Result<(String, String), Failure> {
    let text = standard_input()?;
    let mut lines = text.lines();
    match (lines.next(), lines.next(), lines.next()) {
        (Some(old), Some(new), None) if !old.is_empty() && !new.is_empty() => {
            Ok((old.to_owned(), new.to_owned()))
        }
        _ => Err(Failure::Usage(
            "standard input must hold two lines: the old password and the new one".to_owned(),
        )),
    }
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(4096).read_to_string(&mut text);
    read.map_err(|error| Failure::Usage(format!("cannot read the password from standard input: {error}")))?;
    Ok(text)
}

fn at_a_terminal() -> Result<(), Failure> {
    if std::io::stdin().is_terminal() {
        Ok(())
    } else {
        Err(Failure::Usage(
            "standard input is not a terminal; use --password-stdin".to_owned(),
        ))
    }
}

fn ask(prompt: &str) -> Result<String, Failure> {
    // Silent before the question is there: what is pasted at once would be shown otherwise.
    let _silent = Silent::begin();
    rpassword::prompt_password(prompt).map_err(|error| Failure::Usage(error.to_string()))
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silent(Termios);

impl Silent {
    fn begin() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn ask_twice(prompt: &str) -> Result<String, Failure> {
    let (first, second) = (ask(prompt)?, ask("Again: ")?);
    match first {
        first if first.is_empty() => Err(Failure::Usage("the password is empty".to_owned())),
        first if first != second => Err(Failure::Usage("the two passwords differ".to_owned())),
        first => Ok(first),
    }
}
