//! The stage has no way out, and its programs reach the stage and nothing else. Production is a second server on
//! loopback, or a listener on the address that a container's bridge has on this machine.

mod support;

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use support::report::script;
use support::server::Server;
use support::{On, Room, has_engine, has_server, output};

/// Locks are not what is measured here.
const ANY: [&str; 2] = ["--budget", "60s"];
/// How a session on the stage tries to write on production.
const HITS: &str = "CREATE TABLE hits (by text)";

struct Production(Server);

impl Production {
    fn start() -> Self {
        let server = Server::start();
        server.psql(HITS);
        Self(server)
    }

    fn conninfo(&self, host: &str) -> String {
        format!(
            "host={host} port={} user=postgres dbname=postgres",
            self.0.port()
        )
    }

    fn hits(&self) -> String {
        self.0
            .psql("SELECT string_agg(by, ',' ORDER BY by) FROM hits")
    }
}

fn sql_step(name: &str, text: &str) -> String {
    format!("[[steps]]\nname = \"{name}\"\nsql = '''{text}'''\n")
}

/// By every address of a server on this machine, Unix sockets included.
fn statements(production: &Production) -> Vec<String> {
    let folder = production.0.folder();
    assert!(
        folder
            .join(format!(".s.PGSQL.{}", production.0.port()))
            .exists()
    );
    ["127.0.0.1".to_owned(), folder.display().to_string()]
        .iter()
        .map(|host| {
            format!(
                "SELECT dblink_exec('{}', $$INSERT INTO hits VALUES ('statement')$$)",
                production.conninfo(host)
            )
        })
        .collect()
}

#[test]
fn a_statement_of_a_local_stage_does_not_get_out() {
    if !has_server() {
        return;
    }
    let production = Production::start();
    let room = Room::with("CREATE EXTENSION dblink");
    for statement in statements(&production) {
        let scenario = room.scenario(&sql_step("out", &statement));
        let words = [
            "the network of the stage's server is closed",
            "network = \"open\"",
        ];
        room.run(&scenario, &[]).expect(4, &words);
    }
    assert_eq!(production.hits(), "");
    // The same, opened: it was the network and nothing else.
    for statement in statements(&production) {
        let scenario = room.scenario(&sql_step("out", &statement));
        let ran = room.run(
            &scenario,
            &["--network", "open", "--json", "out.json", "--budget", "60s"],
        );
        ran.expect(0, &["network: open"]);
        assert_eq!(room.json("out.json")["stage"]["network"], "open");
    }
    assert_eq!(production.hits(), "statement,statement");
}

#[test]
fn what_a_restore_calls_does_not_get_out() {
    if !has_server() {
        return;
    }
    let production = Production::start();
    let call = format!(
        "CREATE EXTENSION dblink; CREATE TABLE t (id int); INSERT INTO t VALUES (1);
         CREATE FUNCTION home(int) RETURNS int IMMUTABLE LANGUAGE sql AS
           $f$SELECT length(dblink_exec('{}', 'INSERT INTO hits VALUES (''restore'')'))$f$;
         CREATE INDEX ON t (home(id));",
        production.conninfo("127.0.0.1")
    );
    let room = Room::with(&call);
    let scenario = room.scenario(&sql_step("add", "ALTER TABLE items ADD z int"));
    let ran = room.run(&scenario, &[]);
    ran.expect(3, &["could not establish connection"]);
    assert_eq!(production.hits(), "");
    room.run(&scenario, &["--network", "open"]).expect(0, &[]);
    assert_ne!(production.hits(), "");
}

#[test]
fn a_stage_connects_to_itself() {
    if !has_server() {
        return;
    }
    let room = Room::with("CREATE EXTENSION dblink");
    let itself =
        "DO $d$ BEGIN PERFORM dblink_exec(format('host=%s port=%s user=postgres dbname=%s',
        split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'),
        current_database()), 'CREATE TABLE made (id int)'); END $d$";
    let scenario = room.scenario(&sql_step("itself", itself));
    room.run(&scenario, &ANY).expect(0, &[]);
}

