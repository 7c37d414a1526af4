//! `--suggest` on trees as known systems make them.

use crate::common::{Access, Client, Folder, Mode, Output, Space, ZooKeeper, run, shared};

const KAFKA: &[&str] = &[
    "/brokers/ids/0!",
    "/brokers/ids/1!",
    "/brokers/ids/2!",
    "/brokers/topics/t/partitions/0/state",
    "/controller!",
    "/controller_epoch",
    "/config/topics/t",
    "/config/changes/config_change_0000000001",
    "/admin/delete_topics",
    "/isr_change_notification",
    "/consumers/g/ids/g_host1-1700000000000-abcdef01!",
    "/consumers/g/ids/g_host2-1700000000000-abcdef02!",
    "/consumers/g/offsets/t/0",
];
const CURATOR: &[&str] = &[
    "/discovery/web/0f8fad5b-d9cb-469f-a165-70867728950e!",
    "/discovery/web/1f8fad5b-d9cb-469f-a165-70867728950e!",
    "/discovery/db/2f8fad5b-d9cb-469f-a165-70867728950e!",
    "/leader/latch/_c_3f8fad5b-d9cb-469f-a165-70867728950e-latch-0000000001!",
    "/mutex/_c_4f8fad5b-d9cb-469f-a165-70867728950e-lock-0000000001!",
];
const NERVE: &[&str] = &[
    "/services/a/services/i-1_0000000001!",
    "/services/a/services/i-2_0000000002!",
    "/services/b/services/i-1_0000000001!",
    "/services/c/services/i-1_0000000001!",
    "/services/idle/services",
];
const HBASE: &[&str] = &[
    "/hbase/master!",
    "/hbase/backup-masters/m2,16000,1700000000000!",
    "/hbase/rs/r1,16020,1700000000000!",
    "/hbase/rs/r2,16020,1700000000000!",
    "/hbase/table/t",
    "/hbase/hbaseid",
];
const SOLR: &[&str] = &[
    "/live_nodes/h1:8983_solr!",
    "/live_nodes/h2:8983_solr!",
    "/overseer/queue/qn-0000000001",
    "/overseer_elect/leader!",
    "/overseer_elect/election/7-h1:8983_solr-n_0000000000!",
    "/collections/x/leader_elect/shard1/election/7-core_node1-n_0000000000!",
    "/collections/x/leader_elect/shard1/election/8-core_node2-n_0000000001!",
    "/collections/y/leader_elect/shard1/election/7-core_node1-n_0000000000!",
    "/collections/z/leader_elect/shard1/election/8-core_node2-n_0000000000!",
    "/collections/x/state.json",
    "/collections/x/leaders/shard1/leader!",
    "/collections/y/leaders/shard1/leader!",
    "/collections/z/leaders/shard1/leader!",
    "/collections/z/leaders/shard2/leader!",
    "/configs/x/schema.xml",
];

/// Creates the tree; one with `!` at its end is ephemeral.
fn make(client: &mut Client, tree: &[&str]) {
    for path in tree {
        match path.strip_suffix('!') {
            None => client.create(path, ""),
            Some(path) => {
                let above = path.rsplit_once('/').unwrap().0;
                if !above.is_empty() {
                    client.create(above, "");
                }
                client.create_as(path, "", Mode::Ephemeral, Access::Open);
            }
        }
    }
}

