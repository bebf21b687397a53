//! A back end of the soak: `homing serve` as a process of its own, edited over its admin socket, stopped and killed.

use super::side::{Condition, Edit, Lost, Person, Seating, Side, Team, Wrote};
use crate::api::Api;
use crate::clock::pause;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::{Homing, HomingBinary};

/// The connector's name.
pub(super) const CONNECTOR: &str = "people";
/// The password of accounts that are created here.
const PASSWORD: &str = "of everybody 1";
/// Attempts of an edit whose object changes under it.
const ATTEMPTS: usize = 20;
/// Rows of one page.
const PAGE: usize = 256;

/// A back end, whether it runs or not.
pub(super) struct Home {
    /// Its `server_name`.
    pub(super) name: String,
    /// Whether people say where they live.
    several: bool,
    homing: Homing,
    /// None while it is down.
    api: Option<Api>,
}

/// One request that carries an edit out.
struct Order {
    method: &'static str,
    path: String,
    body: Value,
    replaced: Vec<String>,
}

impl Home {
    pub(super) fn start(binary: &HomingBinary, name: &str, several: bool, config: &str) -> Result<Self> {
        let homing = Homing::start(binary, config)?;
        let mut home = Self {
            name: name.to_owned(),
            several,
            homing,
            api: None,
        };
        home.connect()?;
        Ok(home)
    }

    fn connect(&mut self) -> Result<()> {
        let socket = self.homing.folder().join("data/admin.sock");
        self.api = Some(Api::connect(&socket)?);
        Ok(())
    }

    fn api(&mut self) -> Result<&mut Api> {
        self.api.as_mut().context("the back end is down")
    }

    pub(super) fn is_up(&self) -> bool {
        self.api.is_some()
    }

    /// Starts it again, with another configuration.
    pub(super) fn restart(&mut self, config: &str) -> Result<()> {
        let data = self.homing.folder().join("data").display().to_string();
        std::fs::write(self.homing.config(), format!("data_dir = {data:?}\n{config}"))?;
        self.homing.restart()?;
        self.connect()
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.api = None;
        self.homing.kill()
    }

