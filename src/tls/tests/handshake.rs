//! Handshakes: whole, cut, resumed, and failed.

use std::future::poll_fn;
use std::io::ErrorKind;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::{AlertDescription, Error, HandshakeKind, InvalidMessage};

use super::*;
use crate::tls::describe_failure;

fn accept(
    terminator: &Terminator,
    config: &Arc<ClientConfig>,
    prepare: impl FnOnce(&Socket),
) -> (io::Result<Option<String>>, Peer) {
    let socket = Socket::default();
    prepare(&socket);
    let mut peer = Peer::client(Arc::clone(config), &socket);
    let accepted = peer.handshake(async {
        let Terminated { mut stream, server_name, .. } = terminator.accept(socket).await?;
        // The tickets go out with the first answer.
        poll_fn(|cx| stream.poll_drain(cx)).await?;
        Ok(server_name)
    });
    (accepted, peer)
}

#[test]
fn the_handshake_reports_server_name_and_protocol() {
    for version in [TLS12, TLS13] {
        let mut config = client_config(version);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (name, peer) = accept(&terminator(), &Arc::new(config.clone()), |_| ());
        assert_eq!(name.unwrap().as_deref(), Some(NAME));
        assert_eq!(peer.tls.alpn_protocol(), Some(b"http/1.1".as_slice()));
        config.enable_sni = false;
        let (name, _) = accept(&terminator(), &Arc::new(config), |_| ());
        assert_eq!(name.unwrap(), None);
    }
}

#[test]
fn sessions_are_resumed_by_ticket_and_by_id_and_after_a_reload() {
    let before = terminator();
    let after = Terminator::new(&settings(ClientAuth::Off), Some(&before)).unwrap();
    for version in [TLS12, TLS13] {
        for resumption in [
            Resumption::in_memory_sessions(8),
            Resumption::in_memory_sessions(8)
                .tls12_resumption(rustls::client::Tls12Resumption::SessionIdOnly),
        ] {
            let mut config = client_config(version);
            config.resumption = resumption;
            let config = Arc::new(config);
            let kind = |terminator| {
                let (name, peer) = accept(terminator, &config, |_| ());
                assert_eq!(name.unwrap().as_deref(), Some(NAME), "a resumed one has it too");
                peer.tls.handshake_kind()
            };
            assert_eq!(kind(&before), Some(HandshakeKind::Full));
            assert_eq!(kind(&before), Some(HandshakeKind::Resumed));
            assert_eq!(kind(&after), Some(HandshakeKind::Resumed));
        }
    }
}

#[test]
fn two_tickets_are_sent_in_one_write_with_the_first_answer() {
    let socket = Socket::default();
    let mut peer = Peer::client(client_config(TLS13), &socket);
    let stream = peer.handshake(terminator().accept(socket.clone())).unwrap().stream;
    let mut pair = Pair { stream, peer };
    let tickets = |pair: &Pair<_>| match &pair.peer.tls {
        Connection::Client(client) => client.tls13_tickets_received(),
        Connection::Server(_) => panic!("a client"),
    };
    assert!(pair.flush().is_ready(), "nothing was said that is to be flushed");
    pair.peer.listen();
    assert_eq!(tickets(&pair), 0);
    let before = socket.moved().1;
    pair.write_all(b"the answer");
    assert_eq!(socket.moved().1, before + 1);
    assert_eq!(pair.peer.listen(), b"the answer");
    assert_eq!(tickets(&pair), 2);
}

#[test]
fn the_last_handshake_message_is_sent_at_once() {
    // Of TLS 1.2 the server's Finished is the end of the handshake.
    let socket = Socket::default();
    let mut peer = Peer::client(client_config(TLS12), &socket);
    peer.handshake(terminator().accept(socket)).unwrap();
    assert!(!peer.tls.is_handshaking());
}

#[test]
fn hello_retry_request_works() {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::MLKEM768, kx_group::X25519];
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[TLS13])
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth();
    let (name, peer) = accept(&terminator(), &Arc::new(config), |_| ());
    assert_eq!(name.unwrap().as_deref(), Some(NAME));
    let kind = peer.tls.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::FullWithHelloRetryRequest));
}

#[test]
fn handshake_messages_pass_byte_by_byte() {
    for version in [TLS12, TLS13] {
        let (name, mut peer) = accept(&terminator(), &Arc::new(client_config(version)), |socket| {
            socket.lock().read_at_most = Some(1);
            socket.lock().write_at_most = Some(1);
        });
        assert_eq!(name.unwrap().as_deref(), Some(NAME));
        peer.listen();
        assert!(!peer.tls.is_handshaking());
    }
}

