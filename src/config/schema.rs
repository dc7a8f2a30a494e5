//! Generates the JSON Schema of the file from the table of keys, for editors and for tools that check a
//! file before it reaches a gateway. Every file that the gateway accepts is valid under the schema. The
//! reverse does not hold: the schema cannot check named files, bounds of sizes and durations, or most
//! contradictions between keys.

use serde_json::{Map, Value as Json, json};

use super::auth::NONE;
use super::keys::{self, Row, Section};
use super::limits::OF_NO_ROUTE;
use super::reader::NAME;

/// The text of `config/framewall.schema.json`.
#[must_use]
pub fn schema() -> String {
    let mut definitions = Map::new();
    for section in Section::ALL.into_iter().filter(|section| *section != Section::File) {
        definitions.insert(format!("{section:?}"), object(section));
    }
    definitions.insert(format!("{:?}", Section::RouteLimits), object(Section::RouteLimits));
    definitions.insert(format!("{:?}", Section::Issuers), tables(Section::Issuer));
    definitions.insert(format!("{:?}", Section::Upstreams), tables(Section::Upstream));
    let types = tables(Section::MessageType);
    definitions.insert(format!("{:?}", Section::MessageTypes), types);
    let mut routes = tables(Section::Route);
    routes["minProperties"] = json!(1);
    definitions.insert(format!("{:?}", Section::Routes), routes);
    let mut schema = object(Section::File);
    // Editors support draft 7; later drafts add nothing that this schema needs.
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("The configuration of Framewall");
    schema["definitions"] = Json::Object(definitions);
    format!("{schema:#}\n")
}

/// The schema of a table with the keys of a section.
fn object(section: Section) -> Json {
    let in_no_route = |name| OF_NO_ROUTE.iter().any(|(other, _)| *other == name);
    let rows =
        keys::of(section).filter(|row| section != Section::RouteLimits || !in_no_route(row.name));
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for row in rows {
        properties.insert(row.name.to_owned(), property(row));
        if row.required {
            required.push(row.name);
        }
    }
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if let (Some(object), Json::Object(rules)) = (object.as_object_mut(), rules(section)) {
        object.extend(rules);
    }
    object
}

/// The constraints between the keys of a section.
fn rules(section: Section) -> Json {
    match section {
        Section::File => json!({ "required": ["server", "tls", "routes"] }),
        Section::Tls => {
            let asked = json!({
                "properties": { "client_auth": { "enum": ["optional", "required"] } },
                "required": ["client_auth"],
            });
            json!({
                "if": { "properties": { "mode": { "const": "off" } }, "required": ["mode"] },
                "then": { "maxProperties": 1 },
                "else": { "required": ["certificates"] },
                "dependencies": { "client_ca": asked },
                "allOf": [{ "if": asked, "then": { "required": ["client_ca"] } }],
            })
        }
        Section::Firewall => {
            let one_of = |names: &[&str]| {
                json!(names.iter().map(|name| json!({ "required": [name] })).collect::<Vec<_>>())
            };
            json!({ "dependencies": {
                "allow_countries": ["geoip"],
                "deny_countries": {
                    "required": ["geoip"],
                    "not": { "anyOf": one_of(&["allow", "allow_countries"]) },
                },
                "deny_asns": {
                    "required": ["geoip"],
                    "if": { "required": ["allow"] },
                    "then": { "required": ["allow_countries"] },
                },
                "geoip": { "anyOf": one_of(&["allow_countries", "deny_countries", "deny_asns"]) },
            } })
        }
        Section::Issuer => json!({ "oneOf": [
            { "required": ["secret"] },
            { "required": ["public_key"] },
            { "required": ["jwks"] },
        ] }),
        _ => json!({}),
    }
}

/// The schema of a table of tables with names that the operator chooses.
fn tables(section: Section) -> Json {
    let mut names = json!({ "pattern": NAME });
    if section == Section::Issuer {
        names["not"] = json!({ "const": NONE });
    }
    json!({
        "type": "object",
        "propertyNames": names,
        "additionalProperties": section.reference(),
    })
}

fn property(row: &Row) -> Json {
    let meaning = without_links(row.meaning);
    let description = match row.default {
        None if !row.required => format!("{meaning} Default: {}.", row.absent),
        _ => meaning,
    };
    let mut property = row.schema.clone();
    if property.get("$ref").is_some() {
        // Draft 7 ignores all members beside `$ref`.
        property = json!({ "allOf": [property] });
    }
    property["description"] = json!(description);
    if let Some(default) = row.default.as_deref().and_then(to_json) {
        property["default"] = default;
    }
    property
}

/// Converts a TOML value to JSON.
fn to_json(toml: &str) -> Option<Json> {
    let mut table: Map<String, Json> = toml::from_str(&format!("value = {toml}")).ok()?;
    table.remove("value")
}

/// Replaces each link by its text: its URL is relative to the documentation.
fn without_links(markdown: &str) -> String {
    let mut parts = markdown.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(start) = text.rfind('[') {
            text.remove(start);
        }
        text += part.split_once(')').map_or(part, |(_, rest)| rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{schema, to_json, without_links};
    use crate::config::keys;

    #[test]
    fn the_schema_is_the_one_beside_the_examples() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/framewall.schema.json");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, schema()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == schema(), "run the tests once with UPDATE_DOCS=1");
    }

    #[test]
    fn every_default_is_a_value_of_json() {
        for row in keys::all() {
            if let Some(default) = &row.default {
                assert!(to_json(default).is_some(), "{}: {default}", row.name);
            }
        }
    }

    #[test]
    fn the_text_of_a_link_stays() {
        assert_eq!(without_links("see [bans](bans.md) of [jwt.NAME]."), "see bans of [jwt.NAME].");
        assert_eq!(without_links("[a](b)[c](d#e)"), "ac");
        assert_eq!(without_links("none"), "none");
    }
}
