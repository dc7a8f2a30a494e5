//! Tests that a check that is added to the list runs everywhere.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use http::Request;
use serde_json::json;

use super::checks::{Check, CheckOutcome, ConfigSection, Phase, Run, key};
use super::context::CheckContext;
use super::token::{Signer, Verifiers};
use super::{
    Admission, Arrival, Authentication, CHECKS, Claims, Policy, Room, SessionAuthentication,
    ShownToken,
};
use crate::config::{self, Algorithm, UnknownClients};
use crate::handshake::{ClientAddress, Peer, UpgradeRequest};
use crate::state::State;
use crate::values::{Reason, Refusal, RequestContext, RequestKind, Sender, TokenPlace};

/// The name of the route on which [`PROBE`] refuses every client.
pub(crate) const PROBED: &str = "probed";

/// A secret of 32 bytes.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A check that exists only in tests; it is in the list like any other.
pub(super) const PROBE: Check = Check {
    phase: Phase::Token,
    name: "probe",
    key: key(ConfigSection::Route, "probe"),
    run: Run::Now(probe),
    rerun: Some(probe),
    passed: Some(|_| "not probed".to_owned().into()),
};

fn probe(cx: &mut CheckContext<'_>) -> Result<CheckOutcome, Refusal> {
    match &*cx.route()?.name {
        PROBED => Err(Refusal::new(Reason::RouteNone, "the route is probed").by("probe")),
        _ => Ok(CheckOutcome::Passed),
    }
}

/// A configuration with one route.
pub(crate) fn configuration(route: &str, token_from: &str) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nmode = \"off\"\n[routes.{route}]\npath = \"/ws\"\n\
         upstream = [\"ws://127.0.0.1:1\"]\nauth = \"main\"\n[jwt.main]\nalgorithms = [\"HS256\"]\n\
         secret = \"file:secret\"\ntoken_from = [\"{token_from}\"]\n"
    )
}

/// A policy built from a configuration, and a token that it accepts.
struct Fixture {
    policy: Policy,
    state: State,
    token: String,
}

fn fixture(route: &str, token_from: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let token = write_secret(folder.path());
    let text = configuration(route, token_from);
    let config = config::parse(&text, &folder.path().join("framewall.toml")).unwrap().config;
    let verifiers = Verifiers::new(&config, None).unwrap();
    let state = State::open(&config).unwrap();
    let policy = Policy::new(&config, None, verifiers, Arc::clone(state.revocations()));
    Fixture { policy, state, token }
}

/// Writes the secret of [`configuration`], and signs a token with it.
pub(crate) fn write_secret(folder: &Path) -> String {
    let path = folder.join("secret");
    std::fs::write(&path, SECRET).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let signer = Signer::secret(SECRET.as_bytes(), Algorithm::HS256).unwrap();
    let claims = json!({ "sub": "ada", "exp": 4_000_000_000_u64 });
    signer.sign(claims.as_object().unwrap(), None).unwrap()
}

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Runs the phases of a request as a connection does, with the token in the request head.
async fn connect(fixture: &Fixture, token: Option<&str>) -> Result<Admission, Refusal> {
    let mut checks = fixture.policy.checks(ADDRESS);
    let address = checks.admit_address(&fixture.state)?;
    let exchange =
        checks.admit_exchange(&address, &fixture.state, Room { full: false, stopping: false })?;
    let mut request = Request::builder()
        .header("host", "chat.example")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let mut request = UpgradeRequest::parse("/ws".into(), head).unwrap();
    let peer = Peer { address: (ADDRESS, 0).into(), trusted: false, tls: false, own: false };
    let client =
        ClientAddress::resolve(&peer, &[], UnknownClients::Refuse, request.head().headers())
            .unwrap();
    let arrival = Arrival {
        exchange,
        client: &client,
        server_name: None,
        by_proxy: false,
        certificate: None,
        context: CONTEXT,
    };
    let route = checks.route(request.head(), arrival)?;
    checks.admit(route, request.head_mut(), arrival).await
}

