//! Commands into bytes: the client's side of [`Command`].

use super::command::{
    Command, CommandBody, List, ListReturn, ListSelect, MailboxArg, Numbering, Search, SearchReturn,
    StatusItem, Store, StoreAction, StoreAnswer,
};
use super::write::{CommandBytes, Literals};
use crate::sasl;
use model::Flag;

impl Command {
    /// The command with its CRLF. For APPEND the head only, ending before the message's literal: go on
    /// with [`CommandBytes::literal`] and a CRLF.
    #[must_use]
    pub fn to_bytes(&self, literals: Literals) -> CommandBytes {
        let mut out = CommandBytes::new(literals);
        out.raw(self.tag.as_str().as_bytes());
        out.raw(b" ");
        self.body.write(&mut out);
        if !matches!(self.body, CommandBody::Append(_)) {
            out.raw(b"\r\n");
        }
        out
    }
}

impl CommandBody {
    /// The verb, without `UID`: for tables and logs.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::Id(_) => "ID",
            Self::StartTls => "STARTTLS",
            Self::Login { .. } => "LOGIN",
            Self::Authenticate { .. } => "AUTHENTICATE",
            Self::EndSession { .. } => "XENDSESSION",
            Self::Select(_) => "SELECT",
            Self::Examine(_) => "EXAMINE",
            Self::Create { .. } => "CREATE",
            Self::Delete(_) => "DELETE",
            Self::Rename { .. } => "RENAME",
            Self::Subscribe(_) => "SUBSCRIBE",
            Self::Unsubscribe(_) => "UNSUBSCRIBE",
            Self::List(_) => "LIST",
            Self::Lsub { .. } => "LSUB",
            Self::Namespace => "NAMESPACE",
            Self::Status { .. } => "STATUS",
            Self::Append(_) => "APPEND",
            Self::Idle => "IDLE",
            Self::Check => "CHECK",
            Self::Close => "CLOSE",
            Self::Unselect => "UNSELECT",
            Self::Expunge(_) => "EXPUNGE",
            Self::Search(_) => "SEARCH",
            Self::Fetch { .. } => "FETCH",
            Self::Store(_) => "STORE",
            Self::Copy { .. } => "COPY",
            Self::Move { .. } => "MOVE",
        }
    }

    /// Whether the command is the `UID` form.
    fn numbering(&self) -> Numbering {
        match self {
            Self::Fetch { by, .. } | Self::Copy { by, .. } | Self::Move { by, .. } => *by,
            Self::Search(search) => search.by,
            Self::Store(store) => store.by,
            Self::Expunge(Some(_)) => Numbering::Uid,
            _ => Numbering::Sequence,
        }
    }

    fn write(&self, out: &mut CommandBytes) {
        if self.numbering() == Numbering::Uid {
            out.raw(b"UID ");
        }
        out.raw(self.verb().as_bytes());
        match self {
            Self::Capability | Self::Noop | Self::Logout | Self::StartTls | Self::Namespace | Self::Idle => {}
            Self::Check | Self::Close | Self::Unselect | Self::Expunge(None) => {}
            Self::Id(fields) => write_id(out, fields),
            Self::Login { user, password } => {
                // Quoted and not as atoms: some servers read a password such as `12` only so.
                out.raw(b" ");
                out.string(user);
                out.raw(b" ");
                out.string(password.expose());
            }
            Self::Authenticate { mechanism, initial } => {
                out.raw(b" ");
                out.raw(mechanism.as_bytes());
                match initial {
                    None => {}
                    Some(bytes) if bytes.is_empty() => out.raw(b" ="),
                    Some(bytes) => out.raw(format!(" {}", sasl::encode_base64(bytes.expose())).as_bytes()),
                }
            }
            Self::EndSession { trace, why } => {
                out.raw(b" ");
                out.astring(trace);
                out.raw(b" ");
                out.astring(why);
            }
            Self::Select(name) | Self::Examine(name) | Self::Delete(name) => mailbox(out, name),
            Self::Subscribe(name) | Self::Unsubscribe(name) => mailbox(out, name),
            Self::Create {
                mailbox: name,
                special_use,
            } => {
                mailbox(out, name);
                if !special_use.is_empty() {
                    let uses: Vec<&str> = special_use.iter().map(|special| special.as_str()).collect();
                    out.raw(format!(" (USE ({}))", uses.join(" ")).as_bytes());
                }
            }
            Self::Rename { from, to } => {
                mailbox(out, from);
                mailbox(out, to);
            }
            Self::List(list) => write_list(out, list),
            Self::Lsub { reference, pattern } => {
                out.raw(b" ");
                out.string(reference);
                out.raw(b" ");
                out.string(pattern);
            }
            Self::Status { mailbox: name, items } => {
                mailbox(out, name);
                out.raw(format!(" {}", status_items(items)).as_bytes());
            }
            Self::Append(append) => {
                mailbox(out, &append.mailbox);
                out.raw(b" ");
                if !append.flags.is_empty() {
                    out.raw(format!("{} ", flag_list(&append.flags)).as_bytes());
                }
                if let Some(date) = append.date {
                    out.raw(format!("\"{date}\" ").as_bytes());
                }
            }
            Self::Expunge(Some(set)) => out.raw(format!(" {set}").as_bytes()),
            Self::Search(search) => write_search(out, search),
            Self::Fetch { numbers, items, .. } => {
                let mut text = format!(" {numbers} (").into_bytes();
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        text.push(b' ');
                    }
                    item.write_request(&mut text);
                }
                text.push(b')');
                out.raw(&text);
            }
            Self::Store(store) => write_store(out, store),
            Self::Copy {
                numbers,
                mailbox: name,
                ..
            }
            | Self::Move {
                numbers,
                mailbox: name,
                ..
            } => {
                out.raw(format!(" {numbers}").as_bytes());
                mailbox(out, name);
            }
        }
    }
}

