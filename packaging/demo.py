#!/usr/bin/python3
"""The parts of packaging/demo that bash cannot play.

  demo.py mail PORT FOLDER         take every mail; write each, decoded, to FOLDER/mail.1, FOLDER/mail.2 ...
  demo.py chroot HOST:PORT NAME    make the znode NAME, to hold all that the demo does
  demo.py prepare HOSTS            make the sample's znodes, in spec
  demo.py remove|restore HOSTS     take away, put back, the one child of /services/foo/min_1
  demo.py clean HOST:PORT NAME     remove the znode NAME and all below it
"""

import email
import email.policy
import logging
import os
import socketserver
import sys

CHILDREN = {"min_0": [], "min_1": ["a"], "min_3": ["a", "b", "c"]}
ONLY_CHILD = "/services/foo/min_1/a"


class Dialogue(socketserver.StreamRequestHandler):
    """One client of the mail server. It takes everything."""

    timeout = 60
    taken = 0

    def handle(self):
        self.say("220 demo ESMTP")
        for line in iter(self.rfile.readline, b""):
            verb = line[:4].upper()
            if verb == b"DATA":
                self.say("354 go on")
                self.keep(b"".join(iter(self.rfile.readline, b".\r\n")))
            self.say("221 bye" if verb == b"QUIT" else "250 ok")
            if verb == b"QUIT":
                return

    def keep(self, raw):
        mail = email.message_from_bytes(raw.replace(b"\r\n..", b"\r\n."), policy=email.policy.default)
        Dialogue.taken += 1
        name = os.path.join(sys.argv[3], f"mail.{Dialogue.taken}")
        with open(name + ".new", "w", encoding="utf-8") as out:
            for field in ("From", "To", "Subject"):
                print(f"{field}: {mail[field]}", file=out)
            print(f"\n{mail.get_content().strip()}", file=out)
        os.rename(name + ".new", name)

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")


class MailServer(socketserver.ThreadingTCPServer):
    """A thread a client, so that one which keeps its connection keeps nobody out."""

    allow_reuse_address = True
    daemon_threads = True


def connect(hosts):
    from kazoo.client import KazooClient

    # What matters is raised; its log tells of every connection that ends.
    logging.disable()

    client = KazooClient(hosts=hosts, timeout=10)
    client.start(timeout=15)
    return client


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    command, where = sys.argv[1:3]
    if command == "mail":
        MailServer(("127.0.0.1", int(where)), Dialogue).serve_forever()
    client = connect(where)
    if command == "chroot":
        client.create(sys.argv[3])
    elif command == "prepare":
        for parent, children in CHILDREN.items():
            client.ensure_path(f"/services/foo/{parent}")
            for child in children:
                client.ensure_path(f"/services/foo/{parent}/{child}")
    elif command == "remove":
        client.delete(ONLY_CHILD)
    elif command == "restore":
        client.create(ONLY_CHILD)
    elif command == "clean":
        client.delete(sys.argv[3], recursive=True)
    else:
        sys.exit(__doc__)
    client.stop()
    client.close()


main()
