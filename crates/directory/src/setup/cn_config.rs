//! The dynamic form: the same set-up as entries below `cn=config` (slapd-config(5)).
//!
//! For a fresh folder the entries are the whole configuration (`slapadd -n0`). For a running server they are
//! what it lacks (`ldapadd`), found by comparing with its own entries, so that nothing it has is touched.

use super::content::{self, Rule, Setting, Value};
use super::existing::Existing;
use super::{SetupError, SetupOptions, plain_path, word};
use bytes::Bytes;
use ldap::ldif::{ChangeRecord, Operation, write_change, write_entry};
use ldap::message::Modify;
use ldap::{Attribute, Entry, Modification, ModifyOperation};
use std::io::Write as _;

/// The schema as an entry; kept in packaging, where ldapadd finds it too.
const HOMING_LDIF: &str = include_str!("../../../../packaging/openldap/homing.ldif");

/// The whole configuration of a server that has none yet.
pub(super) fn whole(options: &SetupOptions) -> Result<String, SetupError> {
    let mut out = Ldif::new(
        "Written by \"homing directory init --dynamic\". It holds password hashes: keep it readable by slapd only.",
    );
    let global = attributes(&content::global(options))?;
    out.entry(entry("cn=config", &["olcGlobal"], &[("cn", "config")], global));
    out.modules("cn=module{0},cn=config", options, &content::modules(options))?;
    out.entry(entry(
        "cn=schema,cn=config",
        &["olcSchemaConfig"],
        &[("cn", "schema")],
        Vec::new(),
    ));
    out.schemas(options, &content::SCHEMAS)?;
    out.homing_schema();
    let mut shared = attributes(&content::shared())?;
    shared.extend(access(&content::root_access()));
    out.entry(entry(
        "olcDatabase={-1}frontend,cn=config",
        &["olcDatabaseConfig", "olcFrontendConfig"],
        &[("olcDatabase", "{-1}frontend")],
        shared,
    ));
    out.entry(entry(
        "olcDatabase={0}config,cn=config",
        &["olcDatabaseConfig"],
        &[("olcDatabase", "{0}config")],
        access(&content::config_access(options)),
    ));
    out.database(options, 1)?;
    Ok(out.text())
}

/// What a running server lacks.
pub(super) fn missing(options: &SetupOptions, existing: &Existing) -> Result<String, SetupError> {
    if existing.serves(&options.suffix) {
        return Err(SetupError::SuffixTaken(options.suffix.to_string()));
    }
    let mut out = Ldif::new(
        "Written by \"homing directory init --dynamic --running\". It holds password hashes: remove it when it is loaded.",
    );
    let modules: Vec<&str> = content::modules(options)
        .into_iter()
        .filter(|module| !existing.has_module(module))
        .collect();
    out.modules("cn=module,cn=config", options, &modules)?;
    let schemas: Vec<&str> = content::SCHEMAS
        .into_iter()
        .filter(|schema| !existing.has_schema(schema))
        .collect();
    out.schemas(options, &schemas)?;
    if !existing.has_schema("homing") {
        out.homing_schema();
    }
    out.globals(options, existing)?;
    out.database(options, existing.next_database())?;
    Ok(out.text())
}

/// LDIF in the making.
struct Ldif(Vec<u8>);

impl Ldif {
    fn new(comment: &str) -> Self {
        Self(format!("# {comment}\n").into_bytes())
    }

    fn text(self) -> String {
        // Everything in here was a String.
        String::from_utf8_lossy(&self.0).into_owned()
    }

    fn entry(&mut self, entry: Entry) {
        // Writing to a Vec cannot fail.
        let _ = write_entry(&mut self.0, &entry);
    }

    fn modules(&mut self, dn: &str, options: &SetupOptions, modules: &[&str]) -> Result<(), SetupError> {
        let Some(module_dir) = options
            .platform
            .module_dir
            .as_deref()
            .filter(|_| !modules.is_empty())
        else {
            return Ok(());
        };
        let name = dn.split(['=', ',']).nth(1).unwrap_or_default();
        let values: Vec<Bytes> = modules
            .iter()
            .map(|module| Bytes::from((*module).to_owned()))
            .collect();
        let attributes = vec![
            Attribute::new("olcModulePath", word(module_dir)?),
            Attribute::new("olcModuleLoad", values),
        ];
        self.entry(entry(dn, &["olcModuleList"], &[("cn", name)], attributes));
        Ok(())
    }