fn mailbox(out: &mut CommandBytes, name: &MailboxArg) {
    out.raw(b" ");
    out.astring(&name.0);
}

fn write_id(out: &mut CommandBytes, fields: &super::IdFields) {
    if fields.is_empty() {
        return out.raw(b" NIL");
    }
    for (index, (name, value)) in fields.iter().enumerate() {
        out.raw(if index == 0 { b" (" } else { b" " });
        out.string(name);
        match value {
            Some(value) => {
                out.raw(b" ");
                out.string(value);
            }
            None => out.raw(b" NIL"),
        }
    }
    out.raw(b")");
}

fn write_list(out: &mut CommandBytes, list: &List) {
    if !list.select.is_empty() {
        let words: Vec<&str> = list
            .select
            .iter()
            .map(|select| match select {
                ListSelect::Subscribed => "SUBSCRIBED",
                ListSelect::Remote => "REMOTE",
                ListSelect::RecursiveMatch => "RECURSIVEMATCH",
                ListSelect::SpecialUse => "SPECIAL-USE",
            })
            .collect();
        out.raw(format!(" ({})", words.join(" ")).as_bytes());
    }
    out.raw(b" ");
    out.string(&list.reference);
    match list.patterns.as_slice() {
        [pattern] => {
            out.raw(b" ");
            out.string(pattern);
        }
        patterns => {
            for (index, pattern) in patterns.iter().enumerate() {
                out.raw(if index == 0 { b" (" } else { b" " });
                out.string(pattern);
            }
            out.raw(b")");
        }
    }
    if !list.returns.is_empty() {
        let words: Vec<String> = list
            .returns
            .iter()
            .map(|item| match item {
                ListReturn::Subscribed => "SUBSCRIBED".to_owned(),
                ListReturn::Children => "CHILDREN".to_owned(),
                ListReturn::SpecialUse => "SPECIAL-USE".to_owned(),
                ListReturn::Status(items) => format!("STATUS {}", status_items(items)),
            })
            .collect();
        out.raw(format!(" RETURN ({})", words.join(" ")).as_bytes());
    }
}

fn status_items(items: &[StatusItem]) -> String {
    let names: Vec<&str> = items.iter().map(|item| item.as_str()).collect();
    format!("({})", names.join(" "))
}

fn flag_list(flags: &[Flag]) -> String {
    let words: Vec<String> = flags.iter().map(ToString::to_string).collect();
    format!("({})", words.join(" "))
}

fn write_search(out: &mut CommandBytes, search: &Search) {
    if let Some(returns) = &search.returns {
        let words: Vec<&str> = returns
            .iter()
            .map(|item| match item {
                SearchReturn::Min => "MIN",
                SearchReturn::Max => "MAX",
                SearchReturn::All => "ALL",
                SearchReturn::Count => "COUNT",
            })
            .collect();
        out.raw(format!(" RETURN ({})", words.join(" ")).as_bytes());
    }
    if let Some(charset) = &search.charset {
        out.raw(b" CHARSET ");
        out.astring(charset.as_bytes());
    }
    out.raw(b" ");
    search.key.write(out);
}

fn write_store(out: &mut CommandBytes, store: &Store) {
    let sign = match store.action {
        StoreAction::Replace => "",
        StoreAction::Add => "+",
        StoreAction::Remove => "-",
    };
    let silent = match store.answer {
        StoreAnswer::Fetch => "",
        StoreAnswer::Silent => ".SILENT",
    };
    out.raw(
        format!(
            " {} {sign}FLAGS{silent} {}",
            store.numbers,
            flag_list(&store.flags)
        )
        .as_bytes(),
    );
}
