"""The benchmark's polling peer: a check in the manner of Nagios plugins, `check.py ADDRESS PATH MINIMUM`.

A process a path: it connects, counts the path's children, prints a status line with performance data, and tells the
state by its exit code.
"""

import sys

from kazoo.client import KazooClient

address, path, minimum = sys.argv[1], sys.argv[2], int(sys.argv[3])
zk = KazooClient(hosts=address, timeout=10, read_only=True)
try:
    zk.start(10)
    children = len(zk.get_children(path))
except Exception as error:
    print(f"ZNODE UNKNOWN - {path}: {error!r}")
    sys.exit(3)
finally:
    zk.stop()
    zk.close()
critical = children < minimum
print(f"ZNODE {'CRITICAL' if critical else 'OK'} - {path} has {children} children|children={children};;{minimum}:")
sys.exit(2 if critical else 0)
