//! `[routes.*.messages]` and `[routes.*.replies]`

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::auth::CheckedAuth;
use super::files::{Help, read_up_to};
use super::graphql::{self, OF_GRAPHQL};
use super::keys::{self, Limits, MessageKeys, MessageTypeKeys, Section};
use super::kinds::Fault;
use super::lints::LintName;
use super::load::Loader;
use super::protection::{Mode, OnExceed};
use super::reader::{NamedTable, SectionReader};
use super::report::Problem;
use super::schema_files::UsedSchema;
use super::units::show_size;
use crate::message::{
    Bounds, MAX_SCHEMA, MessageKind, MessageRules, MqttBounds, OnViolation, Packed, PatternForm,
    Patterns, Pointer, Protocol, Schema, TypePattern, TypeRules, Types,
};
use crate::values::Endpoint;

/// The longest `error_reply`, in bytes.
const LONGEST_REPLY: usize = 4096;

const SCHEMA_FILE: Help = Help {
    missing: "correct the path, which is relative to this file's folder",
    wrong: "give a JSON Schema, draft 2020-12 if it names no other",
};

/// The encoding of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// RFC 8259, in messages of both kinds.
    Json,
    /// In binary messages.
    Packed(Packed),
}

/// The name of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProtocolName {
    /// Any JSON.
    Json,
    /// JSON-RPC 2.0.
    JsonRpc,
    /// Phoenix Channels.
    Phoenix,
    /// Socket.IO 5.
    SocketIo,
    /// GraphQL over WebSocket.
    GraphqlWs,
    /// STOMP.
    Stomp,
    /// MQTT 3.1.1 and 5.0.
    Mqtt,
}

/// The direction of a table of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// `messages`: client to application.
    Messages,
    /// `replies`: application to client.
    Replies,
}

/// A table of rules; its files are not read yet.
pub(super) struct CheckedMessages<'a> {
    reader: SectionReader<'a>,
    direction: Direction,
    keys: MessageKeys,
    schema: Option<PathBuf>,
    /// The list of GraphQL documents.
    documents: Option<PathBuf>,
    /// Whether a message must be JSON.
    json: bool,
    types: Vec<CheckedType<'a>>,
}

struct CheckedType<'a> {
    span: Range<usize>,
    reader: SectionReader<'a>,
    name: String,
    pattern: Option<TypePattern>,
    keys: MessageTypeKeys,
    schema: Option<PathBuf>,
}

/// The keys that need a JSON text, beside `encoding`.
static OF_JSON: [&str; 8] = [
    keys::SCHEMA.name,
    keys::TYPE_AT.name,
    keys::TYPES.name,
    keys::MAX_DEPTH.name,
    keys::MAX_MEMBERS.name,
    keys::MAX_ITEMS.name,
    keys::MAX_STRING.name,
    keys::DUPLICATE_KEYS.name,
];

/// Checks one table; `None`: it is not given.
pub(super) fn check<'a>(
    reader: SectionReader<'a>,
    direction: Direction,
    auth: Option<&CheckedAuth>,
) -> Option<CheckedMessages<'a>> {
    if !reader.is_given() {
        return None;
    }
    let keys = MessageKeys::read(&reader);
    let schema = reader.get(&keys::SCHEMA);
    let documents = reader.get(&keys::ALLOWED_DOCUMENTS);
    let given = |name: &&str| reader.span_of(name).is_some();
    let json = keys.encoding.is_some() || keys.protocol.is_some() || OF_JSON.iter().any(given);
    let tables = reader.table(&keys::TYPES).named_tables(Section::MessageType);
    let types: Vec<_> =
        tables.into_iter().map(|table| check_type(table, direction, auth)).collect();
    let checked = CheckedMessages { reader, direction, keys, schema, documents, json, types };
    checked.check_keys();
    Some(checked)
}

