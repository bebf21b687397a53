"""What a program with Python's imaplib does with a mailbox, and what it must see."""
import imaplib
import ssl
import sys

port, certificate, login, password = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
MESSAGE = (
    b"Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nFrom: Bob <bob@example.test>\r\n"
    b"To: alice@example.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello %d\r\n"
)


def ok(answer):
    kind, data = answer
    assert kind == "OK", answer
    return data


def refused(call, *arguments):
    try:
        kind, data = call(*arguments)
    except imaplib.IMAP4.error as error:
        return str(error)
    assert kind == "NO", (kind, data)
    return data[0].decode()


client = imaplib.IMAP4("127.0.0.1", port, timeout=30)
assert "STARTTLS" in client.capabilities, client.capabilities
client.starttls(ssl.create_default_context(cafile=certificate))
assert "AUTHENTICATIONFAILED" in refused(client.login, login, "wrong")
client.login(login, password)
assert b"UIDPLUS" in ok(client.capability())[0]
ok(client.namespace())
ok(client.create("work/&AOQ-"))
assert "ALREADYEXISTS" in refused(client.create, "work/&AOQ-")
assert any(b'"work/&AOQ-"' in line for line in ok(client.list()))
ok(client.subscribe("work"))
assert ok(client.lsub('""', "work")) == [b'() "/" "work"'], client.lsub('""', "work")
for number in range(3):
    data = ok(client.append("INBOX", "(\\Flagged)" if number else None, imaplib.Time2Internaldate(0), MESSAGE % number))
    assert b"APPENDUID" in data[0], data
assert "TRYCREATE" in refused(client.append, "nowhere", None, None, b"x")
assert ok(client.select()) == [b"3"]
assert client.untagged_responses["READ-WRITE"], client.untagged_responses
assert ok(client.recent()) == [b"3"]
assert ok(client.search(None, "FLAGGED")) == [b"2 3"]
assert ok(client.search("UTF-8", "SUBJECT", '"Hello"')) == [b""]
client.literal = "grüße".encode()
assert ok(client.uid("SEARCH", "CHARSET", "UTF-8", "SUBJECT")) == [b"1 2 3"]
data = ok(client.fetch("2", "(FLAGS RFC822)"))
assert data[0][1] == MESSAGE % 1, data
assert b"\\Seen" in data[0][0] + data[1], data
data = ok(client.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODYSTRUCTURE ENVELOPE)"))
assert data[0][1] == b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n", data
ok(client.store("1", "+FLAGS", "\\Deleted"))
assert b"COPYUID" in client.untagged_responses.get("COPYUID", [b""])[0] or ok(client.copy("1:2", "work"))
assert ok(client.status("work", "(MESSAGES UIDNEXT UNSEEN)")) == [b'"work" (MESSAGES 2 UIDNEXT 3 UNSEEN 1)']
assert ok(client.expunge()) == [b"1"]
assert ok(client.uid("MOVE", "2:3", "work"))
ok(client.noop())
assert ok(client.search(None, "ALL")) == [b""]
ok(client.check())
ok(client.close())
ok(client.select("work", readonly=True))
ok(client.unselect())
assert ok(client.rename("work", "play")) and ok(client.delete("play/&AOQ-"))
ok(client.select("play"))
assert [line for line in ok(client.fetch("1:*", "UID")) if line] == [
    b"%d (UID %d)" % (number, number) for number in range(1, 5)
]
assert client.logout()[0] == "BYE"
print("done")
