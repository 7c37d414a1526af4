"""The benchmark's peer in Python: watches the children of the paths in a file by kazoo's asynchronous calls.

Prints each path's number of children when it was read again and differs. A lost connection loses kazoo's watches, so
that all paths are read anew on the next.
"""

import sys
import threading

from kazoo.client import KazooClient, KazooState

print("begin", flush=True)
with open(sys.argv[2], encoding="utf-8") as file:
    paths = file.read().split()
known = {}
zk = KazooClient(hosts=sys.argv[1], timeout=10)


def read(path):
    zk.get_children_async(path, watch=on_event).rawlink(lambda result: note(path, result))


def on_event(event):
    if event.path and event.type == "CHILD":
        read(event.path)


def note(path, result):
    if not result.successful():
        return
    before, known[path] = known.get(path), len(result.value)
    if before is None:
        if len(known) == len(paths):
            print("armed", flush=True)
    elif before != known[path]:
        print(path, known[path], flush=True)


def read_all():
    for path in paths:
        read(path)


def on_state(state):
    if state == KazooState.CONNECTED:
        zk.handler.spawn(read_all)


zk.start(20)
zk.add_listener(on_state)
read_all()
threading.Event().wait()