/// Checks both tables of a route with its limits.
pub(super) fn check_both(
    messages: Option<&CheckedMessages<'_>>,
    replies: Option<&CheckedMessages<'_>>,
    limits: &Limits,
    has_polling: bool,
) {
    if let Some(replies) = replies.filter(|_| has_polling)
        && matches!(replies.protocol(), Some(Protocol::SocketIo { .. }))
    {
        let why = "the route serves plain HTTP, and the answers to long polling are not read";
        let help = "remove `replies`, or serve WebSockets alone on this route";
        refuse(&replies.reader, keys::PROTOCOL.name, why, help);
    }
    let of_messages = messages.and_then(CheckedMessages::protocol);
    if let Some(replies) = replies
        && matches!(replies.protocol(), Some(Protocol::Mqtt(_)))
        && !matches!(of_messages, Some(Protocol::Mqtt(_)))
    {
        let why = "the version of MQTT is in the first packet of the client";
        let help = "write protocol = \"mqtt\" in [routes.NAME.messages], too";
        refuse(&replies.reader, keys::PROTOCOL.name, why, help);
    }
    let Some(messages) = messages else {
        return;
    };
    messages.check_limits(limits);
    // The gateway's answers must not come within a packet of several messages.
    if let (Some(protocol), Some(replies)) = (of_messages, replies)
        && messages.answers()
        && protocol.has_packets()
        && replies.keys.protocol != messages.keys.protocol
        && let Some(span) = messages.reader.span_of(keys::PROTOCOL.name)
    {
        let key = messages.reader.key(keys::PROTOCOL.name);
        let what = format!(
            "{key}: on_violation is \"answer\", and `replies` of the route has rules without this protocol"
        );
        let help = if has_polling {
            "remove `replies`, or \"answer\""
        } else {
            "write the same `protocol` there, too"
        };
        messages.reader.cx.refuse(Problem::at(span, what).help(help));
    }
}

fn check_type<'a>(
    NamedTable { name, span, reader }: NamedTable<'a>,
    direction: Direction,
    auth: Option<&CheckedAuth>,
) -> CheckedType<'a> {
    let pattern = TypePattern::parse(&name).map_err(|what| {
        let key = reader.key("");
        let what = format!("{}: {what}", key.trim_end_matches('.'));
        reader.cx.refuse(Problem::at(span.clone(), what).help("write \"room:*\", for example"));
    });
    let keys = MessageTypeKeys::read(&reader);
    let schema = reader.get(&keys::TYPE_SCHEMA);
    let of_users =
        [keys::TYPE_REQUIRE.name, keys::TYPE_REQUIRE_IN.name, keys::TYPE_RATE_PER_USER.name];
    for name in of_users {
        match (direction, auth) {
            (Direction::Replies, _) => {
                refuse(&reader, name, "replies come from the application, which has no token", "");
            }
            (_, Some(CheckedAuth::None)) => {
                let help = "name a [jwt.NAME] table in `auth`";
                refuse(&reader, name, "auth is \"none\", so no client has a token", help);
            }
            _ => {}
        }
    }
    CheckedType { span, reader, name, pattern: pattern.ok(), keys, schema }
}

/// Refuses the key `name`, if it is given.
fn refuse(reader: &SectionReader<'_>, name: &str, why: &str, help: &str) {
    let Some(span) = reader.span_of(name) else {
        return;
    };
    let problem = Problem::at(span, format!("{}: {why}", reader.key(name)));
    let help = if help.is_empty() { "remove it" } else { help };
    reader.cx.refuse(problem.help(help));
}

