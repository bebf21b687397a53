"""Python's own mail clients, and the mechanisms that they lack.

client.py < ATTEMPTS
    ATTEMPTS is a JSON list. Each attempt logs in once; printed is a JSON list of what came of each:
    "before" and "after" (what the server announced before and after TLS), "outcome" ("in", "refused", "later",
    "privacy", "unsupported", or the reply itself), "reply", and for SCRAM the "salt" and the "iterations".

Keys of an attempt: protocol (imap, pop3), mode (plain, starttls, implicit), port, mechanism; and as it needs them
ca, source (an address to come from), certificate and key, login, authzid, password, token, and
binding: "n" and "y" (RFC 5802 section 6), "end-point", "wrong".
Without a mechanism: only what is announced. With "LOGIN COMMAND": LOGIN, or USER and PASS.
"""

import base64
import hashlib
import hmac
import imaplib
import json
import os
import poplib
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

HOST = "127.0.0.1"
LIMIT = 30


class Broken(Exception):
    """The server has broken the protocol, or has not proven itself."""


class Plain:
    def __init__(self, attempt, _tls):
        self.answers = [f"{attempt.get('authzid', '')}\0{attempt['login']}\0{attempt['password']}"]

    def __call__(self, _challenge):
        return self.answers.pop(0).encode()


class Login(Plain):
    def __init__(self, attempt, _tls):
        self.answers = [attempt["login"], attempt["password"]]


class CramMd5:
    def __init__(self, attempt, _tls):
        self.login, self.password = attempt["login"], attempt["password"].encode()

    def __call__(self, challenge):
        return f"{self.login} {hmac.new(self.password, challenge, 'md5').hexdigest()}".encode()


class External:
    def __init__(self, attempt, _tls):
        self.authzid = attempt.get("authzid", "").encode()

    def __call__(self, _challenge):
        return self.authzid


class OauthBearer:
    """RFC 7628 section 3.1; after a refusal (section 3.2.3) the client sends one octet."""

    def __init__(self, attempt, _tls):
        name = f"a={attempt['login']}" if attempt.get("login") else ""
        self.answers = [f"n,{name},\x01auth=Bearer {attempt['token']}\x01\x01", "\x01"]
        self.refusal = None

    def __call__(self, challenge):
        if len(self.answers) == 1:
            self.refusal = json.loads(challenge)
            if self.refusal["status"] not in ("invalid_token", "insufficient_scope"):
                raise Broken(f"a status that is none: {self.refusal}")
        return self.answers.pop(0).encode()


class XOauth2(OauthBearer):
    def __init__(self, attempt, _tls):
        self.answers = [f"user={attempt['login']}\x01auth=Bearer {attempt['token']}\x01\x01", ""]

    def __call__(self, _challenge):
        return self.answers.pop(0).encode()


class Scram:
    """RFC 5802 section 3."""

    def __init__(self, attempt, tls):
        mechanism = attempt["mechanism"]
        self.hash = "sha1" if "SHA-1" in mechanism else "sha256"
        self.login, self.password = attempt["login"], attempt["password"]
        binding = attempt.get("binding", "n")
        if mechanism.endswith("-PLUS"):
            header, data = "p=tls-server-end-point,,", bytes(32)
            if binding != "wrong":
                # RFC 5929 section 4.1; the test's certificates are signed with SHA-256.
                data = hashlib.sha256(tls.getpeercert(binary_form=True)).digest()
        else:
            header, data = f"{binding},,", b""
        self.header, self.binding = header, base64.b64encode(header.encode() + data).decode()
        self.step = 0
        self.salt = self.iterations = None
        self.proven = False

    def __call__(self, challenge):
        self.step += 1
        return [self.first, self.final, self.verify][self.step - 1](challenge.decode()).encode()

    def first(self, _challenge):
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        name = self.login.replace("=", "=3D").replace(",", "=2C")
        self.bare = f"n={name},r={self.nonce}"
        return self.header + self.bare

    def final(self, challenge):
        fields = dict(field.split("=", 1) for field in challenge.split(","))
        if not fields["r"].startswith(self.nonce) or fields["r"] == self.nonce:
            raise Broken(f"a nonce that is not ours: {challenge}")
        self.salt, self.iterations = fields["s"], int(fields["i"])
        salted = hashlib.pbkdf2_hmac(
            self.hash, self.password.encode(), base64.b64decode(self.salt), self.iterations
        )
        key = hmac.digest(salted, b"Client Key", self.hash)
        stored = hashlib.new(self.hash, key).digest()
        without = f"c={self.binding},r={fields['r']}"
        message = f"{self.bare},{challenge},{without}".encode()
        signature = hmac.digest(stored, message, self.hash)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        server_key = hmac.digest(salted, b"Server Key", self.hash)
        self.expected = base64.b64encode(hmac.digest(server_key, message, self.hash)).decode()
        return f"{without},p={base64.b64encode(proof).decode()}"

    def verify(self, challenge):
        if challenge.startswith("e="):
            return ""
        if challenge != f"v={self.expected}":
            raise Broken(f"the server does not know the password: {challenge}")
        self.proven = True
        return ""