#[test]
fn a_client_hello_may_be_split_or_end_anywhere() {
    let terminator = terminator();
    let config = Arc::new(client_config(TLS13));
    let hello = || {
        let socket = Socket::default();
        let mut peer = Peer::client(Arc::clone(&config), &socket);
        peer.speak();
        (peer, socket.intercept())
    };
    // A post-quantum hello; every cut near its ends, and some between.
    let length = hello().1.len();
    assert!(length > 1400, "{length}");
    for cut in (0..length).filter(|cut| cut % 50 < 2 || *cut < 60 || length - cut < 20) {
        let (mut peer, bytes) = hello();
        let socket = peer.socket.clone();
        let mut accepting = Box::pin(terminator.accept(socket.clone()));
        socket.deliver(&bytes[..cut]);
        assert!(poll(|cx| accepting.as_mut().poll(cx)).is_pending());
        socket.deliver(&bytes[cut..]);
        assert!(peer.handshake(accepting).is_ok(), "cut at {cut}");

        let socket = Socket::default();
        socket.deliver(&bytes[..cut]);
        socket.lock().eof = true;
        let Poll::Ready(Err(error)) =
            poll(|cx| Box::pin(terminator.accept(socket)).as_mut().poll(cx))
        else {
            panic!("it ended at {cut}");
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(describe_failure(&error).contains("in the middle of the TLS handshake"));
    }
}

#[test]
fn data_right_behind_the_handshake_is_not_lost() {
    for kept_back in [0, 3, 10, 26] {
        let socket = Socket::default();
        let mut peer = Peer::client(client_config(TLS13), &socket);
        let terminator = terminator();
        let mut accepting = Box::pin(terminator.accept(socket.clone()));
        peer.speak();
        assert!(poll(|cx| accepting.as_mut().poll(cx)).is_pending());
        // Written before the handshake is over: rustls sends it with its last flight.
        peer.tls.writer().write_all(b"whole").unwrap();
        peer.listen();
        peer.speak();
        peer.say(b"begun");
        let mut flight = socket.intercept();
        let rest = flight.split_off(flight.len() - kept_back);
        socket.deliver(&flight);
        let Poll::Ready(accepted) = poll(|cx| accepting.as_mut().poll(cx)) else {
            panic!("the handshake is over");
        };
        let mut pair = Pair { stream: accepted.unwrap().stream, peer };
        let before = socket.moved().0;
        let first = if kept_back == 0 { "wholebegun" } else { "whole" };
        assert_eq!(pair.lend(), Lent::bytes(first));
        assert_eq!(socket.moved().0, before, "it was there");
        socket.deliver(&rest);
        if kept_back > 0 {
            assert_eq!(pair.lend(), Lent::bytes("begun"));
        }
        pair.write_all(b"an answer");
        assert_eq!(pair.lend(), Lent::Nothing);
        assert_eq!(pair.stream.memory(), 0);
    }
}

/// The gateway's error for bytes that are no hello, and its answer.
fn refuse(bytes: &[u8]) -> (io::Error, Vec<u8>) {
    let socket = Socket::default();
    socket.deliver(bytes);
    let terminator = terminator();
    let mut accepting = Box::pin(terminator.accept(socket.clone()));
    let Poll::Ready(Err(error)) = poll(|cx| accepting.as_mut().poll(cx)) else {
        panic!("it was not refused");
    };
    (error, socket.collect())
}

#[test]
fn plain_text_is_reported_as_not_tls() {
    let (error, alert) = refuse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(describe_failure(&error).contains("does not speak TLS"), "{error}");
    assert_eq!(alert, [0x15, 3, 3, 0, 2, 2, 50], "decode_error");
    let (error, alert) = refuse(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(alert[..6], [0x15, 3, 3, 0, 2, 2]);
}

#[test]
fn a_failed_handshake_is_described_and_the_client_gets_the_alert() {
    let mut settings = settings(ClientAuth::Off);
    settings.min_version = TlsVersion::Tls13;
    let strict = Terminator::new(&settings, None).unwrap();
    let (refused, peer) = accept(&strict, &Arc::new(client_config(TLS12)), |_| ());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidData);
    let alert = Error::AlertReceived(AlertDescription::ProtocolVersion);
    assert_eq!(peer.ended, Some(Err(alert)));

    let mut config = client_config(TLS13);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (refused, peer) = accept(&terminator(), &Arc::new(config), |_| ());
    assert!(refused.is_err());
    let alert = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(peer.ended, Some(Err(alert)));
}

#[test]
fn a_client_certificate_is_requested_and_verified() {
    let settings = settings(ClientAuth::Required(trusted()));
    let terminator = Terminator::new(&settings, None).unwrap();
    for version in [TLS12, TLS13] {
        let (refused, peer) = accept(&terminator, &Arc::new(client_config(version)), |_| ());
        let text = describe_failure(&refused.unwrap_err());
        assert!(text.contains("showed no certificate"), "{text}");
        assert!(matches!(peer.ended, Some(Err(Error::AlertReceived(_)))), "{:?}", peer.ended);
    }
}

#[test]
fn client_certificates_disable_resumption_of_earlier_sessions_too() {
    let before = terminator();
    for auth in [ClientAuth::Optional(trusted()), ClientAuth::Required(trusted())] {
        let after = Terminator::new(&settings(auth), Some(&before)).unwrap();
        for version in [TLS12, TLS13] {
            let mut config = client_config(version);
            config.client_auth_cert_resolver = showing(vec![ISSUED.0.clone()]);
            config.resumption = Resumption::in_memory_sessions(8);
            let config = Arc::new(config);
            for terminator in [&before, &after, &after] {
                let (name, peer) = accept(terminator, &config, |_| ());
                assert!(name.is_ok());
                assert_eq!(peer.tls.handshake_kind(), Some(HandshakeKind::Full));
            }
        }
    }
}

fn showing(chain: Vec<CertificateDer<'static>>) -> Arc<dyn rustls::client::ResolvesClientCert> {
    let provider = aws_lc_rs::default_provider();
    let key = rustls::sign::CertifiedKey::from_der(chain, key(), &provider).unwrap();
    Arc::new(rustls::sign::SingleCertAndKey::from(key))
}

#[test]
fn an_upstream_with_another_name_is_refused_and_reported() {
    let socket = Socket::default();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![ISSUED.0.clone()], key())
        .unwrap();
    let mut peer = Peer::new(ServerConnection::new(Arc::new(config)).unwrap().into(), &socket);
    let connector = connector("other.example");
    let Err(error) = peer.handshake(connector.connect(socket)) else { panic!("it was trusted") };
    assert!(error.to_string().contains("not valid for name"), "{error}");
    let alert = AlertDescription::BadCertificate;
    assert_eq!(peer.ended, Some(Err(Error::AlertReceived(alert))));
}

