//! `[routes.NAME.messages]`, `[routes.NAME.replies]` and `[routes.NAME.messages.types.NAME]`

use super::{MIB, Section, Texts};
use crate::config::jwt::{POINTER, Require, RequireIn};
use crate::config::kinds::{Bool, Choice, File, Integer, Size, Text};
use crate::config::lists::{ListOf, Subtable};
use crate::config::messages::{Encoding, ProtocolName, parse_error_reply, parse_pattern};
use crate::config::protection::Mode;
use crate::config::rate::RateOf;
use crate::message::{BinaryType, MessageKind, OnViolation, Packed, Pointer};
use crate::values::{Rate, Requirement};

const OUTCOMES: Choice<OnViolation> = Choice::of(&[
    ("close", OnViolation::Close),
    ("drop", OnViolation::Drop),
    ("answer", OnViolation::Answer),
]);

const BINARY: Choice<BinaryType> = Choice::of(&[
    ("avif", BinaryType::Avif),
    ("bmp", BinaryType::Bmp),
    ("flac", BinaryType::Flac),
    ("gif", BinaryType::Gif),
    ("gzip", BinaryType::Gzip),
    ("heic", BinaryType::Heic),
    ("jpeg", BinaryType::Jpeg),
    ("mp3", BinaryType::Mp3),
    ("mp4", BinaryType::Mp4),
    ("ogg", BinaryType::Ogg),
    ("pdf", BinaryType::Pdf),
    ("png", BinaryType::Png),
    ("tiff", BinaryType::Tiff),
    ("wav", BinaryType::Wav),
    ("webm", BinaryType::Webm),
    ("webp", BinaryType::Webp),
    ("zip", BinaryType::Zip),
    ("zstd", BinaryType::Zstd),
]);

