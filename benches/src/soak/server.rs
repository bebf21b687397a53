//! The mail server of the soak as a process of its own, so that it can be killed: the store on disk, and the engine as
//! `homing serve` runs it. Edits are made on the version that was read, so what an edit replaced is known.

use super::talk::{Answer, Ask, Condition, Edit, Lost, Person, Setup, Side, Team};
use anyhow::{Context, Result, bail};
use directory::{Connector, ConnectorConfig};
use ldapsync::{Named, SyncEngine};
use model::{Address, ByteSize, Clock, Domain, SystemClock};
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{
    Account, AccountChange, AccountState, Group, GroupChange, Member, NewAccount, Origin, Store, StoreConfig,
    StoreError,
};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long the mail of a deleted account is kept.
const RETENTION: Duration = Duration::from_secs(86_400);
/// Attempts of an edit whose object changes under it.
const ATTEMPTS: usize = 20;
/// Rows of one page of the store.
const PAGE: usize = 256;

/// The entry of the process.
pub(super) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut lines = std::io::stdin().lock().lines();
    let setup: Setup = serde_json::from_str(&lines.next().context("nothing was asked for")??)?;
    let server = Server::open(&setup, &runtime)?;
    for line in lines {
        let ask: Ask = serde_json::from_str(&line?)?;
        let is_end = matches!(ask, Ask::End);
        let answer = if is_end {
            runtime.block_on(server.end())
        } else {
            runtime.block_on(server.answer(ask))
        };
        let answer = answer.unwrap_or_else(|error| Answer::Refused(format!("{error:#}")));
        tell(&answer)?;
        if is_end {
            break;
        }
    }
    Ok(())
}

fn tell(answer: &Answer) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(answer)?)?;
    Ok(out.flush()?)
}

struct Server {
    store: Store,
    engine: Arc<SyncEngine>,
    stop: CancellationToken,
    /// The task of the engine, which is waited for once.
    running: Mutex<Option<JoinHandle<()>>>,
}

fn origin() -> Origin {
    Origin::Admin("soak".to_owned())
}

