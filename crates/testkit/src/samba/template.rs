//! The provisioned domain that every test copies: made once, kept in the target folder, shared by all processes.

use crate::run_with_input;
use crate::scratch::Scratch;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Changes whenever what is provisioned here changes, so that an old template is not taken for a new one.
const REVISION: u32 = 1;

/// The password policy of the template: as lax as the passwords of generated people. Tests that need a strict one
/// set it on the domain's entry.
const POLICY: [&str; 5] = [
    "--complexity=off",
    "--min-pwd-length=4",
    "--min-pwd-age=0",
    "--history-length=0",
    "--max-pwd-age=0",
];

/// Copies the provisioned domain to `to`, provisioning it first when nobody has.
pub(super) fn copy_to(to: &Path) -> Result<()> {
    let template = template()?;
    let args = [
        "-a",
        &format!("{}/.", template.display()),
        &to.display().to_string(),
    ]
    .map(str::to_owned);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run_with_input("cp", &args, b"").map(drop)
}

/// The folder of the template. A lock makes the second process wait for the first.
fn template() -> Result<PathBuf> {
    let version = run_with_input("samba", &["--version"], b"")?;
    let version = version.trim().trim_start_matches("Version ").replace('/', "_");
    let root = cache_folder()?;
    let folder = root.join(format!("samba-{version}-r{REVISION}"));
    let lock = root.join("samba.lock");
    let lock = std::fs::File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    lock.lock()?;
    if !folder.exists() {
        let made = tempfile::Builder::new()
            .prefix("samba-new")
            .tempdir_in(&root)
            .context("cannot make a folder for the domain")?;
        provision(made.path())?;
        // Whole or not at all: the rename is what others see.
        std::fs::rename(made.keep(), &folder)?;
    }
    Ok(folder)
}

/// The build's own folder for temporary files; the system's when this binary was not built by Cargo here.
fn cache_folder() -> Result<PathBuf> {
    let binary = std::env::current_exe()?;
    let target = binary
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").exists());
    let folder = target.map_or_else(std::env::temp_dir, |target| target.join("tmp"));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn provision(folder: &Path) -> Result<()> {
    let (target, password) = (
        format!("--targetdir={}", folder.display()),
        format!("--adminpass={}", super::ADMINISTRATOR_PASSWORD),
    );
    let args = [
        "domain",
        "provision",
        "--realm=AD.EXAMPLE.TEST",
        "--domain=EXAD",
        &password,
        "--server-role=dc",
        "--dns-backend=NONE",
        "--host-ip=127.0.0.1",
        "--host-name=dc1",
        &target,
        "--use-rfc2307",
        "--option=interfaces=lo",
        "--option=bind interfaces only=yes",
        "--option=vfs objects=acl_xattr",
    ];
    run_with_input("samba-tool", &args, b"").context("cannot provision a domain")?;
    // Its paths are those of this folder; every copy gets its own.
    let smb_conf = format!("--configfile={}", folder.join("etc/smb.conf").display());
    let mut args = vec!["domain", "passwordsettings", "set", &smb_conf];
    args.extend(POLICY);
    let set = run_with_input("samba-tool", &args, b"").context("cannot set the password policy")?;
    ensure!(set.contains("successfully"), "password policy: {set}");
    Ok(())
}

/// Writes the configuration of a copy that stands in `scratch`.
pub(super) fn write_smb_conf(scratch: &Scratch, certificate: &crate::Certificate) -> Result<PathBuf> {
    let folder = scratch.path().display();
    let (cert, key) = (certificate.certificate.display(), certificate.key.display());
    let text = format!(
        "[global]\n\
         realm = AD.EXAMPLE.TEST\nworkgroup = EXAD\nnetbios name = DC1\n\
         server role = active directory domain controller\nserver services = ldap\n\
         interfaces = lo\nbind interfaces only = yes\n\
         private dir = {folder}/private\nstate directory = {folder}/state\ncache directory = {folder}/cache\n\
         lock directory = {folder}\nbinddns dir = {folder}/bind-dns\npid directory = {folder}\n\
         ncalrpc dir = {folder}/ncalrpc\nntp signd socket directory = {folder}/ntp\n\
         winbindd socket directory = {folder}/winbindd\nlog file = {folder}/log.%m\npanic action =\n\
         idmap_ldb:use rfc2307 = yes\n\
         ldap server require strong auth = no\n\
         tls enabled = yes\ntls certfile = {cert}\ntls keyfile = {key}\ntls cafile = {cert}\n\
         # A test's data need not outlive a power loss.\n\
         ldb:nosync = true\n"
    );
    scratch.folder("etc")?;
    scratch.write("etc/smb.conf", &text)
}
