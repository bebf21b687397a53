//! What goes through, what does not, and who waits for whom.

use super::*;

/// A guard with what it has let through.
#[derive(Default)]
struct Site {
    guard: Guard,
    home: Vec<u8>,
}

impl Site {
    /// What the home hears of this.
    fn up(&mut self, said: &str) -> String {
        let mut out = Vec::new();
        self.guard.up(said.as_bytes(), &mut out).expect("no breach");
        self.home.extend_from_slice(&out);
        String::from_utf8(out).expect("text")
    }

    /// What the client hears of this, and what the home hears then.
    fn down(&mut self, said: &str) -> (String, String) {
        let heard = self.guard.down(said.as_bytes()).into_owned();
        (String::from_utf8(heard).expect("text"), self.up(""))
    }
}

#[test]
fn commands_that_may_not_be_said_are_refused_by_the_home() {
    for (said, heard) in [
        ("a NOOP\r\n", "a NOOP\r\n"),
        ("a uid fetch 1 (FLAGS)\n", "a uid fetch 1 (FLAGS)\r\n"),
        ("a SEARCH SUBJECT login\r\n", "a SEARCH SUBJECT login\r\n"),
        // Some homes go on in the middle of a line that they do not understand, and some take UID for no verb.
        ("a SEARCH SUBJECT UNAUTHENTICATE\r\n", "a NOT-HERE\r\n"),
        ("UNAUTHENTICATE NOOP\r\n", "\r\n"),
        ("a FOO\r\n", "a NOT-HERE\r\n"),
        ("a UID UNAUTHENTICATE\r\n", "a NOT-HERE\r\n"),
        ("a UID LOGIN bob pw\r\n", "a NOT-HERE\r\n"),
        ("a UID\r\n", "a NOT-HERE\r\n"),
        (
            &format!("a FETCH {}x COMPRESS DEFLATE\r\n", "1,".repeat(1_000)),
            "a NOT-HERE\r\n",
        ),
        ("a SELECT foo}\r\n", "a SELECT foo}\r\n"),
        ("\r\n", "\r\n"),
        ("DONE\r\n", "DONE\r\n"),
        ("a UNAUTHENTICATE\r\n", "a NOT-HERE\r\n"),
        ("a unAuthenticate \r\n", "a NOT-HERE\r\n"),
        ("a  \tUNAUTHENTICATE x\n", "a NOT-HERE\r\n"),
        ("a COMPRESS DEFLATE\r\n", "a NOT-HERE\r\n"),
        ("a STARTTLS\r\n", "a NOT-HERE\r\n"),
        ("a AUTHENTICATE PLAIN\r\n", "a NOT-HERE\r\n"),
        (
            "a LOGIN {3+}\r\nbob {2+}\r\npw\r\nb NOOP\r\n",
            "a NOT-HERE\r\nb NOOP\r\n",
        ),
        ("a LOGIN {3}\r\nb NOOP\r\n", "a NOT-HERE\r\nb NOOP\r\n"),
        ("a \"UNAUTHENTICATE\"\r\n", "a NOT-HERE\r\n"),
        ("a {14+}\r\nUNAUTHENTICATE\r\n", "a NOT-HERE\r\n"),
        ("a\r\n", "a NOT-HERE\r\n"),
        ("a IDLE {7}\r\n", "a NOT-HERE\r\n"),
        ("* UNAUTHENTICATE\r\n", "\r\n"),
        (" a UNAUTHENTICATE\r\n", "\r\n"),
        ("a\tUNAUTHENTICATE\r\n", "\r\n"),
        ("DONE NOOP\r\n", "\r\n"),
    ] {
        assert_eq!(Site::default().up(said), heard, "{said:?}");
    }
}

#[test]
fn what_homes_might_read_in_another_way_ends_the_session() {
    for said in [
        "a NOOP\rb UNAUTHENTICATE\r\n",
        "a NOOP \0\r\n",
        "a APPEND x {5 }\r\n",
        "a APPEND x {5} \r\n",
        "a APPEND x {+5}\r\n",
        "a APPEND x {5-}\r\n",
        "a APPEND x {2147483648}\r\n",
        "a APPEND x {99999999999999999999+}\r\n",
        "a LOGIN {1+}\r\nxb UNAUTHENTICATE\r\n",
        "a LOGIN {1+}\r\nx b UNAUTHENTICATE\r\n",
        &"x".repeat(200_000),
    ] {
        let mut out = Vec::new();
        assert!(
            Guard::default().up(said.as_bytes(), &mut out).is_err(),
            "{said:.40}"
        );
        assert!(!out.contains(&b'\n'), "{said:.40}");
    }
}