/// The lines of rules that are suggested, after it was held that they are accepted and hold.
#[track_caller]
fn suggested(space: &Space, tree: &[&str]) -> Vec<String> {
    let mut client = space.client();
    make(&mut client, tree);
    let said = run(["-z", space.address(), "--suggest", "/", "--for", "1s"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    accepted(space, &said)
}

/// The same of what was said.
#[track_caller]
fn accepted(space: &Space, said: &Output) -> Vec<String> {
    let folder = Folder::new("suggest");
    let file = folder.path().join("rules.yaml");
    std::fs::write(&file, &said.stdout).unwrap();
    let file = file.to_str().unwrap();
    let check = run(["-f", file, "--check-config"]);
    assert_eq!((check.code, check.stderr.as_str()), (Some(0), ""), "{check:?}");
    let once = run(["-z", space.address(), "-f", file, "--once"]);
    assert_eq!(once.code, Some(0), "{once:?}\n{}", said.stdout);
    rules(said)
}

fn rules(said: &Output) -> Vec<String> {
    said.stdout.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
}

fn min(min: u32) -> String {
    format!("  children: {{min: {min}, where: {{ephemeral: true}}}}")
}

#[test]
fn kafka_is_watched_by_its_brokers_its_controller_and_its_consumers() {
    let expected = ["/brokers/ids:", &min(3), "/consumers/g/ids:", &min(2), "/controller:", "  exists: true"];
    assert_eq!(suggested(&shared(), KAFKA), expected);
}

#[test]
fn curator_is_watched_by_its_services_and_its_leader() {
    let expected = ["/discovery/db:", &min(1), "/discovery/web:", &min(2), "/leader/latch:", &min(1)];
    assert_eq!(suggested(&shared(), CURATOR), expected);
}

#[test]
fn nerve_is_watched_by_a_glob() {
    let expected = ["/services/*/services:", &min(1), "/services/idle/services: {}"];
    assert_eq!(suggested(&shared(), NERVE), expected);
}

#[test]
fn hbase_is_watched_by_its_masters_and_its_servers() {
    let expected =
        ["/hbase/backup-masters:", &min(1), "/hbase/master:", "  exists: true", "/hbase/rs:", &min(2)];
    assert_eq!(suggested(&shared(), HBASE), expected);
}

#[test]
fn solr_is_watched_by_its_nodes_and_its_leaders() {
    let expected = [
        "/collections/*/leader_elect/shard1/election:",
        &min(1),
        "/collections/*/leaders/shard1/leader:",
        "  exists: true",
        "/collections/z/leaders/shard2/leader:",
        "  exists: true",
        "/live_nodes:",
        &min(2),
        "/overseer_elect/election:",
        &min(1),
        "/overseer_elect/leader:",
        "  exists: true",
    ];
    assert_eq!(suggested(&shared(), SOLR), expected);
}

#[test]
fn a_tree_without_sessions_and_one_that_is_missing_are_errors() {
    let space = shared();
    space.client().create("/config/x", "");
    let said = run(["-z", space.address(), "--suggest", "/config", "--for", "1s"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.stderr.contains("nothing below /config lives with a session"), "{said:?}");
    let said = run(["-z", space.address(), "--suggest", "/nothing"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("/nothing does not exist"), "{said:?}");
}

#[test]
fn what_may_not_be_listed_is_named_and_forbids_a_glob() {
    let space = shared();
    let mut client = space.client();
    client.authenticate("owner:secret");
    make(&mut client, &["/services/a/1!", "/services/b/1!", "/services/c/1!"]);
    client.create_as("/services/d", "", Mode::Persistent, Access::Creator);
    client.create_as("/services/d/1", "", Mode::Ephemeral, Access::Creator);
    let said = run(["-z", space.address(), "--suggest", "/", "--for", "1s"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (
            Some(0),
            "zk_monitor: skipped what is below \"/services/d\": not authorised to list it; ask as a \
             --zookeeper_user who may read it\n"
        )
    );
    let expected = ["/services/a:", &min(1), "/services/b:", &min(1), "/services/c:", &min(1)];
    assert_eq!(accepted(&space, &said), expected);
    let login = ["--zookeeper_user", "owner", "--zookeeper_pass", "secret"];
    let said =
        run(["-z", space.address(), "--suggest", "/", "--for", "1s", login[0], login[1], login[2], login[3]]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert_eq!(rules(&said), ["/services/*:", &min(1)]);
}

#[test]
fn what_is_too_much_is_named_and_the_rest_is_looked_at() {
    // Its own: so many znodes are in nobody's way.
    let server = ZooKeeper::start();
    let mut client = server.client();
    make(&mut client, &["/ids/1!", "/ids/2!", "/queue"]);
    let items: Vec<String> = (0..100_000).map(|number| format!("/queue/{number}")).collect();
    client.create_many(&items);
    let said = run(["-z", &server.address(), "--suggest", "/", "--for", "1s"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (
            Some(0),
            "zk_monitor: skipped what is below \"/queue\": it would be more than 100000 znodes in all; ask for a \
             smaller tree\n"
        )
    );
    assert_eq!(rules(&said), ["/ids:", &min(2)]);
}