    /// In good order.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.api = None;
        let code = self.homing.stop()?;
        ensure!(
            code == Some(0),
            "{} ended with {code:?}:\n{}",
            self.name,
            self.homing.log_tail()
        );
        Ok(())
    }

    /// Its configuration, log and data, for somebody who looks into what went wrong.
    pub(super) fn folder(&self) -> &Path {
        self.homing.folder()
    }

    /// The account that has this address now, as its own and not as an alias.
    fn account(&mut self, address: &str) -> Result<Option<Value>> {
        let path = format!("/v1/accounts/{address}");
        let (status, text) = self.api()?.ask("GET", &path, &Value::Null)?;
        match status {
            200 => {
                let row: Value = serde_json::from_str(&text)?;
                Ok(Some(row).filter(|row| word(row, "address") == address))
            }
            404 => Ok(None),
            _ => bail!("GET {path}: {status} {text}"),
        }
    }

    pub(super) fn create(&mut self, address: &str, name: &str) -> Result<Wrote> {
        let body = json!({ "address": address, "display_name": name, "password": PASSWORD });
        let (status, text) = self.api()?.ask("POST", "/v1/accounts", &body)?;
        Ok(match status {
            200..300 => Wrote::Done(Vec::new()),
            _ => Wrote::Refused(text),
        })
    }

    /// Makes an edit in the version that was read, again when that has changed meanwhile.
    pub(super) fn edit(&mut self, address: &str, edit: &Edit) -> Result<Wrote> {
        let mut refused_in = None;
        for _ in 0..ATTEMPTS {
            let Some(account) = self.account(address)? else {
                return Ok(Wrote::Refused("nobody has this address".to_owned()));
            };
            let order = match order(&account, edit) {
                Ok(order) => order,
                Err(why) => return Ok(Wrote::Refused(why)),
            };
            let (status, text) = self.api()?.ask(order.method, &order.path, &order.body)?;
            let version = number(&account, "version");
            match status {
                200..300 => return Ok(Wrote::Done(order.replaced)),
                // Somebody else was faster, unless it is refused for another reason.
                409 if refused_in != Some(version) => refused_in = Some(version),
                _ => return Ok(Wrote::Refused(format!("{status} {text}"))),
            }
        }
        Ok(Wrote::Refused(
            "the account changes faster than it can be edited".to_owned(),
        ))
    }

    /// An edit, with SIGKILL so soon after the request.
    pub(super) fn edit_and_die(&mut self, address: &str, edit: &Edit, after: Duration) -> Result<Wrote> {
        let account = self.account(address)?;
        let order = match account.map(|account| order(&account, edit)) {
            Some(Ok(order)) => order,
            other => {
                self.kill()?;
                let why = other.and_then(Result::err);
                return Ok(Wrote::Refused(why.unwrap_or_else(|| "nobody".to_owned())));
            }
        };
        let mut api = self.api.take().context("the back end is down")?;
        api.send(order.method, &order.path, &order.body.to_string())?;
        pause(after);
        self.kill()?;
        // What it said before it died is in the socket.
        Ok(match api.answer() {
            Ok((200..300, _)) => Wrote::Done(order.replaced),
            Ok((status, text)) => Wrote::Refused(format!("{status} {text}")),
            Err(_) => Wrote::Unknown(order.replaced),
        })
    }

    pub(super) fn member(&mut self, group: &str, address: &str, seating: Seating) -> Result<Wrote> {
        // Whoever lists people sees who is there; a group would take any address.
        if seating == Seating::Joins && self.account(address)?.is_none() {
            return Ok(Wrote::Refused("nobody has this address".to_owned()));
        }
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS {
            let (method, path, body) = match seating {
                Seating::Joins => (
                    "POST",
                    format!("/v1/groups/{group}/members"),
                    json!({ "member": address }),
                ),
                Seating::Leaves => (
                    "DELETE",
                    format!("/v1/groups/{group}/members/{address}"),
                    Value::Null,
                ),
            };
            let (status, text) = self.api()?.ask(method, &path, &body)?;
            match status {
                200..300 if seating == Seating::Joins && self.account(address)?.is_none() => {
                    // Renamed or deleted meanwhile: before it was put in, so that the address is a stranger's, or after.
                    return Ok(Wrote::Unknown(Vec::new()));
                }
                200..300 => return Ok(Wrote::Done(Vec::new())),
                // Somebody else may have changed the group between its reading and its writing.
                409 if text != refusal => refusal = text,
                _ => return Ok(Wrote::Refused(format!("{status} {text}"))),
            }
        }
        Ok(Wrote::Refused(refusal))
    }

    pub(super) fn look(&mut self) -> Result<Side> {
        let (name, several) = (self.name.clone(), self.several);
        let api = self.api()?;
        let (mut side, mut after) = (Side::default(), 0);
        loop {
            let page = api.get(&format!("/v1/accounts?after={after}&limit={PAGE}"))?;
            let rows = page.as_array().context("no list of accounts")?;
            let Some(last) = rows.last() else { break };
            after = number(last, "id");
            side.people.extend(rows.iter().filter_map(|row| {
                let enabled = match word(row, "state").as_str() {
                    "active" => Some(true),
                    "disabled" => Some(false),
                    // Nobody logs in before the mail has come, whether it is enabled or not.
                    "awaiting-mail" => None,
                    _ => return None,
                };
                Some(Person {
                    address: word(row, "address"),
                    name: row.get("display_name").and_then(Value::as_str).map(str::to_owned),
                    quota: row.get("quota").and_then(Value::as_u64),
                    enabled,
                    aliases: words(row, "aliases"),
                    home: several.then(|| name.clone()),
                })
            }));
        }
        after = 0;
        loop {
            let page = api.get(&format!("/v1/groups?after={after}&limit={PAGE}"))?;
            let rows = page.as_array().context("no list of groups")?;
            let Some(last) = rows.last() else { break };
            after = number(last, "id");
            side.teams.extend(rows.iter().map(|row| Team {
                address: word(row, "address"),
                members: words(row, "members"),
            }));
        }
        Ok(side.sort())
    }

    pub(super) fn condition(&mut self) -> Result<Condition> {
        let all = self.api()?.get("/v1/sync")?;
        Ok(condition(all.get(0).context("a connector")?))
    }

    /// A comparison of everything; why it was not carried out.
    pub(super) fn compare(&mut self) -> Result<Option<String>> {
        let path = format!("/v1/sync/{CONNECTOR}/run");
        let (status, text) = self.api()?.ask("POST", &path, &json!({ "full": true }))?;
        Ok((status >= 300).then_some(text))
    }

    /// Whatever is set aside is tried again.
    pub(super) fn retry(&mut self) -> Result<()> {
        let path = format!("/v1/sync/{CONNECTOR}/quarantine/retry");
        self.api()?.ask("POST", &path, &json!({})).map(drop)
    }

    pub(super) fn explain(&mut self, address: &str) -> Result<String> {
        let path = format!("/v1/sync/{CONNECTOR}/objects/{address}");
        let (_, text) = self.api()?.ask("GET", &path, &Value::Null)?;
        Ok(text)
    }

    pub(super) fn conflicts(&mut self) -> Result<Vec<Lost>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self
                .api()?
                .get(&format!("/v1/sync/{CONNECTOR}/conflicts?limit={PAGE}{after}"))?;
            let rows = page.get("rows").and_then(Value::as_array).context("no rows")?;
            if rows.is_empty() {
                return Ok(all);
            }
            after = format!("&after={}", word(&page, "next"));
            all.extend(rows.iter().map(|row| Lost {
                subject: word(row, "object"),
                field: word(row, "field"),
                values: format!("{}, {}", word(row, "here"), word(row, "directory")),
            }));
        }
    }
}