// RFC 3501 section 7.5: what follows the announcement is data when the home says so, and a command when it does not.
#[test]
fn a_literal_is_one_when_the_home_has_taken_it() {
    let mut site = Site::default();
    let letter = "x UNAUTHENTICATE\r\n";
    let append = format!("a APPEND INBOX {{{}}}\r\n", letter.len());
    assert_eq!(site.up(&append), append);
    assert_eq!(site.up(letter), "", "held back");
    assert_eq!(
        site.down("* 1 EXISTS\r\n"),
        ("* 1 EXISTS\r\n".to_owned(), String::new())
    );
    assert_eq!(site.down("+ go"), ("+ go".to_owned(), String::new()));
    assert_eq!(site.down(" on\r\n"), (" on\r\n".to_owned(), letter.to_owned()));
    assert_eq!(site.up("\r\nb NOOP\r\n"), "\r\nb NOOP\r\n");

    let mut site = Site::default();
    site.up(&append);
    assert_eq!(site.up(letter), "");
    let (heard, then) = site.down("a NO [TRYCREATE] no such folder\r\n");
    assert_eq!(
        (heard.as_str(), then.as_str()),
        ("a NO [TRYCREATE] no such folder\r\n", "x NOT-HERE\r\n")
    );
}

// RFC 7888: the client does not wait, and hears no "+".
#[test]
fn a_literal_that_does_not_wait_is_asked_for() {
    let mut site = Site::default();
    let letter = "x UNAUTHENTICATE\r\n";
    let said = format!("a APPEND INBOX ~{{{}+}}\r\n{letter}\r\nb NOOP\r\n", letter.len());
    assert_eq!(site.up(&said), "a APPEND INBOX ~{18}\r\n");
    let (heard, then) = site.down("* 1 EXISTS\r\n+ go on\r\n* 2 EXISTS\r\n");
    assert_eq!(heard, "* 1 EXISTS\r\n* 2 EXISTS\r\n");
    assert_eq!(then, format!("{letter}\r\nb NOOP\r\n"));

    // What the home has refused is thrown away, with all that belongs to it.
    let mut site = Site::default();
    assert_eq!(
        site.up("a APPEND x {4+}\r\nfour {3+}\r\nabc\r\nb NOOP\r\n"),
        "a APPEND x {4}\r\n"
    );
    let (heard, then) = site.down("a NO full\r\n");
    assert_eq!((heard.as_str(), then.as_str()), ("a NO full\r\n", "b NOOP\r\n"));
}

/// Somebody else's "+" or result would make data of commands, and commands of data.
#[test]
fn only_the_answer_to_a_literal_counts_for_it() {
    // The same tag twice: the first result is the first command's.
    let mut site = Site::default();
    assert_eq!(
        site.up("a NOOP\r\na APPEND x {20}\r\nb X {40}\r\n"),
        "a NOOP\r\na APPEND x {20}\r\n"
    );
    assert_eq!(site.down("a OK done\r\n").1, "");
    assert_eq!(site.down("+ go on\r\n").1, "b X {40}\r\n", "it is data");

    // What a letter says is no answer, nor what a text says a literal.
    let mut site = Site::default();
    site.up("a FETCH 1 BODY[]\r\nb APPEND x {5}\r\nhello\r\n");
    for said in [
        "* 1 FETCH (BODY[] {9}\r\n+ go on\r\n BODY[TEXT] ~{8}\r\nb NO x\r\n)\r\n",
        "a OK about {5}\r\n",
        "* OK more about {5}\r\n",
        "* LIST () \"/\" {3+}\r\n+ \r\n",
        "\r\n",
    ] {
        for piece in said.split_inclusive(' ') {
            assert_eq!(site.down(piece), (piece.to_owned(), String::new()), "{said:?}");
        }
    }
    assert_eq!(site.down("+ \r\n").1, "hello\r\n");

    // IDLE has its own.
    let mut site = Site::default();
    assert_eq!(
        site.up("a IDLE\r\nDONE\r\nb APPEND x {5}\r\nhello\r\n"),
        "a IDLE\r\n"
    );
    assert_eq!(site.down("+ idling\r\n").1, "DONE\r\nb APPEND x {5}\r\n");
    assert_eq!(site.down("a OK idled\r\n").1, "");
    assert_eq!(site.down("+ go on\r\n").1, "hello\r\n");
    let mut site = Site::default();
    site.up("a IDLE\r\nb NOOP\r\n");
    assert_eq!(site.down("a NO not now\r\n").1, "b NOOP\r\n");
}

#[test]
fn a_client_waits_when_much_is_owed() {
    let mut site = Site::default();
    let said: String = (0..=MAX_OWED)
        .map(|number| format!("a{number} NOOP\r\n"))
        .collect();
    let heard = site.up(&said);
    assert!(site.guard.waits() && heard.ends_with(&format!("a{} NOOP\r\n", MAX_OWED - 1)));
    assert_eq!(site.down("a7 OK\r\n").1, format!("a{MAX_OWED} NOOP\r\n"));
}
