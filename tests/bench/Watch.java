import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.AsyncCallback.ChildrenCallback;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.ZooKeeper;

/**
 * The benchmark's peer in Java: watches the children of the paths in a file by asynchronous calls, and prints each
 * path's number of children when an event told of a change and it was read again. A watch that a lost connection would
 * lose is left again by the client itself.
 */
class Watch {
    static ZooKeeper client;

    public static void main(String[] arguments) throws Exception {
        System.out.println("begin");
        List<String> paths = Files.readAllLines(Path.of(arguments[1]));
        AtomicInteger unread = new AtomicInteger(paths.size());
        ChildrenCallback armed = (code, path, context, children) -> {
            if (code == 0 && unread.decrementAndGet() == 0) {
                System.out.println("armed");
            }
        };
        client = new ZooKeeper(arguments[0], 10_000, Watch::changed);
        for (String path : paths) {
            client.getChildren(path, true, armed, null);
        }
        Thread.currentThread().join();
    }

    static void changed(WatchedEvent event) {
        if (event.getPath() != null) {
            client.getChildren(event.getPath(), true, (code, path, context, children) -> {
                if (code == 0) {
                    System.out.println(path + " " + children.size());
                }
            }, null);
        }
    }
}
