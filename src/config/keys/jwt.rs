//! `[jwt.NAME]`

use std::time::Duration;

use http::HeaderName;

use super::{SHORTEST, Texts, secs};
use crate::config::issuer::{Algorithm, KeySource, LONGEST_TOKEN, OnExpiry};
use crate::config::jwt::{
    CLAIM, CLAIM_NAME, Forward, JwksRef, Require, SecretRef, parse_algorithm, parse_jwks,
    parse_name, parse_path, parse_place, parse_secret,
};
use crate::config::kinds::{Bool, Choice, File, Size, Text, Time};
use crate::config::lists::ListOf;
use crate::values::Requirement;
use crate::values::TokenPlace;

/// The text on absence that `secret`, `public_key` and `jwks` share.
const ONE_KEY: &str = "exactly one of `secret`, `public_key` and `jwks` is required";

loaded! {
    /// A checked `[jwt.NAME]` table.
    #[derive(Debug, Clone)]
    pub struct Issuer from IssuerKeys {
        /// The `NAME` in `[jwt.NAME]`.
        name: String,
        /// The verification key.
        key: KeySource,
        /// The places where a token may be; at least one. One in a message excludes the others.
        token_from: Vec<TokenPlace>,
    } Issuer jwt_rows;

    ALGORITHMS algorithms: Vec<Algorithm> = Texts<Algorithm>,
        ListOf::never_empty(Text::one_of("a signature algorithm such as \"HS256\" or \"ES256\"",
            Algorithm::names, parse_algorithm),
            "name the algorithm that the issuer signs with"),
        Needed("write algorithms = [\"HS256\"], or whatever the issuer signs with"),
        "The signature algorithms that are accepted, whatever the token says: HS256, HS384, HS512; or \
         RS256, RS384, RS512, PS256, PS384, PS512; or ES256, ES384; or EdDSA (Ed25519). All from one of \
         these families.";
    SECRET secret = Text<SecretRef>,
        Text::new("\"env:NAME\" or \"file:PATH\"", "^(env:[A-Za-z_][0-9A-Za-z_]*|file:.+)$", parse_secret),
        Omittable(ONE_KEY),
        "For HS*: the environment variable or file with the shared secret, used as it is, without a line \
         break at the end of a file. At least as long as the hash: 32, 48 or 64 bytes. `openssl rand \
         -base64 48` makes a new one.";
    PUBLIC_KEY public_key = File, File, Omittable(ONE_KEY),
        "For the others: PEM file of the issuer's public key (`BEGIN PUBLIC KEY`) or of its \
         certificate. RSA keys have 2048 bits or more.";
    JWKS jwks = Text<JwksRef>,
        Text::new("the path of a file or an address such as \"https://issuer.example/jwks.json\"",
            r"^[^{\s]", parse_jwks),
        Omittable(ONE_KEY),
        "For the others: the issuer's keys as a JWK Set (RFC 7517), in a file of at most 1 MiB or at \
         an `https://` address; `http://` on this machine (127.0.0.0/8, ::1, localhost).";
    JWKS_INSECURE jwks_insecure = Bool, Bool, Value(false),
        "Accept an `http://` address of another machine in `jwks`. Anyone on the network path can then \
         forge tokens.";
    JWKS_CA jwks_ca = File, File, Omittable("the root certificates of the system"),
        "PEM file of the root certificates for the `https://` address in `jwks`. Only with such an \
         address.";
    ISSUER issuer: Option<String> = Text<String>,
        Text::new("the text of the claim `iss`", CLAIM, parse_name),
        Omittable("not checked; `framewall check` warns"),
        "The required value of `iss`, compared exactly. A token without it is refused.";
    AUDIENCE audience: Vec<String> = Texts<String>,
        ListOf::never_empty(Text::new("a text of the claim `aud`", CLAIM, parse_name),
            "leave `audience` out to accept tokens for anybody"),
        Omittable("not checked; `framewall check` warns"),
        "`aud` must contain one of these. A token without it is refused.";
    LEEWAY leeway: Duration = Time, Time { min: Duration::ZERO, max: secs(60) }, Value(secs(30)),
        "Tolerance for clocks that differ: added to `exp` and to the end of a session, subtracted from \
         `nbf`.";
    USER_CLAIM user_claim: String = Text<String>, CLAIM_NAME, Made(|| "sub".to_owned()),
        "The claim that identifies the user. A value that begins with `/` is a JSON pointer (RFC 6901) to \
         a nested claim, here and in `require` and `forward`.";
    TOKEN_FROM token_from = Texts<TokenPlace>,
        ListOf::never_empty(Text::new("\"header\", \"header:NAME\", \"subprotocol\", \
            \"query:NAME\", \"cookie:NAME\", \"message\", \"connection_init:NAME\", \"socketio:NAME\", \
            \"stomp:HEADER\" or \"mqtt\"",
            "^(subprotocol|message|mqtt|header(:.+)?|(query|cookie|connection_init|socketio|stomp):.+)$",
            parse_place),
            "name at least one place, such as \"header\""),
        Made(|| vec![TokenPlace::Header]),
        "Where clients may put a token; other places are not read. `\"header\"`: `Authorization: Bearer`. \
         `\"header:NAME\"`: another field, with the token alone or after `Bearer`. `\"subprotocol\"`: \
         `Sec-WebSocket-Protocol`. `\"message\"`, only on its own: the first text message. Also only on its own, the \
         message that opens a protocol: `\"connection_init:NAME\"`: a member of the payload in GraphQL over WebSocket; \
         `\"socketio:NAME\"`: a member of auth in Socket.IO; `\"stomp:HEADER\"`: a header of CONNECT in STOMP; \
         `\"mqtt\"`: the password of CONNECT in MQTT.";
    MESSAGE_DEADLINE message_deadline: Duration = Time, Time { min: SHORTEST, max: secs(60) }, Value(secs(5)),
        "How long the client may take to send the first message. Only if `token_from` names a message.";
    MESSAGE_TOKEN message_token: Option<String> = Text<String>,
        Text::new("a path such as \"/payload/token\"", "^/.", parse_path),
        Omittable("the first message is the token, or a JSON object with a member `token`"),
        "The JSON pointer (RFC 6901) to the token in the JSON object of the first message. Only with \
         `token_from = [\"message\"]`.";
    MAX_TOKEN max_token: usize = Size<usize>, Size::new(1 << 10, LONGEST_TOKEN as u64), Value(16 << 10),
        "The longest token that is accepted. It must also fit into the request head, or, if sent by \
         `refresh`, into a frame of 16 KiB.";
    REQUIRE require: Vec<Requirement> = Require, Require, Omittable("no claim is required"),
        "Claims that a token must have. Of a list, one value is enough. A claim matches if it equals the \
         value, is a list that contains it, or is a text that contains it as a space-separated word.";
    FORWARD forward: Vec<(HeaderName, String)> = Forward, Forward, Omittable("no claim is forwarded"),
        "Header fields sent to the upstream, each with the claim that it is set from. A field named here, \
         in any [jwt.NAME], is removed from client requests on every route, however it is spelled.";
    FORWARD_TOKEN forward_token: bool = Bool, Bool, Value(false),
        "Whether the upstream receives the token, too.";
    ON_EXPIRY on_expiry: OnExpiry = Choice<OnExpiry>,
        Choice::of(&[("close", OnExpiry::Close), ("ignore", OnExpiry::Ignore)]),
        Value(OnExpiry::Close),
        "What happens to a session when its token expires. `\"close\"`: it is closed with 4401. \
         `\"ignore\"`: it continues.";
}
