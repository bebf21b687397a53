"""Python's own mail clients over TLS, against 127.0.0.1.

client.py session PROTOCOL MODE PORT CA_FILE LOGIN < PASSWORD
    Logs in (SMTP: greets), and prints JSON: the capabilities before and after TLS, and the version of TLS.
client.py inject PROTOCOL PORT CA_FILE
    Sends a command in the clear right behind the one that starts TLS, in one packet, and prints every line
    that the server says over TLS. Only the farewell may be among them.
"""

import imaplib
import json
import poplib
import smtplib
import socket
import ssl
import sys

HOST = "127.0.0.1"
LIMIT = 20


def imap(mode, port, context, login, password):
    if mode == "implicit":
        client, before = imaplib.IMAP4_SSL(HOST, port, ssl_context=context, timeout=LIMIT), []
    else:
        client = imaplib.IMAP4(HOST, port, timeout=LIMIT)
        before = list(client.capabilities)
        client.starttls(context)
    after = list(client.capabilities)
    version = client.socket().version()
    client.login(login, password)
    status, _ = client.select("INBOX")
    assert status == "OK", status
    client.logout()
    return before, after, version


def pop3(mode, port, context, login, password):
    if mode == "implicit":
        client, before = poplib.POP3_SSL(HOST, port, context=context, timeout=LIMIT), []
    else:
        client = poplib.POP3(HOST, port, timeout=LIMIT)
        before = list(client.capa())
        client.stls(context)
    after = list(client.capa())
    version = client.sock.version()
    client.user(login)
    client.pass_(password)
    client.stat()
    client.quit()
    return before, after, version


def smtp(mode, port, context, _login, _password):
    if mode == "implicit":
        client, before = smtplib.SMTP_SSL(HOST, port, context=context, timeout=LIMIT), []
    else:
        client = smtplib.SMTP(HOST, port, timeout=LIMIT)
        client.ehlo("client.example.test")
        before = [name.upper() for name in client.esmtp_features]
        client.starttls(context=context)
    client.ehlo("client.example.test")
    after = [name.upper() for name in client.esmtp_features]
    version = client.sock.version()
    client.quit()
    return before, after, version


def session(protocol, mode, port, ca_file, login):
    context = ssl.create_default_context(cafile=ca_file)
    talk = {"imap": imap, "pop3": pop3, "smtp": smtp}[protocol]
    before, after, version = talk(mode, int(port), context, login, sys.stdin.read())
    print(json.dumps({"before": before, "after": after, "version": version}))


def inject(protocol, port, ca_file):
    hello, start, go_on, injected, farewell = {
        "imap": ([], b"a STARTTLS\r\n", b"a OK", b"b NOOP\r\n", b"c LOGOUT\r\n"),
        "pop3": ([], b"STLS\r\n", b"+OK", b"NOSUCH\r\n", b"QUIT\r\n"),
        "smtp": ([b"EHLO injector.test\r\n"], b"STARTTLS\r\n", b"220", b"NOSUCH\r\n", b"QUIT\r\n"),
    }[protocol]
    plain = socket.create_connection((HOST, int(port)), LIMIT)
    lines = plain.makefile("rb")
    lines.readline()
    for command in hello:
        plain.sendall(command)
        while lines.readline()[3:4] == b"-":
            pass
    plain.sendall(start + injected)
    # Byte by byte, for what follows this line belongs to TLS.
    reply = b""
    while not reply.endswith(b"\n"):
        reply += plain.recv(1)
    assert reply.startswith(go_on), reply
    context = ssl.create_default_context(cafile=ca_file)
    with context.wrap_socket(plain, server_hostname=HOST) as secure:
        secure.sendall(farewell)
        for line in secure.makefile("rb"):
            print(line.decode().rstrip())


if __name__ == "__main__":
    {"session": session, "inject": inject}[sys.argv[1]](*sys.argv[2:])