#[test]
fn a_program_reaches_the_stage_and_nothing_else() {
    if !has_server() {
        return;
    }
    let production = Production::start();
    let room = Room::new();
    let write = "INSERT INTO hits VALUES ('program')";
    let program = format!(
        "psql -Xqc 'ALTER TABLE items ADD z int' && psql -Xq '{}' -c \"{write}\"",
        production.conninfo("127.0.0.1")
    );
    let closed = room.scenario(&script("program", &program));
    room.run(&closed, &[]).expect(
        4,
        &["the program's network is closed", "network = \"open\""],
    );
    assert_eq!(production.hits(), "");
    let step = script("program", &program);
    let open = room.scenario(&step.replacen("[[steps]]", "[[steps]]\nnetwork = \"open\"", 1));
    room.run(&open, &["--json", "open.json", "--budget", "60s"])
        .expect(0, &[]);
    assert_eq!(production.hits(), "program");
    let report = room.json("open.json");
    // The step's own key opens the program's network, not the server's.
    assert_eq!(report["stage"]["network"], "closed");
    assert_eq!(report["steps"][0]["command"]["network"], "open");
}

#[test]
fn a_program_on_an_external_server_reaches_that_one_only() {
    if !has_server() {
        return;
    }
    let production = Production::start();
    let external = Server::with_app("CREATE TABLE items (id int)");
    let room = Room::new();
    let program = format!(
        "psql -Xqc 'ALTER TABLE items ADD z int'; psql -Xq '{}' -c 'DELETE FROM hits'",
        production.conninfo("127.0.0.1")
    );
    let scenario = room.scenario(&script("program", &program));
    let url = external.url("postgres");
    let scenario = scenario.display().to_string();
    let arguments = [
        "run",
        &scenario,
        "--stage",
        &url,
        "--confirm-external",
        "app",
    ];
    let ran = room.lockproof(&arguments);
    ran.expect(4, &["the program's network is closed"]);
    assert_eq!(
        external.app("SELECT count(*) FROM pg_attribute WHERE attname = 'z'"),
        "1"
    );
}

/// A listener that counts who comes, on the address of the engine's bridge.
struct Bridge {
    port: u16,
    address: String,
    came: Arc<AtomicU32>,
    over: Arc<AtomicBool>,
}

impl Bridge {
    fn listen() -> Self {
        let name = "{{index .Options \"com.docker.network.bridge.name\"}}";
        let bridge = output("docker", &["network", "inspect", "bridge", "-f", name]);
        let shown = output("ip", &["-o", "-4", "address", "show", bridge.trim()]);
        let mut words = shown.split_whitespace().skip_while(|word| *word != "inet");
        let address = words.nth(1).and_then(|net| net.split('/').next());
        let address = address.expect("an address").to_owned();
        let listener = TcpListener::bind((address.as_str(), 0)).expect("the bridge's address");
        let port = listener.local_addr().expect("its port").port();
        let (came, over) = (
            Arc::new(AtomicU32::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, end) = (came.clone(), over.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                count.fetch_add(1, Ordering::SeqCst);
                // Whatever it is: no server.
                let _ = client.and_then(|mut client| client.read(&mut [0; 8]));
            }
        });
        Self {
            port,
            address,
            came,
            over,
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect((self.address.as_str(), self.port));
    }
}

#[test]
fn a_container_does_not_get_out_over_its_bridge() {
    if !has_engine() {
        return;
    }
    let bridge = Bridge::listen();
    let room = Room::with("CREATE EXTENSION dblink");
    let out = format!(
        "SELECT dblink_connect('host={} port={} user=u dbname=d connect_timeout=5')",
        bridge.address, bridge.port
    );
    let scenario = room.scenario(&sql_step("out", &out));
    let arguments = ["--json", "out.json"];
    let run = |more: &[&str]| {
        let arguments = [&arguments[..], more].concat();
        support::finish(room.run_command(On::Container, &scenario, &arguments))
    };
    run(&[]).expect(4, &["the network of the stage's server is closed"]);
    assert_eq!(bridge.came.load(Ordering::SeqCst), 0);
    let report = room.json("out.json");
    assert_eq!(report["stage"]["network"], "closed");
    let by = "a container without a network, reached by a Unix socket";
    assert_eq!(report["stage"]["network_by"], by);
    run(&["--network", "open"]).expect(4, &[]);
    assert_ne!(bridge.came.load(Ordering::SeqCst), 0);
}

#[test]
fn a_program_reaches_the_server_in_a_container() {
    if !has_engine() {
        return;
    }
    let room = Room::new();
    for network in ["closed", "open"] {
        let step = script("program", "psql -Xqc 'ALTER TABLE items ADD z int'");
        let key = format!("[[steps]]\nnetwork = \"{network}\"");
        let scenario = room.scenario(&step.replacen("[[steps]]", &key, 1));
        support::finish(room.run_command(On::Container, &scenario, &ANY)).expect(0, &[]);
    }
}
