//! The files of packaging/, each as it is but for paths, ports and names of the machine.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::support::{
    Authority, Frame, Gateway, RawUpstream, Request, Wire, authority, eventually, issue, trusting,
};

const HOST: &str = "chat.example.com";

/// Fields that an application may believe, as a client writes them.
const FORGED: [&str; 8] = [
    "X-Forwarded-Host",
    "X-Real-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "Remote-User",
    "X-Remote-User",
    "X-Auth-Request-User",
    "Client-Cert",
];

/// The text of a file of packaging/ with each of these texts, which it must have, replaced.
fn packaged(name: &str, changes: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name);
    let text = fs::read_to_string(path).unwrap();
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "packaging/{name} has no {from}");
        text.replace(from, to)
    })
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program}: {said}");
    said
}

#[test]
#[ignore = "needs systemd-analyze"]
fn the_unit_is_valid_and_exposes_little() {
    let folder = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_framewall");
    let unit = packaged("framewall.service", &[("/usr/local/bin/framewall", binary)]);
    fs::write(folder.path().join("framewall.service"), unit).unwrap();
    fs::write(folder.path().join("framewall.socket"), packaged("framewall.socket", &[])).unwrap();
    let units = ["verify", "./framewall.service", "./framewall.socket"];
    let said = run("systemd-analyze", &units, folder.path());
    assert_eq!(said, "");
    let security = ["security", "--offline=true", "--threshold=20", "./framewall.service"];
    run("systemd-analyze", &security, folder.path());
}

#[test]
fn the_hook_of_certbot_puts_the_new_certificate_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let lineage = folder.path().join("live").join(HOST);
    let certs = folder.path().join("certs");
    fs::create_dir_all(&lineage).unwrap();
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/certbot-hook");
    for round in ["old", "new"] {
        fs::write(lineage.join("fullchain.pem"), format!("{round} chain")).unwrap();
        fs::write(lineage.join("privkey.pem"), format!("{round} key")).unwrap();
        let user = run("id", &["-un"], folder.path());
        let output = Command::new(&hook)
            .env("RENEWED_LINEAGE", &lineage)
            .env("FRAMEWALL_CERTS", &certs)
            .env("FRAMEWALL_OWNER", user.trim())
            .env("FRAMEWALL_RELOAD", "echo reloaded")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "reloaded\n");
        for (part, text) in [("fullchain", "chain"), ("privkey", "key")] {
            let file = certs.join(format!("{HOST}.{part}.pem"));
            assert_eq!(fs::read_to_string(&file).unwrap(), format!("{round} {text}"));
        }
    }
    assert_eq!(fs::read_dir(&certs).unwrap().count(), 2, "nothing else is left there");
}

/// A server in front of the gateway, ended with its test.
struct Front {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
    client: Arc<ClientConfig>,
}

impl Front {
    /// Starts `program`, whose configuration `configure` writes into the folder for this port.
    fn start(program: &str, arguments: &[&str], configure: impl FnOnce(&Path, u16)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority: Authority = authority();
        issue(&authority, folder.path(), "site", &[HOST]);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        configure(folder.path(), free.port());
        let output = fs::File::create(folder.path().join("output")).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; scripts/test installs it"));
        let front = Self { child, folder, address: free, client: trusting(&authority) };
        let up = eventually(|| TcpStream::connect(front.address).ok());
        assert!(up.is_some(), "{}", fs::read_to_string(front.output()).unwrap());
        front
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    fn connect(&self) -> Wire {
        let socket = TcpStream::connect(self.address).unwrap();
        Wire::tls_client(socket, Arc::clone(&self.client), HOST)
    }

    /// A page of the application, and an echo through front and gateway.
    fn serves(&self, pages: &RawUpstream, sockets: &RawUpstream) {
        let mut browser = self.connect();
        browser.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes());
        let mut page = pages.accept();
        page.read_head();
        page.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage");
        assert_eq!(browser.read_response().body, b"page");

        let mut client = self.connect();
        let origin = format!("https://{HOST}");
        let request = Request::upgrade("/ws").without("Host").and("Host", HOST);
        // What a client says of itself reaches nobody.
        let request = request.and("Origin", &origin).and("X-Forwarded-For", "192.0.2.66");
        let forged = FORGED.iter().fold(request, |request, name| request.and(name, "forged"));
        client.send_request(&forged);
        let (mut application, request) = sockets.accept_upgrade("");
        assert_eq!(client.read_head().status(), 101);
        assert_eq!(request.only("x-real-ip"), Some("127.0.0.1"));
        assert_eq!(request.only("x-forwarded-proto"), Some("https"));
        assert_eq!(request.only("host"), Some(HOST));
        assert_eq!(request.only("x-forwarded-host"), Some(HOST));
        for name in FORGED {
            assert!(!request.all(&name.to_ascii_lowercase()).contains(&"forged"), "{name}");
        }
        client.say(Frame::text("there"));
        application.expect_frame(Frame::text("there"));
        application.say(Frame::text("back"));
        client.expect_frame(Frame::text("back"));
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.output()).unwrap_or_default());
        }
    }
}

