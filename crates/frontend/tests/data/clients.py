"""Real sessions with Python's own clients; one JSON object on standard input says which, one on standard output
what came of it.

Keys: protocol (submission, managesieve), mode (plain, starttls, implicit), port, ca, login, password; for
submission also to (a list) and text; for managesieve also script.
"""

import base64
import json
import smtplib
import socket
import ssl
import sys

HOST = "localhost"
LIMIT = 30


def submission(ask, context):
    if ask["mode"] == "implicit":
        client = smtplib.SMTP_SSL(HOST, ask["port"], timeout=LIMIT, context=context)
    else:
        client = smtplib.SMTP(HOST, ask["port"], timeout=LIMIT)
    if ask["mode"] == "starttls":
        client.starttls(context=context)
    client.ehlo()
    told = {"announced": sorted(client.esmtp_features)}
    # Without a login nothing is taken.
    told["early"] = client.docmd("MAIL", f"FROM:<{ask['login']}>")[0]
    told["login"] = client.login(ask["login"], ask["password"])[0]
    told["refused"] = client.sendmail(ask["login"], ask["to"], ask["text"].encode(), ["BODY=8BITMIME"])
    told["quit"] = client.quit()[0]
    return told


class Sieve:
    """RFC 5804, as far as a client needs it to keep a script."""

    def __init__(self, ask, context):
        self.socket = socket.create_connection((HOST, ask["port"]), LIMIT)
        if ask["mode"] == "implicit":
            self.wrap(context)
        self.file = self.socket.makefile("rb")
        self.capabilities = self.read()[1]
        if ask["mode"] == "starttls":
            assert ["STARTTLS"] in self.capabilities, self.capabilities
            assert self.command("STARTTLS")[0] == "OK"
            self.wrap(context)
            self.file = self.socket.makefile("rb")
            self.capabilities = self.read()[1]

    def wrap(self, context):
        self.socket = context.wrap_socket(self.socket, server_hostname=HOST)

    def line(self):
        """Words and strings of a line, its literals put in."""
        words, text = [], ""
        line = self.file.readline().decode()
        assert line.endswith("\r\n"), line
        line = line[:-2]
        while line:
            if line[0] == '"':
                at, text = 1, ""
                while line[at] != '"':
                    at += line[at] == "\\"
                    text += line[at]
                    at += 1
                words.append(text)
                line = line[at + 1 :].lstrip()
            elif line[0] == "{":
                words.append(self.file.read(int(line[1:-1])).decode())
                line = self.file.readline().decode()[:-2].lstrip()
            else:
                word, _, line = line.partition(" ")
                words.append(word)
        return words

    def read(self):
        lines = []
        while True:
            line = self.line()
            if line and line[0] in ("OK", "NO", "BYE"):
                return line[0], lines
            lines.append(line)

    def command(self, command, literal=None):
        if literal is not None:
            command += f" {{{len(literal)}+}}\r\n{literal}"
        self.socket.sendall(f"{command}\r\n".encode())
        return self.read()


def managesieve(ask, context):
    client = Sieve(ask, context)
    told = {"announced": sorted(line[0] for line in client.capabilities)}
    told["early"] = client.command("LISTSCRIPTS")[0]
    proof = base64.b64encode(f"\0{ask['login']}\0{ask['password']}".encode()).decode()
    told["login"] = client.command('AUTHENTICATE "PLAIN"', proof)[0]
    told["put"] = client.command('PUTSCRIPT "mine"', ask["script"])[0]
    told["active"] = client.command('SETACTIVE "mine"')[0]
    told["script"] = client.command('GETSCRIPT "mine"')[1][0][0]
    told["quit"] = client.command("LOGOUT")[0]
    return told


if __name__ == "__main__":
    ask = json.load(sys.stdin)
    context = None
    if ask["mode"] != "plain":
        context = ssl.create_default_context(cafile=ask["ca"])
    print(json.dumps({"submission": submission, "managesieve": managesieve}[ask["protocol"]](ask, context)))
