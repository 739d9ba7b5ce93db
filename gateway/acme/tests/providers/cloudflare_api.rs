// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The part of Cloudflare's API v4 that changes records, after its published schema: the envelope, token, pages, and a batch
//! that deletes before it adds and does all or nothing.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    routing::{get, post},
};
use mandate_acme::dns::{Cloudflare, CloudflareToken, Endpoint};
use mandate_runtime::Ambient;
use serde_json::{Value, json};

use super::{ZONE, name};

pub(crate) const TOKEN: &str = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY";
const ZONE_ID: &str = "023e105f4ecef8ad9ca31a8372d0c353";
/// Smaller than Cloudflare's, so that lists have several.
const LARGEST_PAGE: usize = 2;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) body: Value,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) rows: Vec<Row>,
    /// The rows after each batch.
    pub(crate) history: Vec<Vec<Row>>,
    made: usize,
}

pub(crate) type Shared = Arc<Mutex<Book>>;
type Answer = (StatusCode, Json<Value>);

pub(crate) struct Api {
    pub(crate) addr: SocketAddr,
    pub(crate) book: Shared,
}

impl Api {
    pub(crate) async fn start() -> Self {
        let book = Shared::default();
        let router = Router::new()
            .route("/client/v4/zones", get(zones))
            .route("/client/v4/zones/{zone}/dns_records", get(records))
            .route("/client/v4/zones/{zone}/dns_records/batch", post(batch))
            .with_state(Arc::clone(&book));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, book }
    }

    pub(crate) fn zone(&self, origin: &str, token: &str, nameservers: Vec<SocketAddr>) -> Cloudflare {
        let endpoint = Endpoint::try_from(format!("http://{}/client/v4", self.addr)).unwrap();
        let token = CloudflareToken::new(token).unwrap();
        let ambient = Ambient::system();
        Cloudflare::new(name(origin), nameservers, token, None, Some(endpoint), &ambient).unwrap()
    }

    pub(crate) fn insert(&self, name: &str, kind: &str, body: Value) {
        let mut book = self.book.lock().unwrap();
        book.insert(json!({ "name": name, "type": kind }), body);
    }

    pub(crate) fn contents(&self, name: &str, kind: &str) -> Vec<String> {
        contents(&self.book.lock().unwrap().rows, name, kind)
    }
}

pub(crate) fn contents(rows: &[Row], name: &str, kind: &str) -> Vec<String> {
    let of_name = rows.iter().filter(|row| row.name == name && row.kind == kind);
    let text = |row: &Row| match kind {
        "CAA" => row.body["data"]["value"].as_str().unwrap().to_owned(),
        _ => row.body["content"].as_str().unwrap().to_owned(),
    };
    let mut all: Vec<_> = of_name.map(text).collect();
    all.sort();
    all
}

impl Book {
    fn insert(&mut self, head: Value, body: Value) {
        self.made += 1;
        let text = |field: &str| head[field].as_str().unwrap().to_owned();
        self.rows.push(Row {
            id: format!("{:032x}", self.made),
            name: text("name"),
            kind: text("type"),
            body,
        });
    }
}

fn refused(status: StatusCode, code: u32, message: &str) -> Answer {
    let errors = json!([{ "code": code, "message": message }]);
    (status, Json(json!({ "success": false, "errors": errors, "messages": [], "result": null })))
}

fn authorised(headers: &HeaderMap) -> Result<(), Answer> {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match shown == Some(format!("Bearer {TOKEN}").as_str()) {
        true => Ok(()),
        false => Err(refused(StatusCode::FORBIDDEN, 10_000, "Authentication error")),
    }
}

fn listed(all: Vec<Value>, query: &HashMap<String, String>) -> Answer {
    let number = |field: &str, default: usize| query.get(field).map_or(default, |text| text.parse().unwrap());
    let (page, per_page) = (number("page", 1), number("per_page", 100).min(LARGEST_PAGE));
    let pages = all.len().div_ceil(per_page);
    let (count, total) = (per_page, all.len());
    let shown: Vec<_> = all.into_iter().skip((page - 1) * per_page).take(per_page).collect();
    let info = json!({ "page": page, "per_page": per_page, "count": count, "total_count": total,
        "total_pages": pages });
    let answer =
        json!({ "success": true, "errors": [], "messages": [], "result": shown, "result_info": info });
    (StatusCode::OK, Json(answer))
}

