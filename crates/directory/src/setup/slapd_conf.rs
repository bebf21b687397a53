//! The text of `slapd.conf` (slapd.conf(5), slapd-mdb(5), slapo-syncprov(5), slapo-memberof(5)).

use super::platform::Argon2;
use super::{BindV2, SetupError, StaticOptions, identity_dns};
use std::fmt::Write as _;
use std::path::Path;

/// Address space that mdb may use for one entry with its indexes. It is only reserved, not written; the
/// default of 10 MiB for the whole database would stop the first real sync.
const BYTES_PER_ENTRY: u64 = 32 * 1024;
/// The smallest database: 1 GiB.
const SMALLEST_DATABASE: u64 = 1 << 30;

pub(super) fn text(options: &StaticOptions) -> Result<String, SetupError> {
    let mut out = String::from(
        "# Written by `homing directory init --static`. It holds password hashes: keep it readable by slapd only.\n",
    );
    global(&mut out, options)?;
    access_to_the_root(&mut out);
    database(&mut out, options)?;
    overlays(&mut out, options);
    access(&mut out, options);
    Ok(out)
}

fn global(out: &mut String, options: &StaticOptions) -> Result<(), SetupError> {
    let platform = &options.platform;
    for schema in ["core", "cosine", "inetorgperson", "misc"] {
        line(
            out,
            "include",
            &path(&platform.schema_dir.join(format!("{schema}.schema")))?,
        );
    }
    line(out, "include", &path(&options.output_dir.join("homing.schema"))?);
    out.push('\n');
    if let Some(module_dir) = &platform.module_dir {
        line(out, "modulepath", &path(module_dir)?);
        for module in ["back_mdb", "syncprov", "memberof", "refint"] {
            line(out, "moduleload", module);
        }
        if platform.argon2 == Argon2::Loaded {
            // So that {ARGON2} values of userPassword can bind.
            line(out, "moduleload", "argon2");
        }
        out.push('\n');
    }
    line(out, "pidfile", &path(&options.database_dir.join("slapd.pid"))?);
    line(out, "argsfile", &path(&options.database_dir.join("slapd.args"))?);
    line(out, "serverID", &options.server_id.to_string());
    if options.bind_v2 == BindV2::Allowed {
        line(out, "allow", "bind_v2");
    }
    // groupOfNames with thousands of members: values kept sorted are found without a scan.
    line(out, "sortvals", "member");
    if let Some(tls) = &options.tls {
        line(out, "TLSCertificateFile", &path(&tls.certificate)?);
        line(out, "TLSCertificateKeyFile", &path(&tls.key)?);
        if let Some(ca) = &tls.ca {
            line(out, "TLSCACertificateFile", &path(ca)?);
        }
    }
    out.push('\n');
    Ok(())
}

/// Clients read the root DSE before they bind (RFC 4512 section 5.1).
fn access_to_the_root(out: &mut String) {
    out.push_str("access to dn.base=\"\" by * read\naccess to dn.base=\"cn=Subschema\" by * read\n\n");
}

fn database(out: &mut String, options: &StaticOptions) -> Result<(), SetupError> {
    let [root, read, write] = identity_dns(&options.suffix);
    line(out, "database", "mdb");
    line(out, "suffix", &quoted(&options.suffix.to_string()));
    line(out, "rootdn", &quoted(&root));
    line(out, "rootpw", &options.hashes.root);
    line(out, "directory", &path(&options.database_dir)?);
    let size = options
        .population
        .saturating_mul(BYTES_PER_ENTRY)
        .max(SMALLEST_DATABASE);
    // mdb takes a signed number of bytes.
    line(out, "maxsize", &size.min(1 << 46).to_string());
    // slapd's default of 500 entries would truncate the first sync.
    for identity in [read, write] {
        line(
            out,
            "limits",
            &format!("dn.exact={} size=unlimited time=unlimited", quoted(&identity)),
        );
    }
    out.push('\n');
    for index in [
        "objectClass eq,pres",
        "ou,cn,mail,sn,givenName eq,pres,sub",
        "uid,mailHost,mailLocalAddress eq",
        "entryUUID,entryCSN eq",
        // memberof and refint look up the groups of an entry that is renamed or deleted.
        "member,memberOf eq",
    ] {
        line(out, "index", index);
    }
    out.push('\n');
    Ok(())
}

fn overlays(out: &mut String, options: &StaticOptions) {
    // Change notification, RFC 4533. The session log remembers deletions, so that a consumer that was away
    // learns of them without a full comparison.
    line(out, "overlay", "syncprov");
    line(out, "syncprov-checkpoint", "100 30");
    line(
        out,
        "syncprov-sessionlog",
        &options.population.clamp(1_000, 1 << 30).to_string(),
    );
    out.push('\n');
    // memberOf on people follows member on groups.
    line(out, "overlay", "memberof");
    line(out, "memberof-group-oc", "groupOfNames");
    line(out, "memberof-member-ad", "member");
    line(out, "memberof-memberof-ad", "memberOf");
    out.push('\n');
    // member, owner and manager follow renames and deletions of people. A group that loses its last member
    // gets the placeholder, because groupOfNames must have one (RFC 4519 section 3.5).
    line(out, "overlay", "refint");
    line(out, "refint_attributes", "member owner manager seeAlso");
    line(
        out,
        "refint_nothing",
        &quoted(&format!("cn=no-member,{}", options.suffix)),
    );
    out.push('\n');
}

fn access(out: &mut String, options: &StaticOptions) {
    let [_, read, write] = identity_dns(&options.suffix).map(|dn| quoted(&dn));
    let _ = write!(
        out,
        "access to attrs=userPassword\n\
         \tby dn.exact={write} write\n\
         \tby dn.exact={read} read\n\
         \tby self =xw\n\
         \tby anonymous auth\n\
         \tby * none\n\
         access to *\n\
         \tby dn.exact={write} write\n\
         \tby dn.exact={read} read\n\
         \tby self read\n\
         \tby * none\n"
    );
}

fn line(out: &mut String, keyword: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{keyword} {value}");
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// A path as slapd.conf takes it. There is no escape for a quote inside quotes, and a relative path would
/// depend on where slapd is started.
fn path(path: &Path) -> Result<String, SetupError> {
    let wrong = || SetupError::Path(path.to_owned());
    let text = path.to_str().ok_or_else(wrong)?;
    if !path.is_absolute() || text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\')) {
        return Err(wrong());
    }
    Ok(if text.contains(char::is_whitespace) {
        quoted(text)
    } else {
        text.to_owned()
    })
}