impl CheckedMessages<'_> {
    fn check_keys(&self) {
        let Self { reader, direction, keys, types, .. } = self;
        let given = |name| reader.span_of(name).is_some();
        let protocol = self.protocol();
        let typed = given(keys::TYPE_AT.name) || protocol.is_some();
        if given(keys::TYPES.name) && !typed {
            let why = "it needs `type_at`, the place of the type in a message, or a `protocol`";
            refuse(reader, keys::TYPES.name, why, "write type_at = \"/type\", for example");
        }
        if protocol.is_some() {
            for name in [keys::TYPE_AT.name, keys::ENCODING.name] {
                refuse(reader, name, "the protocol says it", "remove it, or remove `protocol`");
            }
            if keys.duplicate_keys {
                let why = "with a `protocol` it must be clear which of two members counts";
                refuse(reader, keys::DUPLICATE_KEYS.name, why, "");
            }
        }
        if let Some(Encoding::Packed(_)) = keys.encoding {
            if keys.protocol == Some(ProtocolName::Json) {
                let help = "remove it, or remove `protocol`";
                refuse(reader, keys::ENCODING.name, "protocol = \"json\" says another", help);
            }
            if keys.kinds == [MessageKind::Text] {
                let why = "this `encoding` is for binary messages";
                let help = "leave it out, or write [\"text\", \"binary\"] to accept JSON, too";
                refuse(reader, keys::KINDS.name, why, help);
            }
        }
        if !matches!(protocol, Some(Protocol::JsonRpc { .. })) {
            refuse(reader, keys::MAX_BATCH.name, "it is for protocol = \"jsonrpc\"", "");
        }
        if matches!(protocol, Some(Protocol::SocketIo { .. })) {
            let help = "remove it; max_attachments = 0 refuses binary messages";
            refuse(reader, keys::KINDS.name, "the protocol says it", help);
        } else {
            let why = "it is for protocol = \"socketio\"";
            refuse(reader, keys::MAX_ATTACHMENTS.name, why, "");
        }
        self.check_binary_types();
        for name in OF_GRAPHQL {
            match (&protocol, direction) {
                (Some(Protocol::GraphqlWs(_)), Direction::Messages) => {}
                (Some(Protocol::GraphqlWs(_)), Direction::Replies) => {
                    let why = "operations come from the client";
                    refuse(reader, name, why, "write it in [routes.NAME.messages]");
                }
                _ => refuse(reader, name, "it is for protocol = \"graphql-ws\"", ""),
            }
        }
        if matches!(protocol, Some(Protocol::Mqtt(_))) {
            let why = "MQTT has answers of its own, in binary messages";
            refuse(reader, keys::ERROR_REPLY.name, why, "");
        } else {
            for name in [keys::MAX_QOS.name, keys::RETAIN.name] {
                refuse(reader, name, "it is for protocol = \"mqtt\"", "");
            }
        }
        self.check_types(protocol.as_ref());
        if given(keys::TYPE_AT.name) && types.is_empty() && keys.unlisted != Some(true) {
            let why = "no type is listed, so every message would be refused";
            let help = "add a table [routes.NAME.messages.types.TYPE]";
            refuse(reader, keys::TYPE_AT.name, why, help);
        }
        if !typed {
            let help = "give `type_at` or `protocol`";
            refuse(reader, keys::UNLISTED.name, "it is for messages with types", help);
        }
        if keys.duplicate_keys && (given(keys::SCHEMA.name) || given(keys::TYPE_AT.name)) {
            let why = "with `schema` or `type_at` it must be clear which of two members counts";
            refuse(reader, keys::DUPLICATE_KEYS.name, why, "");
        }
        if *direction == Direction::Replies {
            let why = "strikes are counted against the addresses of clients, and replies come from the application";
            let help = "remove it, or write it in [routes.NAME.messages]";
            refuse(reader, keys::STRIKE.name, why, help);
        }
        self.check_answer(*direction);
        self.lint_patterns();
    }

    /// Refuses `binary_types` where another key says what a binary message is.
    fn check_binary_types(&self) {
        let Self { reader, keys, .. } = self;
        let name = keys::BINARY_TYPES.name;
        if keys.kinds == [MessageKind::Text] {
            refuse(reader, name, "`kinds` accepts no binary messages", "");
        } else if self.protocol().is_some() {
            refuse(reader, name, "the protocol says what a binary message is", "");
        } else if let Some(Encoding::Packed(_)) = keys.encoding {
            refuse(reader, name, "`encoding` says what a binary message is", "");
        }
    }

    /// Refuses `on_exceed = "drop"` beside a protocol that has packets or transactions of several messages: those that are
    /// dropped are not read.
    fn check_limits(&self, limits: &Limits) {
        let is_dropping = limits.on_exceed == OnExceed::Drop
            && (limits.messages.is_some() || limits.messages_per_user.is_some());
        let whole = match self.protocol() {
            Some(Protocol::Stomp) => "a transaction",
            Some(protocol) if protocol.has_packets() => "a packet",
            _ => return,
        };
        if is_dropping {
            let why = &format!(
                "on_exceed of [limits] is \"drop\", which may take a part out of {whole} of several messages"
            );
            let help = "say on_exceed = \"close\" or \"delay\" in the limits of this route";
            refuse(&self.reader, keys::PROTOCOL.name, why, help);
        }
    }

    /// Whether a sender may get an answer.
    fn answers(&self) -> bool {
        let answer = OnViolation::Answer;
        let of_types = || self.types.iter().any(|one| one.keys.on_violation == Some(answer));
        self.keys.on_violation == answer || of_types()
    }

    /// Refuses names of types that no item of the protocol has.
    fn check_types(&self, protocol: Option<&Protocol>) {
        for one in &self.types {
            let checked = protocol.zip(one.pattern.as_ref());
            if let Some(Err(what)) = checked.map(|(protocol, pattern)| protocol.check_type(pattern))
            {
                let key = one.reader.key("");
                let what = format!("{}: {what}", key.trim_end_matches('.'));
                let help = "see docs/protocols.md for the types of the protocol";
                one.reader.cx.refuse(Problem::at(one.span.clone(), what).help(help));
            }
        }
    }

    /// The protocol whose items are judged.
    fn protocol(&self) -> Option<Protocol> {
        match self.keys.protocol? {
            ProtocolName::Json => None,
            ProtocolName::JsonRpc => Some(Protocol::JsonRpc { max_batch: self.keys.max_batch }),
            ProtocolName::Phoenix => Some(Protocol::Phoenix),
            ProtocolName::SocketIo => Some(Protocol::SocketIo {
                max_attachments: self.keys.max_attachments,
                max_size: self.keys.max_size,
            }),
            ProtocolName::GraphqlWs => Some(Protocol::GraphqlWs(graphql::rules(&self.keys))),
            ProtocolName::Stomp => Some(Protocol::Stomp),
            ProtocolName::Mqtt => Some(Protocol::Mqtt(MqttBounds {
                max_packet: usize::try_from(self.keys.max_size).unwrap_or(usize::MAX),
                max_qos: self.keys.max_qos,
                retain: self.keys.retain,
            })),
        }
    }

    /// Warns of patterns that no message matches, and of those that are the same as an earlier one.
    fn lint_patterns(&self) {
        let Self { reader, keys, .. } = self;
        let name = keys::DENY_PATTERNS.name;
        let key = reader.key(name);
        let mut earlier: Vec<(PatternForm, Range<usize>)> = Vec::new();
        for pattern in reader.entries(name, &keys.deny_patterns) {
            let (text, span) = (pattern.get_ref(), pattern.span());
            let Some(form) = PatternForm::parse(text) else {
                continue;
            };
            let at = |what: String| Problem::at(span.clone(), format!("{key}: {what}"));
            let help = "correct it, or remove it: it refuses nothing";
            if !form.can_match() {
                let what = format!("no text matches \"{text}\"");
                reader.lint(LintName::MessagesNever, at(what).help(help));
            } else if form.shortest() as u64 > keys.max_size {
                let what = format!(
                    "a text that matches \"{text}\" has at least {} bytes, and max_size is {}",
                    form.shortest(),
                    show_size(keys.max_size)
                );
                reader.lint(LintName::MessagesNever, at(what).help(help));
            } else if let Some((_, first)) = earlier.iter().find(|(other, _)| *other == form) {
                let problem =
                    at(format!("\"{text}\" matches the same texts as an earlier pattern"));
                let problem = problem.related(first.clone(), "first said here");
                reader.lint(LintName::MessagesRepeated, problem.help("remove one of the two"));
            } else {
                earlier.push((form, span));
            }
        }
    }

    /// Warns if messages of any type pass and `exposed` says who may send them.
    pub(super) fn lint_unlisted(&self, exposed: &str) {
        let Self { reader, direction, keys, .. } = self;
        if *direction == Direction::Messages && keys.unlisted == Some(true) {
            let what = format!("messages without a listed type pass, and {exposed}");
            let help = "list every type that clients send and remove `unlisted`, or write \
                        allow = [\"messages.unlisted\"] in the route";
            let problem = reader.problem(keys::UNLISTED.name, &format!("is \"allow\": {what}"));
            reader.lint(LintName::MessagesUnlisted, problem.map(|problem| problem.help(help)));
        }
    }

    /// Warns of `strike` in a file without `[firewall.ban]`.
    pub(super) fn lint_strikes(&self) {
        let Self { reader, keys, .. } = self;
        if keys.strike {
            let what = "is set, and there is no [firewall.ban]: no strike is counted";
            let help = "add the table [firewall.ban], or remove the key";
            let problem = reader.problem(keys::STRIKE.name, what);
            reader.lint(LintName::MessagesNoBans, problem.map(|problem| problem.help(help)));
        }
    }

    /// Checks `on_violation = "answer"` and `error_reply`, which belong together.
    fn check_answer(&self, direction: Direction) {
        let Self { reader, keys, types, .. } = self;
        let of_types =
            types.iter().filter(|one| one.keys.on_violation == Some(OnViolation::Answer));
        let mut answering: Vec<(&SectionReader<'_>, Range<usize>)> = of_types
            .filter_map(|one| {
                Some((&one.reader, one.reader.span_of(keys::TYPE_ON_VIOLATION.name)?))
            })
            .collect();
        if keys.on_violation == OnViolation::Answer
            && let Some(span) = reader.span_of(keys::ON_VIOLATION.name)
        {
            answering.push((reader, span));
        }
        if answering.is_empty() {
            let why = "no `on_violation` is \"answer\"";
            refuse(
                reader,
                keys::ERROR_REPLY.name,
                why,
                "remove it, or write on_violation = \"answer\"",
            );
        }
        for (reader, span) in answering {
            let key = reader.key(keys::ON_VIOLATION.name);
            let problem = match direction {
                Direction::Replies => {
                    Problem::at(span, format!("{key}: an application gets no answer"))
                        .help("write \"drop\" or \"close\"")
                }
                // A protocol has an answer of its own.
                Direction::Messages if self.protocol().is_some() => continue,
                Direction::Messages if self.reader.span_of(keys::ERROR_REPLY.name).is_none() => {
                    Problem::at(span, format!("{key}: \"answer\" needs `error_reply`"))
                        .help("write error_reply = '{\"error\":\"{reason}\"}'")
                }
                Direction::Messages => continue,
            };
            reader.cx.refuse(problem);
        }
    }

    /// Reads the schemas and compiles the rules. Returns `None` after it reported a fault.
    pub(super) fn load(self, route: &str, loader: &Loader) -> Option<Arc<MessageRules>> {
        let protocol = match self.protocol() {
            Some(Protocol::GraphqlWs(rules)) => Some(Protocol::GraphqlWs(graphql::load(
                rules,
                &self.reader,
                self.documents.as_ref(),
                loader,
            )?)),
            protocol => protocol,
        };
        let Self { reader, direction, keys, schema, documents: _, json, types } = self;
        let schema = load_schema(&reader, keys::SCHEMA.name, schema, loader)?;
        let deny = match keys.deny_patterns.as_slice() {
            [] => None,
            patterns => {
                let span = reader.span_of(keys::DENY_PATTERNS.name)?;
                let compiled =
                    Patterns::new(patterns).map_err(|error| Fault::new(error.to_string()));
                Some(reader.accept(keys::DENY_PATTERNS.name, span, compiled)?)
            }
        };
        let listed: Vec<_> =
            types.into_iter().map(|one| one.load(route, loader)).collect::<Option<_>>()?;
        let allow_unlisted = keys.unlisted.unwrap_or(false);
        let types = match (keys.type_at, &protocol) {
            (None, None) => None,
            // Without a list the types of a protocol are free.
            (None, Some(_)) if listed.is_empty() && keys.unlisted != Some(false) => None,
            (at, _) => Some(Types::new(at, listed, allow_unlisted)),
        };
        let packed = match keys.encoding {
            Some(Encoding::Packed(packed)) => Some(packed),
            _ => None,
        };
        let kinds = match keys.kinds {
            kinds if kinds.is_empty() && packed.is_some() => vec![MessageKind::Binary],
            kinds => kinds,
        };
        Some(Arc::new(MessageRules {
            sender: match direction {
                Direction::Messages => Endpoint::Client,
                Direction::Replies => Endpoint::Upstream,
            },
            protocol,
            max_size: keys.max_size,
            on_violation: keys.on_violation,
            error_reply: keys.error_reply,
            report: keys.mode == Mode::Report,
            strike: keys.strike,
            kinds,
            binary_types: keys.binary_types,
            bounds: json.then_some(Bounds {
                max_depth: keys.max_depth,
                max_members: keys.max_members,
                max_items: keys.max_items,
                max_string: keys.max_string,
                duplicate_keys: keys.duplicate_keys,
            }),
            packed,
            schema,
            deny,
            types,
        }))
    }
}