#[test]
fn messages_without_end_are_refused() {
    let record = |payload: &[u8]| {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[0x16, 3, 1], length.as_slice(), payload].concat()
    };
    let declared = |size: u32| [&[1], &size.to_be_bytes()[1..]].concat();
    let (error, _) = refuse(&record(&declared(0x1_0000)));
    let inner = error.get_ref().unwrap().downcast_ref::<Error>();
    let too_large = Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge);
    assert_eq!(inner, Some(&too_large));
    // As long as rustls takes it, in fragments that are mostly headers, and in large ones.
    for fragment in [1, 1000, 16_000] {
        let mut fragments = record(&declared(0xffff));
        while fragments.len() < 20_000 {
            fragments.extend(record(&vec![0; fragment]));
        }
        let (error, _) = refuse(&fragments);
        assert!(error.to_string().contains("too long"), "{error}");
    }
}

#[test]
fn only_a_client_that_sends_certificates_may_send_large_messages() {
    let chain: Vec<_> = std::iter::repeat_n(ISSUED.0.clone(), 60).collect();
    assert!(chain.iter().map(|one| one.len()).sum::<usize>() > 20_000);
    let settings = settings(ClientAuth::Optional(trusted()));
    for version in [TLS12, TLS13] {
        let mut config = client_config(version);
        config.client_auth_cert_resolver = showing(chain.clone());
        let terminator = Terminator::new(&settings, None).unwrap();
        let (accepted, _) = accept(&terminator, &Arc::new(config), |_| ());
        assert!(accepted.is_ok(), "{accepted:?}");
    }
    // A client that says so much unasked.
    let terminator = terminator();
    let socket = Socket::default();
    let mut peer = Peer::client(client_config(TLS12), &socket);
    peer.speak();
    let mut accepting = Box::pin(terminator.accept(socket.clone()));
    assert!(poll(|cx| accepting.as_mut().poll(cx)).is_pending());
    let message = [[11_u8, 0, 0xff, 0xff].as_slice(), &vec![0; 0xffff]].concat();
    for part in message.chunks(1000) {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        socket.deliver(&[&[0x16, 3, 3], length.as_slice(), part].concat());
    }
    let Poll::Ready(Err(error)) = poll(|cx| accepting.as_mut().poll(cx)) else {
        panic!("it is waited for")
    };
    assert!(error.to_string().contains("too long"), "{error}");
}
