//! Somebody with an LDAP connection: an editor of entries, or a reader who wants answers soon.

use crate::clock::now;
use crate::directory::{ATTRIBUTES, filter};
use anyhow::{Context, Result};
use ldap::message::Modify;
use ldap::{
    Attribute, Client, ConnectOptions, Filter, LdapUri, Modification, ModifyOperation, Scope, SearchRequest,
    Values,
};
use model::Secret;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use testkit::Identity;
use tokio::runtime::Runtime;

/// Between two questions of the reader: it is a user of slapd, not a load on it.
const READS_EVERY: Duration = Duration::from_millis(4);

/// Changes entries, one after the other.
pub(super) struct Editor {
    runtime: Runtime,
    client: Client,
}

impl Editor {
    pub(super) fn connect(uri: &str, identity: &Identity) -> Result<Self> {
        let runtime = runtime()?;
        let client = runtime.block_on(connect(uri, identity))?;
        Ok(Self { runtime, client })
    }

    pub(super) fn replace(&self, dn: &str, attribute: &str, value: &str) -> Result<()> {
        let change = Modification {
            operation: ModifyOperation::Replace,
            attribute: Attribute::new(attribute, Values::one(value.to_owned().into())),
        };
        let modify = Modify {
            dn: dn.to_owned(),
            changes: vec![change],
        };
        self.runtime.block_on(self.client.modify(modify, &[]))?;
        Ok(())
    }
}

/// Looks people up until it is told to stop, and notes how long each answer took.
pub(super) struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<f64>>>,
}

impl Reader {
    /// Begins; `address` names people by number.
    pub(super) fn start(
        uri: String,
        identity: Identity,
        base: String,
        mut address: impl FnMut() -> String + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            ahead_of_others()?;
            runtime()?.block_on(async move {
                let client = connect(&uri, &identity).await?;
                let mut millis = Vec::new();
                while !told.load(Ordering::Relaxed) {
                    let filter = Filter::parse(&filter(&address()))?;
                    let request =
                        SearchRequest::new(base.clone(), Scope::Subtree, filter).attributes(ATTRIBUTES);
                    let began = now();
                    let found = client.search_all(request, 2).await?;
                    millis.push(began.elapsed().as_secs_f64() * 1000.0);
                    anyhow::ensure!(found.len() == 1, "{} entries have one address", found.len());
                    tokio::time::sleep(READS_EVERY).await;
                }
                Ok(millis)
            })
        });
        Self { stop, thread }
    }

    /// Milliseconds of each answer.
    pub(super) fn finish(self) -> Result<Vec<f64>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the reader panicked")?
    }
}

/// Somebody else is somewhere else: an answer of the directory must not wait here until a process that is measured
/// leaves the processor to this thread.
fn ahead_of_others() -> Result<()> {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let done = Command::new("chrt")
        .args(["--fifo", "--pid", "1", &thread])
        .status()
        .context("chrt")?;
    anyhow::ensure!(
        done.success(),
        "chrt could not put the reader first; is this root?"
    );
    Ok(())
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

async fn connect(uri: &str, identity: &Identity) -> Result<Client> {
    let client = Client::connect(&ConnectOptions::new(LdapUri::parse(uri)?)).await?;
    client
        .bind_simple(&identity.dn, &Secret::new(identity.password.clone()), &[])
        .await?;
    Ok(client)
}
