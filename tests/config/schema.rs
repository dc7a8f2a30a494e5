//! The JSON Schema of the file: every good file fits it, and every bad one whose fault a schema can
//! see does not.

use std::fs;

use regex_lite::Regex;
use serde_json::{Map, Value, json};

use crate::files_in;
use crate::folder::root;

/// Bad files that fit all the same. Their faults are in files that they name, in the bounds of a
/// duration, in a path that only a parser judges, or between keys of two tables.
const BEYOND: &[&str] = &[
    "admin_long_socket",
    "admin_same_file",
    "auth_without_issuers",
    "ban_durations",
    "ban_long_duration",
    "ban_same_file",
    "ban_short_max_duration",
    "equal_routes",
    "firewall_files",
    "firewall_geoip_files",
    "firewall_geoip_lacks",
    "firewall_geoip_lacks_asns",
    "firewall_geoip_lacks_countries",
    "health_path_escaped",
    "limits_bytes_in_route",
    "limits_drop_in_route",
    "limits_without_use",
    "long_socket_path",
    "message_encoding",
    "server_keep_headers",
    "upstream_names",
];

/// The first fault that the schema finds in a file.
pub(crate) fn faults(text: &str) -> Result<(), String> {
    let file: Value = toml::from_str(text).map_err(|error| error.to_string())?;
    let schema: Value = serde_json::from_str(&framewall::config::schema()).unwrap();
    check(&schema, &schema, &file)
}

#[test]
fn examples_fit_the_schema_and_name_it() {
    for path in files_in("config") {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next(), Some("#:schema framewall.schema.json"), "{path:?}");
        faults(&text).unwrap_or_else(|fault| panic!("{path:?}: {fault}"));
    }
}

#[test]
fn bad_files_do_not_fit_the_schema() {
    let mut wrong = Vec::new();
    for path in files_in("tests/config/bad") {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if faults(&text).is_ok() != BEYOND.contains(&name) {
            wrong.push(name.to_owned());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let is_there = |name: &&str| root().join(format!("tests/config/bad/{name}.toml")).exists();
    assert!(BEYOND.iter().all(is_there));
}

/// One change at a time of the example that has every key.
#[test]
fn the_schema_sees_unknown_keys_and_wrong_types() {
    let text = fs::read_to_string(root().join("config/framewall.toml")).unwrap();
    for (from, to) in [
        ("max_fields = 200", "max_fields = \"200\""),
        ("max_fields = 200", "max_fields = 1001"),
        ("max_fields = 200", "max_field = 200"),
        ("listen = [\"127.0.0.1:8443\"]", ""),
        ("listen = [\"127.0.0.1:8443\"]", "listen = []"),
        ("listen = [\"127.0.0.1:8443\"]", "listen = [\"localhost:8443\"]"),
        ("mode = \"on\"", "mode = \"off\""),
        ("handshake_timeout = \"10s\"", "handshake_timeout = \"10 s\""),
        ("messages = \"off\"", "messages = \"100\""),
        ("max_inflation_ratio = 200", "max_inflation_ratio = \"on\""),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(faults(&text.replacen(from, to, 1)).is_err(), "{to}");
    }
}

type Checked = Result<(), String>;

/// Whether `value` fits `schema`: what of JSON Schema draft 7 the file's schema uses. A keyword that
/// is not known here is a mistake in this test.
fn check(root: &Value, schema: &Value, value: &Value) -> Checked {
    for (keyword, rule) in schema.as_object().unwrap() {
        let checked = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "definitions" | "then" | "else" => {
                Ok(())
            }
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                check(root, root.pointer(pointer).unwrap(), value)
            }
            "if" => {
                let branch = if check(root, rule, value).is_ok() { "then" } else { "else" };
                schema.get(branch).map_or(Ok(()), |branch| check(root, branch, value))
            }
            "not" => holds(check(root, rule, value).is_err()),
            "allOf" | "anyOf" | "oneOf" => {
                let all = rule.as_array().unwrap();
                let fit = all.iter().filter(|one| check(root, one, value).is_ok()).count();
                holds(match keyword.as_str() {
                    "allOf" => fit == all.len(),
                    "anyOf" => fit > 0,
                    _ => fit == 1,
                })
            }
            _ => match value {
                Value::Object(object) => check_object(root, schema, keyword, rule, object),
                Value::Array(list) => check_list(root, keyword, rule, list, value),
                _ => check_scalar(keyword, rule, value),
            },
        };
        checked.map_err(|below| format!("{keyword}, {below}"))?;
    }
    Ok(())
}

fn holds(holds: bool) -> Checked {
    if holds { Ok(()) } else { Err("not met".to_owned()) }
}

fn check_object(
    root: &Value,
    schema: &Value,
    keyword: &str,
    rule: &Value,
    object: &Map<String, Value>,
) -> Checked {
    let within = |name: &str, below: String| format!("{name}: {below}");
    match keyword {
        "properties" => {
            let known = rule.as_object().unwrap();
            let given = |name| Some((name, known.get(name)?));
            object.keys().filter_map(|name| given(name.as_str())).try_for_each(|(name, rule)| {
                check(root, rule, &object[name]).map_err(|below| within(name, below))
            })
        }
        "additionalProperties" => {
            let known = schema.get("properties");
            let other = |name: &&String| known.is_none_or(|known| known.get(*name).is_none());
            object.keys().filter(other).try_for_each(|name| {
                let fits = match rule {
                    Value::Bool(allowed) => holds(*allowed),
                    rule => check(root, rule, &object[name]),
                };
                fits.map_err(|below| within(name, below))
            })
        }
        "dependencies" => {
            let rules = rule.as_object().unwrap().iter();
            rules.filter(|(name, _)| object.contains_key(*name)).try_for_each(|(name, rule)| {
                let names = rule.is_array().then(|| json!({ "required": rule }));
                check(root, names.as_ref().unwrap_or(rule), &json!(object))
                    .map_err(|below| within(name, below))
            })
        }
        "propertyNames" => object.keys().try_for_each(|name| check(root, rule, &json!(name))),
        "required" => {
            let mut names = rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            holds(names.all(|name| object.contains_key(name)))
        }
        "minProperties" => holds(object.len() as u64 >= rule.as_u64().unwrap()),
        "maxProperties" => holds(object.len() as u64 <= rule.as_u64().unwrap()),
        _ => check_scalar(keyword, rule, &Value::Object(object.clone())),
    }
}

fn check_list(root: &Value, keyword: &str, rule: &Value, list: &[Value], value: &Value) -> Checked {
    match keyword {
        "items" => list.iter().try_for_each(|item| check(root, rule, item)),
        "minItems" => holds(list.len() as u64 >= rule.as_u64().unwrap()),
        "uniqueItems" => {
            holds(list.iter().enumerate().all(|(at, item)| !list[..at].contains(item)))
        }
        _ => check_scalar(keyword, rule, value),
    }
}

fn check_scalar(keyword: &str, rule: &Value, value: &Value) -> Checked {
    holds(match keyword {
        "type" => match rule {
            Value::Array(types) => types.iter().any(|one| is_a(value, one)),
            one => is_a(value, one),
        },
        "const" => value == rule,
        "enum" => rule.as_array().unwrap().contains(value),
        "pattern" => {
            let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
        // About values of another type.
        "properties"
        | "additionalProperties"
        | "propertyNames"
        | "required"
        | "dependencies"
        | "minProperties"
        | "maxProperties"
        | "items"
        | "minItems"
        | "uniqueItems" => true,
        other => panic!("{other} is not known"),
    })
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        other => panic!("{other} is not known"),
    }
}