#[test]
fn a_proxy_that_names_no_client_has_no_counted_address() {
    let mut fixture = fixture("chat", "header");
    let counted = |Fixture { policy, state, .. }: &Fixture| {
        let mut checks = policy.checks(ADDRESS);
        let address = checks.admit_plain_address(state).unwrap();
        let room = Room { full: false, stopping: false };
        checks.admit_exchange(&address, state, room).unwrap().counted_address()
    };
    assert_eq!(counted(&fixture), Some(ADDRESS.into()));
    fixture.policy.trusted = ["192.0.2.0/24".parse().unwrap()].into();
    assert_eq!(counted(&fixture), None);
}

const CONTEXT: RequestContext = RequestContext { sender: Sender::Program, relayed: false };

/// Continues the admission with the token of the first message.
async fn say(fixture: &Fixture, admission: &Admission) -> Result<(), Refusal> {
    let shown = ShownToken { token: &fixture.token, place: &TokenPlace::Message, context: CONTEXT };
    let mut checks = fixture.policy.checks(ADDRESS);
    checks.identify(admission.route(), shown).await.map(drop)
}

/// The result of checking an open session again under the policy of `fixture`.
fn reload(fixture: &Fixture, admission: &Admission) -> Result<(), Refusal> {
    let Authentication::Identified(token) = admission.authentication() else {
        panic!("the session has no user");
    };
    let claims = Claims::new(token.claims());
    let issuer = token.principal().user.issuer();
    let kept = SessionAuthentication::Identified { issuer, claims: &claims };
    fixture
        .policy
        .checks(ADDRESS)
        .review(RequestKind::WebSocket, admission.snapshot(), kept)
        .map(drop)
}

#[track_caller]
fn assert_probed<T: std::fmt::Debug>(outcome: Result<T, Refusal>) {
    assert_eq!(outcome.unwrap_err().detail, "the route is probed");
}

#[tokio::test]
async fn a_check_of_the_list_runs_live_and_after_a_reload() {
    let (open, probed) = (fixture("open", "header"), fixture(PROBED, "header"));
    assert_probed(connect(&probed, Some(&probed.token)).await);
    let admission = connect(&open, Some(&open.token)).await.unwrap();
    reload(&open, &admission).unwrap();
    assert_probed(reload(&probed, &admission));
}

#[tokio::test]
async fn a_check_of_the_list_runs_when_the_first_message_brings_the_token() {
    for (name, is_refused) in [("open", false), (PROBED, true)] {
        let fixture = fixture(name, "message");
        let admission = connect(&fixture, None).await.unwrap();
        assert!(matches!(admission.authentication(), Authentication::Awaited(_)), "{name}");
        let outcome = say(&fixture, &admission).await;
        assert_eq!(outcome.is_err(), is_refused, "{name}: {outcome:?}");
        if is_refused {
            assert_probed(outcome);
        }
    }
}

/// The checks of a phase are contiguous, so that the order of the list is the order of execution.
#[test]
fn the_list_has_each_phase_once() {
    let mut phases: Vec<Phase> = CHECKS.iter().map(|check| check.phase).collect();
    phases.dedup();
    let expected = [
        Phase::Address,
        Phase::Certificate,
        Phase::Exchange,
        Phase::Request,
        Phase::Route,
        Phase::RouteRequest,
        Phase::Head,
        Phase::Token,
        Phase::UserRequest,
        Phase::User,
        Phase::Session,
    ];
    assert_eq!(phases, expected);
}

#[test]
fn only_the_token_waits_and_a_reload_does_not_count() {
    for check in CHECKS {
        assert!(matches!(check.run, Run::Now(_)) || check.phase == Phase::Token, "{check:?}");
    }
    let rerun: Vec<&str> =
        CHECKS.iter().filter(|check| check.rerun.is_some()).map(|check| check.name).collect();
    assert_eq!(rerun, ["firewall", "certificate", "route", "origin", "token", "claims", "probe"]);
}