    /// slapd's own schemas stay in its own files: they belong to its version.
    fn schemas(&mut self, options: &SetupOptions, schemas: &[&str]) -> Result<(), SetupError> {
        for schema in schemas {
            let file = options.platform.schema_dir.join(format!("{schema}.ldif"));
            let url = plain_path(&file)?.replace('%', "%25").replace(' ', "%20");
            let _ = writeln!(self.0, "include: file://{url}\n");
        }
        Ok(())
    }

    fn homing_schema(&mut self) {
        let lines = HOMING_LDIF.lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            let _ = writeln!(self.0, "{line}");
        }
        self.0.push(b'\n');
    }

    /// Only what the server has no opinion about. What all databases share is left out: `sortvals` must be there
    /// before the first value of its attribute, and another database may hold some (slapd.conf(5)).
    fn globals(&mut self, options: &SetupOptions, existing: &Existing) -> Result<(), SetupError> {
        let ours = ["olcServerID", "olcAllows", "olcTLS"];
        let missing = content::global(options).into_iter().filter(|setting| {
            ours.iter().any(|prefix| setting.attribute.starts_with(prefix))
                && !existing.sets(setting.attribute)
        });
        let missing: Vec<Setting> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        let changes = attributes(&missing)?
            .into_iter()
            .map(|attribute| Modification::new(ModifyOperation::Add, attribute))
            .collect();
        let record = ChangeRecord {
            controls: Vec::new(),
            operation: Operation::Modify(Modify {
                dn: "cn=config".to_owned(),
                changes,
            }),
        };
        let _ = write_change(&mut self.0, &record);
        Ok(())
    }

    fn database(&mut self, options: &SetupOptions, number: u32) -> Result<(), SetupError> {
        let name = format!("{{{number}}}mdb");
        let dn = format!("olcDatabase={name},cn=config");
        let mut settings = attributes(&content::database(options))?;
        settings.extend(access(&content::access(options)));
        self.entry(entry(
            &dn,
            &["olcDatabaseConfig", "olcMdbConfig"],
            &[("olcDatabase", &name)],
            settings,
        ));
        for (index, overlay) in content::overlays(options).iter().enumerate() {
            let name = format!("{{{index}}}{}", overlay.name);
            self.entry(entry(
                &format!("olcOverlay={name},{dn}"),
                &["olcOverlayConfig", overlay.class],
                &[("olcOverlay", &name)],
                attributes(&overlay.settings)?,
            ));
        }
        Ok(())
    }
}

fn entry(dn: &str, classes: &[&str], naming: &[(&str, &str)], more: Vec<Attribute>) -> Entry {
    let classes: Vec<Bytes> = classes
        .iter()
        .map(|class| Bytes::from((*class).to_owned()))
        .collect();
    let mut entry = Entry::new(dn).with("objectClass", classes);
    for (name, value) in naming {
        entry = entry.with(*name, *value);
    }
    entry.attributes.extend(more);
    entry
}

/// One attribute a setting; settings with the same name become its values.
fn attributes(settings: &[Setting]) -> Result<Vec<Attribute>, SetupError> {
    let mut attributes: Vec<Attribute> = Vec::new();
    for setting in settings {
        let value = match &setting.value {
            Value::Dn(dn) => dn.clone(),
            Value::Path(path) => word(path)?,
            Value::Words(words) => words.clone(),
        };
        let value = Bytes::from(value);
        match attributes
            .iter_mut()
            .find(|attribute| attribute.name.as_str() == setting.attribute)
        {
            Some(attribute) => attribute.values.push(value),
            None => attributes.push(Attribute::new(setting.attribute, value)),
        }
    }
    Ok(attributes)
}

/// The order of rules counts, so each carries its number.
fn access(rules: &[Rule]) -> Vec<Attribute> {
    let values: Vec<Bytes> = rules
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            let by: String = rule.by.iter().map(|by| format!(" by {by}")).collect();
            Bytes::from(format!("{{{index}}}to {}{by}", rule.what))
        })
        .collect();
    vec![Attribute::new("olcAccess", values)]
}