fn word(row: &Value, key: &str) -> String {
    row.get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn words<C: FromIterator<String>>(row: &Value, key: &str) -> C {
    let all = row.get(key).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

fn number(row: &Value, key: &str) -> u64 {
    row.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn condition(status: &Value) -> Condition {
    let rows = |key: &str| {
        let rows = status.get(key).and_then(Value::as_array).into_iter().flatten();
        rows.map(Value::to_string).collect::<Vec<_>>()
    };
    Condition {
        state: word(status, "state"),
        error: status.get("error").and_then(Value::as_str).map(str::to_owned),
        outbox: status
            .pointer("/outbox/waiting")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
        aside: [rows("quarantine"), rows("strangers")].concat(),
    }
}

/// The request, and the values that it takes the place of; or why there is none.
fn order(account: &Value, edit: &Edit) -> Result<Order, String> {
    let path = format!("/v1/accounts/{}", number(account, "id"));
    let version = number(account, "version");
    let patch = |key: &str, value: Value, replaced: Vec<String>| {
        Ok(Order {
            method: "PATCH",
            path: path.clone(),
            body: json!({ key: value, "version": version }),
            replaced,
        })
    };
    match edit {
        Edit::Name(name) => {
            let old = account.get("display_name").and_then(Value::as_str);
            patch(
                "display_name",
                json!(name),
                old.map(str::to_owned).into_iter().collect(),
            )
        }
        Edit::Quota(quota) => {
            let old = account.get("quota").and_then(Value::as_u64);
            patch(
                "quota",
                json!(quota),
                old.map(|old| old.to_string()).into_iter().collect(),
            )
        }
        Edit::Address(new) => patch("address", json!(new), vec![word(account, "address")]),
        Edit::AddAlias(alias) => patch("add_aliases", json!([alias]), Vec::new()),
        Edit::DropAlias(alias) if words::<Vec<String>>(account, "aliases").contains(alias) => {
            patch("remove_aliases", json!([alias]), Vec::new())
        }
        Edit::DropAlias(_) => Err("no such alias".to_owned()),
        Edit::Enabled(enabled) => Ok(Order {
            method: "PUT",
            path: format!("{path}/enabled"),
            body: json!({ "enabled": enabled }),
            replaced: Vec::new(),
        }),
        Edit::Delete => Ok(Order {
            method: "DELETE",
            path,
            body: Value::Null,
            replaced: Vec::new(),
        }),
        Edit::Home(_) => Err("only the directory says where people live".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_of_the_version_that_was_read() {
        let account = json!({
            "id": 7, "version": 3, "address": "a@x.test", "display_name": "old", "quota": 5, "aliases": ["b@x.test"],
        });
        let named = order(&account, &Edit::Name("new".to_owned())).unwrap();
        assert_eq!((named.method, named.path.as_str()), ("PATCH", "/v1/accounts/7"));
        assert_eq!(named.body, json!({ "display_name": "new", "version": 3 }));
        assert_eq!(named.replaced, ["old"]);
        assert_eq!(order(&account, &Edit::Quota(6)).unwrap().replaced, ["5"]);
        assert!(order(&account, &Edit::DropAlias("c@x.test".to_owned())).is_err());
        assert!(order(&account, &Edit::DropAlias("b@x.test".to_owned())).is_ok());
        assert_eq!(order(&account, &Edit::Delete).unwrap().method, "DELETE");
    }

    #[test]
    fn a_status_is_read() {
        let mut status = json!({
            "state": "following", "error": null, "outbox": { "waiting": 0 }, "quarantine": [], "strangers": [],
        });
        assert!(condition(&status).is_settled());
        status["quarantine"] = json!([{ "reason": "why" }]);
        let aside = condition(&status);
        assert!(aside.is_quiet() && !aside.is_settled() && aside.aside[0].contains("why"));
        status["error"] = json!("down");
        assert!(!condition(&status).is_quiet());
    }
}