async fn zones(headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Answer {
    if let Err(refused) = authorised(&headers) {
        return refused;
    }
    let ours = query.get("name").is_some_and(|name| name == ZONE);
    let zones = ours.then(|| json!({ "id": ZONE_ID, "name": ZONE, "status": "active" }));
    listed(zones.into_iter().collect(), &query)
}

async fn records(
    State(book): State<Shared>,
    headers: HeaderMap,
    Path(zone): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    if let Err(refused) = authorised(&headers) {
        return refused;
    }
    if zone != ZONE_ID {
        return refused(StatusCode::NOT_FOUND, 7_003, "Could not route to /zones");
    }
    let book = book.lock().unwrap();
    let fits = |row: &&Row| {
        query.get("name.exact").is_none_or(|name| *name == row.name)
            && query.get("type").is_none_or(|kind| *kind == row.kind)
    };
    let shown = |row: &Row| {
        let mut body = row.body.clone();
        body["id"] = json!(row.id);
        body["name"] = json!(row.name);
        body["type"] = json!(row.kind);
        body
    };
    listed(book.rows.iter().filter(fits).map(shown).collect(), &query)
}

async fn batch(
    State(book): State<Shared>,
    headers: HeaderMap,
    Path(zone): Path<String>,
    Json(wanted): Json<Value>,
) -> Answer {
    if let Err(refused) = authorised(&headers) {
        return refused;
    }
    if zone != ZONE_ID {
        return refused(StatusCode::NOT_FOUND, 7_003, "Could not route to /zones");
    }
    let mut book = book.lock().unwrap();
    let before = book.rows.clone();
    let done = apply(&mut book, &wanted);
    match done {
        Ok(()) => {
            let rows = book.rows.clone();
            book.history.push(rows);
            let result = json!({ "deletes": [], "patches": [], "puts": [], "posts": [] });
            (StatusCode::OK, Json(json!({ "success": true, "errors": [], "messages": [], "result": result })))
        }
        Err(refusal) => {
            book.rows = before;
            refusal
        }
    }
}

fn apply(book: &mut Book, wanted: &Value) -> Result<(), Answer> {
    for delete in wanted["deletes"].as_array().into_iter().flatten() {
        let at = book.rows.iter().position(|row| delete["id"] == row.id.as_str());
        let at = at.ok_or_else(|| refused(StatusCode::NOT_FOUND, 81_044, "Record does not exist."))?;
        book.rows.remove(at);
    }
    for post in wanted["posts"].as_array().into_iter().flatten() {
        let ttl = post["ttl"].as_u64().unwrap_or_default();
        if ttl != 1 && !(60..=86_400).contains(&ttl) {
            return Err(refused(StatusCode::BAD_REQUEST, 9_021, "Invalid TTL."));
        }
        let complete = match post["type"].as_str() {
            Some("TXT") => post["content"].is_string(),
            Some("CAA") => post["data"]["tag"].is_string() && post["data"]["flags"].is_number(),
            _ => false,
        };
        let inside = post["name"].as_str().is_some_and(|name| name == ZONE || name.ends_with(".tee.test"));
        if !complete || !inside {
            return Err(refused(StatusCode::BAD_REQUEST, 9_005, "Content for the record is invalid."));
        }
        let same = |row: &Row| {
            post["name"] == row.name.as_str()
                && row.body["content"] == post["content"]
                && row.body["data"] == post["data"]
        };
        if book.rows.iter().any(same) {
            return Err(refused(StatusCode::BAD_REQUEST, 81_058, "An identical record already exists."));
        }
        book.insert(post.clone(), post.clone());
    }
    Ok(())
}
