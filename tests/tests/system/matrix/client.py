"""Logs in by each way that is named, and holds the session until a line comes: one JSON line for each way.

argv[1] is a JSON list of {protocol, tls, port, source, login, password, ca, name}; name is the server's, localhost
if there is none. Whoever is not let in, or not shown the right certificate, gets the reply "closed".
"""

import json
import socket
import ssl
import sys


def connect(way):
    sock = socket.create_connection(("127.0.0.1", way["port"]), 60, (way["source"], 0))
    sock.settimeout(60)
    return sock


def wrap(way, sock):
    context = ssl.create_default_context(cafile=way["ca"])
    return context.wrap_socket(sock, server_hostname=way.get("name", "localhost"))


class Line:
    def __init__(self, sock):
        self.sock = sock
        self.file = sock.makefile("rb")

    def ask(self, text, end):
        self.sock.sendall(text.encode() + b"\r\n")
        return self.until(end)

    def until(self, end):
        while True:
            line = self.file.readline().decode().strip()
            if not line or line.startswith(end):
                return line


def imap(way, sock):
    line = Line(sock)
    line.until(("*",))
    if way["tls"] == "starttls":
        line.ask("s STARTTLS", ("s ",))
        sock = wrap(way, sock)
        line = Line(sock)
    reply = line.ask('a LOGIN "%s" "%s"' % (way["login"], way["password"]), ("a ",))
    if reply.startswith("a OK"):
        reply = line.ask("b SELECT INBOX", ("b ",))
    return sock, reply.split(" ", 1)[-1]


def pop3(way, sock):
    line = Line(sock)
    line.until(("+", "-"))
    if way["tls"] == "starttls":
        line.ask("STLS", ("+", "-"))
        sock = wrap(way, sock)
        line = Line(sock)
    line.ask("USER " + way["login"], ("+", "-"))
    reply = line.ask("PASS " + way["password"], ("+", "-"))
    if reply.startswith("+OK"):
        reply = line.ask("STAT", ("+", "-"))
    return sock, reply.lstrip("+")


def talk(way, sock):
    if way["tls"] == "implicit":
        sock = wrap(way, sock)
    return imap(way, sock) if way["protocol"] == "imap" else pop3(way, sock)


for way in json.loads(sys.argv[1]):
    sock = connect(way)
    local = "%s:%d" % sock.getsockname()
    try:
        sock, reply = talk(way, sock)
    except OSError:
        reply = ""
    print(json.dumps({"local": local, "reply": reply or "closed"}), flush=True)
    sys.stdin.readline()
    if reply.startswith("OK"):
        sock.sendall(b"z LOGOUT\r\n" if way["protocol"] == "imap" else b"QUIT\r\n")
        while sock.recv(4096):
            pass
    sock.close()