/// A gateway as config/behind-proxy.toml has it.
fn behind(sockets: &RawUpstream) -> Gateway {
    Gateway::to(&[sockets.address()])
        .plain()
        .server("trusted_proxies = [\"127.0.0.1\"]")
        .route(&format!("host = [\"{HOST}\"]\norigins = [\"https://{HOST}\"]"))
        .start()
}

#[test]
#[ignore = "needs nginx"]
fn nginx_serves_the_pages_in_front_of_the_gateway() {
    let (pages, sockets) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = behind(&sockets);
    let front = Front::start("nginx", &["-p", ".", "-c", "nginx.conf"], |folder, port| {
        let live = format!("/etc/letsencrypt/live/{HOST}");
        let server = packaged(
            "nginx.conf",
            &[
                ("listen 443", &format!("listen 127.0.0.1:{port}")),
                (&format!("{live}/fullchain.pem"), &format!("{}/site.pem", folder.display())),
                (&format!("{live}/privkey.pem"), &format!("{}/site.key", folder.display())),
                ("http://127.0.0.1:8000", &format!("http://{}", pages.address())),
                ("http://127.0.0.1:8080", &format!("http://{}", gateway.address())),
            ],
        );
        let main = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\nclient_body_temp_path .;\nproxy_temp_path .;\n\
             fastcgi_temp_path .;\nuwsgi_temp_path .;\nscgi_temp_path .;\n{server}}}\n"
        );
        fs::write(folder.join("nginx.conf"), main).unwrap();
    });
    front.serves(&pages, &sockets);
}

#[test]
#[ignore = "needs caddy"]
fn caddy_serves_the_pages_in_front_of_the_gateway() {
    let (pages, sockets) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = behind(&sockets);
    let arguments = ["run", "--config", "Caddyfile", "--adapter", "caddyfile"];
    let front = Front::start("caddy", &arguments, |folder, port| {
        let site = packaged(
            "Caddyfile",
            &[
                (
                    "chat.example.com {",
                    &format!("https://{HOST}:{port} {{\n\tbind 127.0.0.1\n\ttls site.pem site.key"),
                ),
                ("127.0.0.1:8000", &pages.address().to_string()),
                ("127.0.0.1:8080", &gateway.address().to_string()),
            ],
        );
        let global = "{\n\tadmin off\n\tauto_https off\n}\n";
        fs::write(folder.join("Caddyfile"), format!("{global}{site}")).unwrap();
    });
    front.serves(&pages, &sockets);
}

/// The block of docs/load-balancers.md that begins with this line.
fn documented(first: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/load-balancers.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once(&format!("```text\n{first}\n")).unwrap();
    format!("{first}\n{}", block.split("```").next().unwrap())
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_balances_gateways_and_drains_one() {
    let application = RawUpstream::bind();
    let gateway = Gateway::to(&[application.address()])
        .server("proxy_protocol = \"required\"\ntrusted_proxies = [\"127.0.0.1\"]")
        .server("health_path = \"/healthz\"\nshutdown_spread = \"10m\"")
        .start();
    let dead = RawUpstream::unused_address();
    let front = Front::start("haproxy", &["-db", "-f", "haproxy.cfg"], |folder, port| {
        let changes = [
            (":443", format!("127.0.0.1:{port}")),
            ("10.0.0.21:8443", gateway.address().to_string()),
            ("10.0.0.22:8443", dead.to_string()),
            ("inter 2s", "inter 1s".to_owned()),
        ];
        let text = changes.iter().fold(documented("frontend clients"), |text, (from, to)| {
            assert!(text.contains(from), "no {from}");
            text.replace(from, to)
        });
        fs::write(folder.join("haproxy.cfg"), text).unwrap();
    });
    let says = |words: &str| fs::read_to_string(front.output()).unwrap().contains(words);
    let is_down = |name: &str| {
        let words = format!("Server gateways/{name} is DOWN");
        assert!(eventually(|| says(&words).then_some(())).is_some(), "{name} is not down");
    };
    is_down("b");
    assert!(!says("gateways/a is DOWN"), "its health check fails");

    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
        socket.connect(&front.address.into()).unwrap();
        let mut client = Wire::tls_client(socket.into(), gateway.tls_client(), "localhost");
        client.send_request(&Request::upgrade("/ws"));
        let (upstream, request) = application.accept_upgrade("");
        assert_eq!(client.read_head().status(), 101);
        assert_eq!(request.only("x-real-ip"), Some("127.0.0.2"), "the PROXY protocol says so");
        (client, upstream)
    };
    let sessions = [open(), open()];
    gateway.terminate();
    is_down("a");
    // One is told to end at once, the other later.
    let waiting = sessions
        .into_iter()
        .find_map(|(mut client, upstream)| (!client.has_something()).then_some((client, upstream)));
    let (mut client, mut upstream) = waiting.expect("HAProxy keeps its connection");
    client.say(Frame::text("there"));
    upstream.expect_frame(Frame::text("there"));
}