section! {
    /// The keys of `[routes.NAME.messages]` and `[routes.NAME.replies]`, before their files are read.
    pub(in crate::config) struct MessageKeys {} Messages message_rows;

    PROTOCOL protocol: Option<ProtocolName> = Choice<Option<ProtocolName>>, Choice::of(&[
            ("none", None),
            ("json", Some(ProtocolName::Json)),
            ("jsonrpc", Some(ProtocolName::JsonRpc)),
            ("phoenix", Some(ProtocolName::Phoenix)),
            ("socketio", Some(ProtocolName::SocketIo)),
            ("graphql-ws", Some(ProtocolName::GraphqlWs)),
            ("stomp", Some(ProtocolName::Stomp)),
            ("mqtt", Some(ProtocolName::Mqtt)),
        ]),
        Value(None),
        "The protocol that the messages speak. `\"json\"`: any JSON, like `encoding = \"json\"`. `\"jsonrpc\"`: \
         JSON-RPC 2.0; the type of a call is its method, and `schema` and pointers apply to its params. \
         `\"phoenix\"`: Phoenix Channels; the type of a message is its event, a space and its topic. \
         `\"socketio\"`: Socket.IO 5 over Engine.IO 4; the type of an event is its name, in another namespace than `/` \
         `NAMESPACE,NAME`, and `schema` and pointers apply to the array of its arguments. \
         `\"graphql-ws\"`: GraphQL over WebSocket, in the subprotocols graphql-transport-ws and graphql-ws; the type \
         of an operation is its kind and name, and `schema` and pointers apply to its payload. \
         `\"stomp\"`: STOMP 1.0 to 1.2; the type of a frame is its command, a space and its destination. \
         `\"mqtt\"`: MQTT 3.1.1 and 5.0; types are `publish TOPIC`, `subscribe FILTER` and `connect`. A message that \
         breaks the protocol is refused with `message.structure`.";
    MAX_BATCH max_batch: usize = Integer<usize>, Integer::new(1, 1000), Value(20),
        "The most elements of one batch. Each is judged, and counts in the rates of its type. Only with `protocol = \
         \"jsonrpc\"`.";
    MAX_ATTACHMENTS max_attachments: usize = Integer<usize>, Integer::new(0, 1000), Value(10),
        "The most binary attachments of one packet. Their bytes together are bounded by `max_size`, and the time until \
         the last one is complete by `message_timeout` of [websocket]. Only with `protocol = \"socketio\"`.";
    GRAPHQL_TYPES graphql_types: bool = Choice<bool>, Choice::of(&[("operations", false), ("root_fields", true)]),
        Value(false),
        "What has a type in a GraphQL document. `\"operations\"`: the operation, by its kind and name, which the client \
         chooses; pointers apply to the payload. `\"root_fields\"`: each field of the operation itself, by the kind \
         of the operation and its own name, such as `mutation:removeUser`; pointers apply to its arguments, in which \
         variables are replaced by their values.";
    MAX_SELECTION_DEPTH max_selection_depth: usize = Integer<usize>, Integer::new(1, 100), Value(10),
        "How many fields of a GraphQL document may be within each other. This bound, `max_aliases`, `max_root_fields` \
         and `max_complexity` count the fields of a fragment wherever it is spread. Only with `protocol = \
         \"graphql-ws\"`.";
    MAX_ALIASES max_aliases: usize = Integer<usize>, Integer::new(0, 10_000), Value(15),
        "The most fields with an alias in a GraphQL operation.";
    MAX_COMPLEXITY max_complexity: usize = Integer<usize>, Integer::new(1, 100_000), Value(200),
        "The most fields of a GraphQL operation.";
    MAX_ROOT_FIELDS max_root_fields: usize = Integer<usize>, Integer::new(1, 1000), Value(20),
        "The most fields of a GraphQL operation that no other field is around.";
    MAX_DIRECTIVES max_directives: usize = Integer<usize>, Integer::new(0, 10_000), Value(50),
        "The most directives in the text of a GraphQL document.";
    MAX_TOKENS max_tokens: usize = Integer<usize>, Integer::new(1, 100_000), Value(5000),
        "The most tokens in the text of a GraphQL document.";
    INTROSPECTION introspection: bool = Choice<bool>, Choice::of(&[("refuse", false), ("allow", true)]),
        Value(false),
        "Whether a GraphQL document may select fields whose names begin with two underscores, such as `__schema` and \
         `__type`. `__typename` is always accepted.";
    ALLOWED_DOCUMENTS allowed_documents = File, File, Omittable("every document"),
        "File of the GraphQL documents that are accepted: a line for each SHA-256 of a text, as `sha256sum` prints \
         it, or a JSON object of texts by their SHA-256. A document that is not listed is refused with \
         `message.type`. A persisted query, of which a message gives the hash alone, must be listed.";
    MAX_QOS max_qos: u8 = Integer<u8>, Integer::new(0, 2), Value(2),
        "The highest quality of service that a publish, a will or a subscription of MQTT may have. Only with `protocol = \
         \"mqtt\"`.";
    RETAIN retain: bool = Choice<bool>, Choice::of(&[("allow", true), ("refuse", false)]), Value(true),
        "Whether a publish or a will of MQTT may be retained by the broker. Only with `protocol = \"mqtt\"`.";
    KINDS kinds: Vec<MessageKind> = ListOf<Choice<MessageKind>>,
        ListOf::never_empty(Choice::of(&[("text", MessageKind::Text), ("binary", MessageKind::Binary)]),
            "leave `kinds` out to accept both"),
        Omittable("both; with `encoding = \"msgpack\"` or `\"cbor\"` binary ones"),
        "The kinds of messages (RFC 6455 section 5.6) that are accepted. Not with `protocol = \"socketio\"`.";
    BINARY_TYPES binary_types: Vec<BinaryType> = ListOf<Choice<BinaryType>>,
        ListOf::never_empty(BINARY, "leave `binary_types` out"),
        Omittable("binary messages meet the same rules as text messages"),
        "The types of files of which a binary message must be one, by the bytes that it begins with. Of the other rules \
         `max_size` and `deny_patterns` alone apply to it, and JSON in a binary message is refused with `message.kind`.";
    ENCODING encoding: Option<Encoding> = Choice<Encoding>, Choice::of(&[
            ("json", Encoding::Json),
            ("msgpack", Encoding::Packed(Packed::MessagePack)),
            ("cbor", Encoding::Packed(Packed::Cbor)),
        ]),
        Omittable("any, unless another key needs JSON"),
        "`\"json\"`: a message must be JSON (RFC 8259), in a text or a binary message. Refused are also JSON texts \
         that parsers read in different ways: with a byte order mark, half of a surrogate pair, a whole number \
         beyond 2^53, or a number that is not finite. `schema`, `type_at` and the bounds below need JSON, too. \
         `\"msgpack\"` and `\"cbor\"` (RFC 8949): a binary message must be one item of MessagePack or CBOR that has the \
         form of JSON, to which the same rules apply: byte strings, extensions, tags and indefinite lengths are refused. \
         Text messages are refused, unless `kinds` lists them; then they must be JSON. Not with a `protocol` other than \
         `\"json\"`, which says it.";
    MAX_SIZE max_size: u64 = Size, Size::new(1, MIB), Value(64 << 10),
        "The largest message. It is held until it is judged. A larger one closes the session with 1009.";
    MAX_DEPTH max_depth: usize = Integer<usize>, Integer::new(0, 127), Value(32),
        "How many objects and arrays may be within each other.";
    MAX_MEMBERS max_members: usize = Integer<usize>, Integer::new(0, 1_000_000), Value(1000),
        "The most members of one object.";
    MAX_ITEMS max_items: usize = Integer<usize>, Integer::new(0, 1_000_000), Value(10_000),
        "The most elements of one array.";
    MAX_STRING max_string: usize = Size<usize>, Size::new(0, MIB), Value(64 << 10),
        "The longest string or name of a member, after unescaping.";
    DUPLICATE_KEYS duplicate_keys: bool = Choice<bool>, Choice::of(&[("refuse", false), ("allow", true)]),
        Value(false),
        "Whether an object may have two members of one name, however they are escaped: parsers differ in which one \
         counts. `\"allow\"` is not possible with `schema`, `type_at` or a `protocol` other than `\"json\"`.";
    SCHEMA schema = File, File, Omittable("any JSON"),
        "File of the JSON Schema (draft 2020-12, if `$schema` names no other) of every message. Formats are \
         asserted; `$ref` leads to files in its folder and below alone.";
    DENY_PATTERNS deny_patterns: Vec<String> = Texts<String>,
        ListOf::never_empty(Text::new("a regular expression such as \"(?i)<script\"", "", parse_pattern),
            "leave `deny_patterns` out"),
        Omittable("none is denied"),
        "Regular expressions of which none may match a text: the message, nor a name or string of its JSON after \
         unescaping. Matched in linear time: without look-around and back-references.";
    TYPE_AT type_at: Option<Pointer> = Text<Pointer>, POINTER, Omittable("messages have no types"),
        "JSON pointer (RFC 6901) to the type of a message, a string. The keys of \
         [routes.NAME.messages.types.TYPE] apply to messages of this type. Not with a `protocol` other than `\"json\"`, \
         which gives the type.";
    UNLISTED unlisted: Option<bool> = Choice<bool>, Choice::of(&[("refuse", false), ("allow", true)]),
        Omittable("`\"refuse\"`; with a `protocol` and no `types`: `\"allow\"`"),
        "Whether messages without a listed type pass: those of another type, those without one, and those that are \
         not JSON. Only with `type_at` or `protocol`; messages that belong to the protocol itself always pass.";
    ON_VIOLATION on_violation: OnViolation = Choice<OnViolation>, OUTCOMES, Value(OnViolation::Close),
        "What happens to a message that breaks a rule. `\"close\"`: the session is closed. `\"drop\"`: the message \
         is discarded. `\"answer\"`: it is discarded, and the client gets `error_reply` or, without it, the error of the \
         `protocol`. A message larger than `max_size` closes the session in any case.";
    ERROR_REPLY error_reply: Option<String> = Text<String>,
        Text::new("a text of at most 4 KiB", "", parse_error_reply),
        Omittable("the answer of the `protocol`; without one it is needed for `\"answer\"`"),
        "The text message for `on_violation = \"answer\"`, in which `{reason}` stands for the name of the reason and \
         `{request_id}` for the id of the session in the log. Not with `protocol = \"mqtt\"`.";
    STRIKE strike: bool = Bool, Bool, Value(false),
        "Whether each refused message of a client is a strike of `[firewall.ban]` against its address, also where the \
         session goes on. A ban meets everybody behind the address, so a fault in your own web page can shut out a \
         whole office. Messages that the page of another site may have sent never count. Not in `replies`.";
    MESSAGES_MODE mode: Mode = Choice<Mode>,
        Choice::of(&[("enforce", Mode::Enforce), ("report", Mode::Report)]), Value(Mode::Enforce),
        "`\"report\"`: a violation is logged and counted, and the message passes. A message larger than `max_size` closes \
         the session all the same.";
    TYPES types = Subtable, Subtable(Section::MessageTypes), Omittable("messages have no types"),
        "One table for each type of messages, by its name; `*` at the end stands for any characters. The exact name \
         wins, then the longest beginning.";
}

