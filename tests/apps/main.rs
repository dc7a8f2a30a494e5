//! Applications as people run them, with their own servers and clients, behind the gateway alone. Commands, settings and
//! configurations are those of docs/applications.md.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod application;
mod page;

use application::Application;
use serde_json::{Value, json};
use support::{Browser, Gateway, Peer, Tool, eventually};

/// The refusals that the gateway logged: reason and path.
fn refusals(gateway: &Gateway) -> Vec<String> {
    let records = gateway.log_records().into_iter();
    let refused = records.filter(|record| record["event"] == "refused");
    refused.map(|record| format!("{} {}", record["reason"], record["path"])).collect()
}

#[test]
#[ignore = "needs python fastapi, uvicorn and requests"]
fn fastapi_under_uvicorn() {
    let application = Application::start("FastAPI and Starlette (uvicorn)", "", None);
    let gateway = application.gateway();
    assert_eq!(application.serve(&gateway, "fastapi_client.py").len(), 11);
    let wanted = "code\": 1000";
    assert!(application.output().contains(wanted), "{}", application.output());
    assert_eq!(refusals(&gateway), ["\"body.too_large\" \"/stream\""]);
}

#[test]
#[ignore = "needs node express and ws"]
fn express_with_ws_behind_a_login_cookie() {
    let application = Application::start("Express and ws (Node)", "", None);
    assert!(application.has_lines("js", "express_app.mjs"));
    let gateway = application.gateway();
    assert_eq!(application.serve(&gateway, "express_client.mjs").len(), 10);
}

#[test]
#[ignore = "needs node express and chromium"]
fn a_page_in_chromium_uses_all_of_one_origin() {
    let application = Application::start("Express and ws (Node)", "", None);
    let gateway = application.gateway();
    let key = gateway.folder().join("site0.key");
    let _browser = Browser::open(&gateway.url("https", "/login"), &[&key]);
    let told = (0..3).find_map(|_| {
        eventually(|| {
            let output = application.output();
            let line = output.lines().find(|line| line.starts_with('{'))?;
            serde_json::from_str::<Value>(line).ok()
        })
    });
    let wanted = json!({
        "page": "login",
        "login": { "secure": true },
        "cookie": "theme=dark",
        "home": true,
        "me": "ada",
        "path": "/paths/[id]%20%C3%BC'(1)?a[]=[|]",
        "note": { "status": 201, "text": "Grüße", "by": "ada" },
        "upload": { "size": 3_000_000, "length": "3000000" },
        "events": ["ada 1", "ada 2", "ada 3"],
        "socket": ["{\"user\":\"ada\"}", "Grüße"],
    });
    let told = told.unwrap_or_else(|| panic!("the page does not end: {:?}", refusals(&gateway)));
    assert_eq!(told, wanted);
    let ended = gateway.wait_for_record(|record| record["event"] == "session.ended");
    assert_eq!(ended["code"], 4000, "{ended}");
}

#[test]
#[ignore = "needs node socket.io and socket.io-client"]
fn socketio_polls_and_upgrades() {
    let application = Application::start("Socket.IO", "", None);
    let gateway = application.gateway();
    assert_eq!(application.serve(&gateway, "socketio_client.mjs").len(), 8);
    assert_eq!(refusals(&gateway), Vec::<String>::new());
}

#[test]
#[ignore = "needs node socket.io, socket.io-client and jose"]
fn socketio_over_three_servers() {
    let application = Application::start("Socket.IO over several servers", "", None);
    let trusted = "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]";
    for (key, changes) in
        [("user", vec![]), ("address", vec![("hash:user", "hash:ip"), ("[server]", trusted)])]
    {
        let gateway = application.gateway_with(&changes);
        assert_eq!(application.serve_with(&gateway, "socketio_many.mjs", &[key]).len(), 3);
        assert_eq!(refusals(&gateway), Vec::<String>::new());
    }
}

#[test]
#[ignore = "needs mosquitto and node mqtt"]
fn mqtt_over_websockets() {
    let application = Application::start("MQTT (mosquitto)", "", Some("mosquitto.conf"));
    let gateway = application.gateway();
    assert_eq!(application.serve(&gateway, "mqtt_client.mjs").len(), 4);
    assert_eq!(refusals(&gateway), Vec::<String>::new());
}

#[test]
#[ignore = "needs python websockify, node @novnc/novnc and chromium"]
fn novnc_in_chromium_over_websockify() {
    let mut screen = Peer::start(Tool::Python, "apps/novnc_screen", &[]);
    let address = screen.address().to_string();
    // The page of the tests, and noVNC as npm has it, lie below this folder.
    let changes = [("/usr/share/novnc", ".."), ("127.0.0.1:5900", &address)];
    let application = Application::start_with("noVNC (websockify)", "", None, &changes);
    let gateway = application.gateway();
    let key = gateway.folder().join("site0.key");
    let _browser = Browser::open(&gateway.url("https", "/apps/novnc.html"), &[&key]);
    let ended = (0..3).find_map(|_| {
        eventually(|| gateway.log_records().into_iter().find(|it| it["event"] == "session.ended"))
    });
    let ended = ended.unwrap_or_else(|| panic!("no session: {}", application.output()));
    assert_eq!((&ended["by"], &ended["reason"]), (&json!("client"), &json!("closed")), "{ended}");
    assert_eq!(screen.says(), json!({ "key": 0x61 }));
    let cut = screen.says();
    let seen: Value = serde_json::from_str(cut["cut"].as_str().unwrap()).unwrap();
    let pixel = json!([0x12, 0xab, 0x34, 255]);
    let wanted = json!({
        "name": "a screen of the tests", "width": 320, "height": 200, "pixels": [pixel, pixel],
    });
    assert_eq!(seen, wanted);
    assert_eq!(screen.says(), json!({ "left": true }));
    assert_eq!(refusals(&gateway), Vec::<String>::new());
}

#[test]
#[ignore = "needs python django, channels, daphne and requests"]
fn django_with_channels_under_daphne() {
    let heading = "Django and channels (daphne)";
    let application = Application::start(heading, "django", Some("behind_gateway.py"));
    let gateway = application.gateway();
    assert_eq!(application.serve(&gateway, "django_client.py").len(), 7);
    assert_eq!(refusals(&gateway), Vec::<String>::new());
}

#[test]
#[ignore = "needs python jupyter-server, ipykernel and requests"]
fn jupyter_runs_a_kernel_and_a_terminal() {
    let application = Application::start("Jupyter Server", "", Some("jupyter_server_config.py"));
    let gateway = application.gateway();
    assert_eq!(application.serve(&gateway, "jupyter_client_steps.py").len(), 4);
}