impl CheckedType<'_> {
    fn load(self, route: &str, loader: &Loader) -> Option<TypeRules> {
        let Self { reader, name, pattern, keys, schema, .. } = self;
        let schema = load_schema(&reader, keys::TYPE_SCHEMA.name, schema, loader)?;
        let scope = format!("{route}/{name}").into();
        let MessageTypeKeys { require, require_in, rate, rate_per_user, on_violation } = keys;
        let (name, pattern) = (name.into(), pattern?);
        Some(TypeRules {
            name,
            scope,
            pattern,
            schema,
            require,
            require_in,
            rate,
            rate_per_user,
            on_violation,
        })
    }
}

/// Reads and compiles a schema. The outer `None`: it has a fault, which was reported.
#[expect(clippy::option_option, reason = "a fault, no schema, a schema")]
fn load_schema(
    reader: &SectionReader<'_>,
    key: &str,
    file: Option<PathBuf>,
    loader: &Loader,
) -> Option<Option<Schema>> {
    match file {
        None => Some(None),
        Some(file) => {
            let schema = loader.read(reader, key, &file, read_schema)?;
            schema.references().iter().for_each(|file| loader.note(file));
            let used = reader.span_of(key).map(|span| UsedSchema::new(reader, span, &schema));
            loader.schemas.borrow_mut().extend(used);
            Some(Some(schema))
        }
    }
}

fn read_schema(path: &Path) -> Result<Schema, Fault> {
    let text = read_up_to(path, MAX_SCHEMA, &SCHEMA_FILE)?;
    Schema::compile(path, &text)
        .map_err(|error| Fault::new(format!("{} {error}", path.display())).help(SCHEMA_FILE.wrong))
}

pub(super) fn parse_pointer(text: &str) -> Result<Pointer, Fault> {
    Pointer::parse(text).map_err(|what| Fault::new(what).help("write \"/action\", for example"))
}

pub(super) fn parse_pattern(text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Err(Fault::new("an empty pattern matches every message").help("remove it"));
    }
    match Patterns::new(&[text.to_owned()]) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Fault::new(format!("\"{text}\" is no regular expression: {error}"))
            .help("look-around and back-references are not possible")),
    }
}

pub(super) fn parse_error_reply(text: &str) -> Result<String, Fault> {
    if text.len() > LONGEST_REPLY {
        return Err(Fault::new(format!("it has {} bytes, more than 4 KiB", text.len())));
    }
    Ok(text.to_owned())
}