section! {
    /// The keys of one type, before its files are read.
    pub(in crate::config) struct MessageTypeKeys {} MessageType message_type_rows;

    TYPE_SCHEMA schema = File, File, Omittable("any JSON"),
        "File of the JSON Schema of messages of this type, beside that of all messages.";
    TYPE_REQUIRE require: Vec<Requirement> = Require, Require, Omittable("no claim is required"),
        "Claims that the sender's token must have for such a message, as in [jwt.NAME]. Otherwise it is refused with \
         `message.claim`.";
    TYPE_REQUIRE_IN require_in: Vec<(String, Pointer)> = RequireIn, RequireIn,
        Omittable("no value is compared"),
        "Claims, each with the JSON pointer to a value of the message: the claim must be this value, a list that \
         contains it, or a text that contains it as a space-separated word. `{ rooms = \"/room\" }`: only the \
         rooms that the token lists.";
    TYPE_RATE rate: Option<Rate> = RateOf, RateOf::Events, Omittable("no rate"),
        "Rate limit of the messages of this type of one session.";
    TYPE_RATE_PER_USER rate_per_user: Option<Rate> = RateOf, RateOf::Events, Omittable("no rate"),
        "Rate limit of the messages of this type of one user, over all sessions of the route.";
    TYPE_ON_VIOLATION on_violation: Option<OnViolation> = Choice<OnViolation>, OUTCOMES,
        Omittable("as for other messages"),
        "What happens to a message of this type that breaks a rule.";
}