impl Server {
    fn open(setup: &Setup, runtime: &tokio::runtime::Runtime) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = Store::open(
            Path::new(&setup.data_dir),
            &StoreConfig::default(),
            Arc::clone(&clock),
        )?;
        anyhow::ensure!(store.lost_commits().is_none(), "the store has lost commits");
        let config: ConnectorConfig = serde_json::from_value(setup.connector.clone())?;
        let problems = config.check();
        anyhow::ensure!(problems.is_empty(), "{problems:?}");
        let connector =
            Connector::new(config, Arc::clone(&clock)).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let _entered = runtime.enter();
        let engine = SyncEngine::new(connector, store.clone(), clock, &setup.server_name, &[]);
        let stop = CancellationToken::new();
        let running = Mutex::new(Some(tokio::spawn(Arc::clone(&engine).run(stop.clone()))));
        Ok(Self {
            store,
            engine,
            stop,
            running,
        })
    }

    async fn end(&self) -> Result<Answer> {
        self.stop.cancel();
        if let Some(task) = self.running.lock().await.take() {
            task.await?;
        }
        self.store.close().await?;
        Ok(Answer::Done { replaced: Vec::new() })
    }

    async fn answer(&self, ask: Ask) -> Result<Answer> {
        let done = |replaced| Ok(Answer::Done { replaced });
        match ask {
            Ask::Create { address, name } => {
                let address = Address::parse(&address)?;
                self.host(&address.domain()).await?;
                let mut new = NewAccount::new(address);
                new.display_name = Some(name);
                self.store.create_account(new, &origin()).await?;
                done(Vec::new())
            }
            Ask::Edit { address, edit } => done(self.edit(&Address::parse(&address)?, &edit).await?),
            Ask::AddMember { group, member } => {
                let member = Address::parse(&member)?;
                // Whoever lists people sees who is there; a group would take any address.
                self.store
                    .account_by_address(&member)?
                    .context("nobody has this address")?;
                self.members(&group, |members| {
                    if members.iter().any(|known| *known.address() == member) {
                        bail!("a member already");
                    }
                    members.push(Member::Local(member.clone()));
                    Ok(())
                })
                .await?;
                done(Vec::new())
            }
            Ask::DropMember { group, member } => {
                let member = Address::parse(&member)?;
                self.members(&group, |members| {
                    let before = members.len();
                    members.retain(|known| *known.address() != member);
                    anyhow::ensure!(members.len() < before, "no member");
                    Ok(())
                })
                .await?;
                done(Vec::new())
            }
            Ask::Look => Ok(Answer::Side(self.look()?)),
            Ask::Status => Ok(Answer::Condition(self.condition())),
            Ask::Compare => {
                self.engine.sync_full().await?;
                Ok(Answer::Condition(self.condition()))
            }
            Ask::Retry => {
                self.engine.retry(None).await?;
                Ok(Answer::Condition(self.condition()))
            }
            Ask::Conflicts => Ok(Answer::Conflicts(self.conflicts()?)),
            Ask::Explain { address } => {
                let named = Named::Address(Address::parse(&address)?);
                let found = self.engine.explain_object(&named).await?;
                Ok(Answer::Text(format!("{found:?}")))
            }
            Ask::End => bail!("the end is not asked for here"),
        }
    }

    async fn host(&self, domain: &Domain) -> Result<()> {
        if !self.store.is_local_domain(domain)? {
            match self.store.create_domain(domain, &origin()).await {
                Ok(()) | Err(StoreError::AlreadyExists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes an edit on what was read, again when that has changed meanwhile; the values that it replaced.
    async fn edit(&self, address: &Address, edit: &Edit) -> Result<Vec<String>> {
        for _ in 0..ATTEMPTS {
            let account = self
                .store
                .account_by_address(address)?
                .context("nobody has this address")?;
            if *edit == Edit::Delete {
                self.store
                    .delete_account(account.id, RETENTION, &origin())
                    .await?;
                return Ok(Vec::new());
            }
            let (change, replaced) = change(&account, edit)?;
            tell(&Answer::About {
                replaced: replaced.clone(),
            })?;
            match self
                .store
                .update_account(account.id, Some(account.version), change, &origin())
                .await
            {
                Ok(_) => return Ok(replaced),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("the account changes faster than it can be edited")
    }

    async fn members(&self, group: &str, edit: impl Fn(&mut Vec<Member>) -> Result<()>) -> Result<()> {
        let address = Address::parse(group)?;
        for _ in 0..ATTEMPTS {
            let group: Arc<Group> = self.store.group_by_address(&address)?.context("no such group")?;
            let mut members = group.members.clone();
            edit(&mut members)?;
            let change = GroupChange {
                members: Some(members),
                ..GroupChange::default()
            };
            match self
                .store
                .update_group(group.id, Some(group.version), change, &origin())
                .await
            {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("the group changes faster than it can be edited")
    }

    fn look(&self) -> Result<Side> {
        let mut side = Side::default();
        let mut after = None;
        loop {
            let page = self.store.list_accounts(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let living = page
                .iter()
                .filter(|account| account.state == AccountState::Active);
            side.people.extend(living.map(|account| Person {
                address: account.address.to_string(),
                name: account.display_name.clone(),
                quota: account.quota.map(|quota| quota.0),
                enabled: account.enabled,
                aliases: account.aliases.iter().map(Address::to_string).collect(),
            }));
        }
        let mut after = None;
        loop {
            let page = self.store.list_groups(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            side.teams.extend(page.iter().map(|group| {
                Team {
                    address: group.address.to_string(),
                    members: group
                        .members
                        .iter()
                        .map(|member| member.address().to_string())
                        .collect(),
                }
            }));
        }
        side.people.sort_by(|a, b| a.address.cmp(&b.address));
        side.teams.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(side)
    }

    fn condition(&self) -> Condition {
        let status = self.engine.status();
        let rows = status.quarantine.iter().map(|row| format!("{row:?}"));
        let strangers = status.strangers.iter().map(|row| format!("{row:?}"));
        Condition {
            state: serde_json::to_value(status.state)
                .ok()
                .and_then(|state| state.as_str().map(str::to_owned))
                .unwrap_or_default(),
            error: status.error.clone(),
            linked: status.linked,
            outbox: status.outbox.waiting,
            aside: rows.chain(strangers).collect(),
            held: status.guard.held,
        }
    }

    fn conflicts(&self) -> Result<Vec<Lost>> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .store
                .list_conflicts(self.engine.name(), after.as_ref(), PAGE)?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(last.id.clone());
            all.extend(page.iter().map(|row| {
                let values = row.local_values.iter().chain(&row.remote_values);
                let values: Vec<String> = values
                    .map(|value| String::from_utf8_lossy(value).into_owned())
                    .collect();
                Lost {
                    subject: row.subject.clone(),
                    field: row.id.field.clone(),
                    values: values.join("\n"),
                }
            }));
        }
    }
}

/// The change, and the values that it takes the place of.
fn change(account: &Account, edit: &Edit) -> Result<(AccountChange, Vec<String>)> {
    let mut change = AccountChange::default();
    let replaced = match edit {
        Edit::Name(name) => {
            change.display_name = Some(Some(name.clone()));
            account.display_name.iter().cloned().collect()
        }
        Edit::Quota(quota) => {
            change.quota = Some(Some(ByteSize(*quota)));
            account.quota.iter().map(|quota| quota.0.to_string()).collect()
        }
        Edit::Enabled(enabled) => {
            change.enabled = Some(*enabled);
            Vec::new()
        }
        Edit::Address(new) => {
            change.address = Some(Address::parse(new)?);
            vec![account.address.to_string()]
        }
        Edit::AddAlias(alias) => {
            let mut aliases = account.aliases.clone();
            aliases.push(Address::parse(alias)?);
            change.aliases = Some(aliases);
            Vec::new()
        }
        Edit::DropAlias(alias) => {
            let alias = Address::parse(alias)?;
            let mut aliases = account.aliases.clone();
            aliases.retain(|known| *known != alias);
            anyhow::ensure!(aliases.len() < account.aliases.len(), "no such alias");
            change.aliases = Some(aliases);
            Vec::new()
        }
        Edit::Delete => bail!("a deletion is no change"),
    };
    Ok((change, replaced))
}