def exchange(attempt, tls):
    mechanism = attempt["mechanism"]
    if mechanism.startswith("SCRAM-"):
        return Scram(attempt, tls)
    kinds = {
        "PLAIN": Plain,
        "LOGIN": Login,
        "CRAM-MD5": CramMd5,
        "EXTERNAL": External,
        "OAUTHBEARER": OauthBearer,
        "XOAUTH2": XOauth2,
    }
    return kinds[mechanism](attempt, tls)


def imap(attempt, context):
    class Client(imaplib.IMAP4):
        def _create_socket(self, timeout):
            plain = connect(attempt)
            if attempt["mode"] == "implicit":
                return context.wrap_socket(plain, server_hostname=HOST)
            return plain

    client = Client(HOST, attempt["port"], timeout=LIMIT)
    before, after = list(client.capabilities), None
    if attempt["mode"] == "starttls" and not attempt.get("stay"):
        client.starttls(context)
        after = list(client.capabilities)
    if attempt["mode"] == "implicit":
        before, after = None, before
    told = {"before": before, "after": after}
    mechanism = attempt.get("mechanism")
    if mechanism is None:
        client.logout()
        return told
    state = None
    try:
        if mechanism == "LOGIN COMMAND":
            told["reply"] = client.login(attempt["login"], attempt["password"])[1][-1].decode()
        else:
            state = exchange(attempt, client.socket())
            told["reply"] = client.authenticate(mechanism, state)[1][-1].decode()
        status, _ = client.select("INBOX")
        if status != "OK":
            raise Broken(f"no INBOX: {status}")
        told["outcome"] = "in"
    except imaplib.IMAP4.error as error:
        told["reply"] = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        told["outcome"] = judge(told["reply"], "[AUTHENTICATIONFAILED]", "[UNAVAILABLE]")
    return told | proofs(state, told["outcome"])


def pop3(attempt, context):
    if attempt["mode"] == "implicit":

        class Client(poplib.POP3_SSL):
            def _create_socket(self, timeout):
                return context.wrap_socket(connect(attempt), server_hostname=HOST)

        client = Client(HOST, attempt["port"], context=context, timeout=LIMIT)
    else:

        class Client(poplib.POP3):
            def _create_socket(self, timeout):
                return connect(attempt)

        client = Client(HOST, attempt["port"], timeout=LIMIT)
    words = lambda: [word for name, rest in client.capa().items() for word in [name, *(f"{name} {one}" for one in rest)]]
    before, after = words(), None
    if attempt["mode"] == "starttls" and not attempt.get("stay"):
        client.stls(context)
        after = words()
    if attempt["mode"] == "implicit":
        before, after = None, before
    told = {"before": before, "after": after}
    mechanism = attempt.get("mechanism")
    if mechanism is None:
        client.quit()
        return told
    state = None
    try:
        if mechanism == "LOGIN COMMAND":
            client.user(attempt["login"])
            told["reply"] = client.pass_(attempt["password"]).decode()
        else:
            state = exchange(attempt, client.sock)
            # RFC 5034 section 4.
            client._putcmd(f"AUTH {mechanism}")
            while True:
                reply, _ = client._getline()
                if not reply.startswith(b"+ ") and reply != b"+":
                    break
                answer = state(base64.b64decode(reply[2:]))
                client._putline(base64.b64encode(answer))
            told["reply"] = reply.decode()
            if not reply.startswith(b"+OK"):
                raise poplib.error_proto(reply)
        client.stat()
        told["outcome"] = "in"
    except poplib.error_proto as error:
        told["reply"] = error.args[0].decode()
        told["outcome"] = judge(told["reply"], "-ERR [AUTH]", "-ERR [SYS/TEMP]")
    return told | proofs(state, told["outcome"])


def proofs(state, outcome):
    if not isinstance(state, Scram):
        return {"refusal": getattr(state, "refusal", None)}
    if outcome == "in" and not state.proven:
        raise Broken("in, without the server's proof")
    return {"salt": state.salt, "iterations": state.iterations}


def judge(reply, refused, later):
    for start, outcome in [(refused, "refused"), (later, "later"), ("[PRIVACYREQUIRED]", "privacy")]:
        if reply.startswith(start):
            return outcome
    return reply


def connect(attempt):
    source = (attempt["source"], 0) if "source" in attempt else None
    return socket.create_connection((HOST, attempt["port"]), LIMIT, source)


def run(attempt):
    context = None
    if attempt["mode"] != "plain":
        context = ssl.create_default_context(cafile=attempt["ca"])
        if "certificate" in attempt:
            context.load_cert_chain(attempt["certificate"], attempt["key"])
    return {"imap": imap, "pop3": pop3}[attempt["protocol"]](attempt, context)


if __name__ == "__main__":
    # Servers let those wait who guess: not one after the other.
    with ThreadPoolExecutor(8) as pool:
        print(json.dumps(list(pool.map(run, json.load(sys.stdin)))))
