//! What a client asks for (RFC 3501 section 6 and the extensions named in the folder's head).

use super::date::DateTime;
use super::fetch::FetchItem;
use super::scan::{Malformed, is_astring_char};
use super::search::SearchKey;
use super::sequence::SequenceSet;
use super::utf7;
use model::{Flag, MailboxName, Secret, SpecialUse};
use std::fmt;

/// The client's name for a command: 1 to 128 characters of `ASTRING-CHAR` without `+`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// Parses a tag.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let fits = (1..=128).contains(&text.len());
        let text = std::str::from_utf8(text).ok()?;
        (fits && text.bytes().all(|byte| is_astring_char(byte) && byte != b'+')).then(|| Self(text.into()))
    }

    /// The tag of a command of which only the beginning is known.
    #[must_use]
    pub fn leading(command: &[u8]) -> Option<Self> {
        let end = command.iter().position(|byte| *byte == b' ')?;
        Self::parse(command.get(..end)?)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// One command.
#[derive(Debug, Clone)]
pub struct Command {
    /// The client's name for it.
    pub tag: Tag,
    /// What is asked.
    pub body: CommandBody,
}

/// Why an assembled command is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// The tag, when at least that could be read: then the answer is a tagged BAD, else an untagged one.
    pub tag: Option<Tag>,
    /// What is wrong.
    pub problem: CommandProblem,
}

/// What is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandProblem {
    /// There is no tag.
    #[error("expected a tag")]
    NoTag,
    /// The verb is not one of ours.
    #[error("unknown command")]
    UnknownVerb,
    /// The arguments do not follow the grammar.
    #[error(transparent)]
    Arguments(#[from] Malformed),
}

/// Whether numbers are UIDs or message sequence numbers (RFC 3501 section 6.4.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// Message sequence numbers.
    Sequence,
    /// Unique identifiers.
    Uid,
}

/// A mailbox as the client wrote it. It may be no name that this product can hold; the server answers NO
/// to that, not BAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxArg(pub Vec<u8>);

/// The mailbox name is not modified UTF-7, or not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a mailbox name")]
pub struct NotAMailbox;

impl MailboxArg {
    /// The name it means.
    pub fn name(&self) -> Result<MailboxName, NotAMailbox> {
        let text = utf7::decode(&self.0).ok_or(NotAMailbox)?;
        MailboxName::parse(&text).map_err(|_| NotAMailbox)
    }
}

impl From<&MailboxName> for MailboxArg {
    fn from(name: &MailboxName) -> Self {
        Self(utf7::encode(name.as_str()).into_bytes())
    }
}

/// Fields of an ID command or response (RFC 2971): names, and values or NIL.
pub type IdFields = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The verbs with their arguments.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // The variants are the verbs of the RFC, their fields its argument names.
pub enum CommandBody {
    // Any state.
    Capability,
    Noop,
    Logout,
    Id(IdFields),
    // Not authenticated.
    StartTls,
    Login {
        user: Vec<u8>,
        password: Secret,
    },
    Authenticate {
        mechanism: String,
        initial: Option<Secret>,
    },
    /// Not of any RFC: a front end has one of its sessions ended. Only homes that trust it take it.
    EndSession {
        trace: Vec<u8>,
        why: Vec<u8>,
    },
    // Authenticated.
    Select(MailboxArg),
    Examine(MailboxArg),
    Create {
        mailbox: MailboxArg,
        special_use: Vec<SpecialUse>,
    },
    Delete(MailboxArg),
    Rename {
        from: MailboxArg,
        to: MailboxArg,
    },
    Subscribe(MailboxArg),
    Unsubscribe(MailboxArg),
    List(List),
    Lsub {
        reference: Vec<u8>,
        pattern: Vec<u8>,
    },
    Namespace,
    Status {
        mailbox: MailboxArg,
        items: Vec<StatusItem>,
    },
    /// Never comes out of [`Command::parse`] with the message in it: see [`Append`].
    Append(Append),
    Idle,
    // Selected.
    Check,
    Close,
    Unselect,
    Expunge(Option<SequenceSet>),
    Search(Search),
    Fetch {
        numbers: SequenceSet,
        items: Vec<FetchItem>,
        by: Numbering,
    },
    Store(Store),
    Copy {
        numbers: SequenceSet,
        mailbox: MailboxArg,
        by: Numbering,
    },
    Move {
        numbers: SequenceSet,
        mailbox: MailboxArg,
        by: Numbering,
    },
}

/// The head of APPEND: everything up to the literal that is the message. The message itself is not part of
/// the assembled command, so that its size has a limit of its own: ask [`Append::head`] at every literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxArg,
    /// With which flags.
    pub flags: Vec<Flag>,
    /// INTERNALDATE.
    pub date: Option<DateTime>,
}

/// LIST, with the basics of RFC 5258.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Which mailboxes, beyond the patterns.
    pub select: Vec<ListSelect>,
    /// The reference name.
    pub reference: Vec<u8>,
    /// The patterns; never empty.
    pub patterns: Vec<Vec<u8>>,
    /// What to tell of each, beyond the default. None: the plain LIST of RFC 3501.
    pub returns: Vec<ListReturn>,
}

/// Selection options of LIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListSelect {
    /// Subscribed names, whether they exist or not.
    Subscribed,
    /// Remote mailboxes too: this server has none.
    Remote,
    /// Also the parents of those that match the other criteria.
    RecursiveMatch,
    /// Those with a special use (RFC 6154 section 5.2).
    SpecialUse,
}

/// Return options of LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListReturn {
    /// `\Subscribed`
    Subscribed,
    /// `\HasChildren`, which is always told.
    Children,
    /// Special uses, which are always told.
    SpecialUse,
    /// A STATUS response for each (RFC 5819).
    Status(Vec<StatusItem>),
}

/// What STATUS can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the RFC's.
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    /// RFC 8438 and RFC 9051.
    Size,
    /// RFC 9051.
    Deleted,
}

impl StatusItem {
    /// All of them with their wire names.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Messages, "MESSAGES"),
        (Self::Recent, "RECENT"),
        (Self::UidNext, "UIDNEXT"),
        (Self::UidValidity, "UIDVALIDITY"),
        (Self::Unseen, "UNSEEN"),
        (Self::Size, "SIZE"),
        (Self::Deleted, "DELETED"),
    ];

    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .into_iter()
            .find(|(item, _)| *item == self)
            .map_or("", |(_, name)| name)
    }
}

/// SEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What to answer with: none for the SEARCH response of RFC 3501, some for ESEARCH (RFC 4731). An empty
    /// list means ALL.
    pub returns: Option<Vec<SearchReturn>>,
    /// CHARSET, as written.
    pub charset: Option<String>,
    /// What to find.
    pub key: SearchKey,
    /// What the answer counts in.
    pub by: Numbering,
}

/// Result options of ESEARCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the RFC's.
pub enum SearchReturn {
    Min,
    Max,
    All,
    Count,
}

/// STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Which messages.
    pub numbers: SequenceSet,
    /// What to do with the flags.
    pub action: StoreAction,
    /// Whether the new flags are told.
    pub answer: StoreAnswer,
    /// The flags.
    pub flags: Vec<Flag>,
    /// What the numbers are.
    pub by: Numbering,
}

/// What STORE does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAction {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// Whether STORE answers with the new flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAnswer {
    /// With a FETCH response for each message.
    Fetch,
    /// `.SILENT`
    Silent,
}
