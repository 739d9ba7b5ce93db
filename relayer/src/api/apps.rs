// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GET /v1/apps` and `GET /v1/versions`: registered apps and their code, from the folded state.

use alloy::primitives::{Address, B256};
use axum::extract::State;
use mandate_model::state::{Registration, VersionState};
use mandate_runtime::http::{ApiError, ApiJson, ApiQuery};
use serde::{Deserialize, Serialize};

use super::{
    Answer, Api, Shared,
    page::{self, Interrupted, Page, Reading},
    time,
};
use crate::store::FoldedApp;

/// Where an app stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppState {
    /// Nothing holds its versions back.
    Active,
    /// Its owner or guardian paused it.
    Paused,
    /// The protocol suspended it.
    Suspended,
    /// Closed for good.
    Sunset,
    /// A foreign app that tells nothing of its rules.
    Foreign,
}

/// A registered app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppView {
    /// Its address.
    pub app: Address,
    /// Where it stands at the block.
    pub state: AppState,
    /// Who registered it.
    pub registrar: Address,
    /// Whether its code is not the blessed one.
    pub foreign: bool,
    /// Until when it is suspended, Unix seconds; 0 when it never was.
    pub suspended_until: u64,
    /// Its owner; absent for a foreign app that tells none, as is what follows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<Address>,
    /// Who may tighten at once; zero for nobody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub guardian: Option<Address>,
    /// Seconds between the decision to loosen and its effect.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub notice: Option<u64>,
    /// Until when nothing is released, Unix seconds; 0 when it was never paused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused_until: Option<u64>,
    /// Key generation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub generation: Option<u64>,
    /// How many versions were ever scheduled.
    pub versions: u64,
}

impl AppView {
    fn at(now: u64, app: Address, found: &FoldedApp) -> Self {
        let Registration { registrar, foreign, suspended_until } = found.registration;
        let policy = found.policy.as_ref();
        let state = match policy {
            Some(policy) if policy.sunset => AppState::Sunset,
            _ if now < suspended_until => AppState::Suspended,
            Some(policy) if policy.is_paused(now) => AppState::Paused,
            None if foreign => AppState::Foreign,
            _ => AppState::Active,
        };
        Self {
            app,
            state,
            registrar,
            foreign,
            suspended_until,
            owner: policy.map(|policy| policy.governed.owner),
            guardian: policy.map(|policy| policy.governed.guardian.at(now)),
            notice: policy.map(|policy| policy.governed.notice.at(now)),
            paused_until: policy.map(|policy| policy.paused_until),
            generation: policy.map(|policy| policy.generation),
            versions: policy.map_or(0, |policy| policy.codes.len() as u64),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppsQuery {
    owner: Option<Address>,
    state: Option<AppState>,
    after: Option<Address>,
    limit: Option<u32>,
}

pub(super) async fn apps(State(api): Shared, ApiQuery(query): ApiQuery<AppsQuery>) -> Answer<Page<AppView>> {
    let limit = page::limit(query.limit)?;
    let (api, query) = (&*api, &query);
    page::of_one_block(move || apps_page(api, query, limit)).await.map(ApiJson)
}

async fn apps_page(api: &Api, query: &AppsQuery, limit: usize) -> Result<Page<AppView>, Interrupted> {
    let mut reading = Reading::default();
    let mut items = Vec::new();
    let walk = walk(api, &mut reading, query.after).await?;
    let now = time::of(api, reading.block()?).await?;
    let mut next = None;
    for (seen, (app, _)) in walk.iter().enumerate() {
        if items.len() == limit || seen == page::SCAN {
            next = seen.checked_sub(1).and_then(|last| walk.get(last)).map(|(app, _)| app.to_string());
            break;
        }
        let Some(found) = reading.take(api.store.folded_app(*app).await?)? else { continue };
        let view = AppView::at(now, *app, &found);
        if query.owner.is_none_or(|owner| view.owner == Some(owner))
            && query.state.is_none_or(|state| view.state == state)
        {
            items.push(view);
        }
    }
    Ok(Page { block: reading.block()?, items, next })
}

/// The apps behind `after`, one more than a request looks at.
async fn walk(
    api: &Api,
    reading: &mut Reading,
    after: Option<Address>,
) -> Result<Vec<(Address, Registration)>, Interrupted> {
    let many = u32::try_from(page::SCAN).unwrap_or(u32::MAX).saturating_add(1);
    reading.take(api.store.folded_apps(after, many).await?)
}

/// One code hash of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    /// The app.
    pub app: Address,
    /// The compose hash.
    pub code_hash: B256,
    /// Where it stands at the block. The app may be paused or suspended all the same.
    pub state: VersionState,
    /// From when it is in force, Unix seconds.
    pub active_from: u64,
    /// When it retires, Unix seconds; 0 when it does not.
    pub retire_at: u64,
    /// Where its source is, as told when it was scheduled last.
    pub source_uri: String,
}

/// Behind an app, or behind one of its versions: `APP` or `APP:HASH`.
#[derive(Debug, Clone, Copy)]
struct VersionPlace(Address, Option<B256>);

impl std::str::FromStr for VersionPlace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = "a place is APP or APP:HASH";
        let (app, hash) = text.split_once(':').map_or((text, None), |(app, hash)| (app, Some(hash)));
        let hash = hash.map(|hash| hash.parse().map_err(|_| malformed)).transpose()?;
        Ok(Self(app.parse().map_err(|_| malformed)?, hash))
    }
}

impl<'de> Deserialize<'de> for VersionPlace {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionsQuery {
    app: Option<Address>,
    state: Option<VersionState>,
    after: Option<VersionPlace>,
    limit: Option<u32>,
}

pub(super) async fn versions(
    State(api): Shared,
    ApiQuery(query): ApiQuery<VersionsQuery>,
) -> Answer<Page<VersionView>> {
    let limit = page::limit(query.limit)?;
    if let (Some(app), Some(VersionPlace(behind, _))) = (query.app, query.after)
        && app != behind
    {
        return Err(ApiError::bad_request("after is a place of another app"));
    }
    let (api, query) = (&*api, &query);
    page::of_one_block(move || versions_page(api, query, limit)).await.map(ApiJson)
}

async fn versions_page(
    api: &Api,
    query: &VersionsQuery,
    limit: usize,
) -> Result<Page<VersionView>, Interrupted> {
    let mut reading = Reading::default();
    let (apps, more) = apps_to_look_at(api, &mut reading, query).await?;
    let now = time::of(api, reading.block()?).await?;
    let (mut items, mut place) = (Vec::new(), None);
    for app in apps {
        let policy = reading.take(api.store.folded_app(app).await?)?.and_then(|found| found.policy);
        let behind = query.after.filter(|place| place.0 == app).and_then(|place| place.1);
        let codes = policy.map(|policy| policy.codes).unwrap_or_default();
        for (code_hash, version) in codes.into_iter().filter(|(hash, _)| behind.is_none_or(|b| *hash > b)) {
            if items.len() == limit {
                return Ok(Page { block: reading.block()?, items, next: place });
            }
            place = Some(format!("{app}:{code_hash}"));
            let view = VersionView {
                app,
                code_hash,
                state: version.state(now),
                active_from: version.active_from,
                retire_at: version.retire_at,
                source_uri: version.source_uri,
            };
            if query.state.is_none_or(|state| view.state == state) {
                items.push(view);
            }
        }
        place = Some(app.to_string());
    }
    Ok(Page { block: reading.block()?, items, next: place.filter(|_| more) })
}

/// Which apps this page looks at, and whether there are more behind them.
async fn apps_to_look_at(
    api: &Api,
    reading: &mut Reading,
    query: &VersionsQuery,
) -> Result<(Vec<Address>, bool), Interrupted> {
    if let Some(app) = query.app {
        // Read once here for the block, in case the app is not registered.
        reading.take(api.store.folded_app(app).await?)?;
        return Ok((vec![app], false));
    }
    // An app whose versions were not all told is looked at again.
    let unfinished = query.after.filter(|place| place.1.is_some()).map(|place| place.0);
    let behind = walk(api, reading, query.after.map(|place| place.0)).await?;
    let more = behind.len() > page::SCAN;
    let others = behind.into_iter().take(page::SCAN).map(|(app, _)| app);
    Ok((unfinished.into_iter().chain(others).collect(), more))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;
    use mandate_model::state::App;

    use super::*;

    fn found(foreign: bool, suspended_until: u64, policy: Option<App>) -> FoldedApp {
        FoldedApp {
            registration: Registration { registrar: Address::ZERO, foreign, suspended_until },
            policy,
        }
    }

    #[test]
    fn an_app_stands_where_the_strongest_hold_says() {
        let policy = |paused_until, sunset| Some(App { paused_until, sunset, ..App::default() });
        let state = |found| AppView::at(100, Address::ZERO, &found).state;
        assert_eq!(state(found(false, 0, policy(0, false))), AppState::Active);
        assert_eq!(state(found(false, 100, policy(100, false))), AppState::Active, "both have just ended");
        assert_eq!(state(found(false, 0, policy(101, false))), AppState::Paused);
        assert_eq!(state(found(false, 101, policy(101, false))), AppState::Suspended);
        assert_eq!(state(found(false, 101, policy(101, true))), AppState::Sunset);
        assert_eq!(state(found(true, 0, None)), AppState::Foreign);
        assert_eq!(state(found(true, 101, None)), AppState::Suspended);
    }

    #[test]
    fn version_places_are_apps_or_versions_of_apps() {
        let (app, hash) = (Address::repeat_byte(1), B256::repeat_byte(2));
        let place: VersionPlace = app.to_string().parse().unwrap();
        assert_eq!((place.0, place.1), (app, None));
        let place: VersionPlace = format!("{app}:{hash}").parse().unwrap();
        assert_eq!((place.0, place.1), (app, Some(hash)));
        for text in ["", ":", "0x01", &format!("{app}:"), &format!("{app}:{app}"), &format!(":{hash}")] {
            assert!(text.parse::<VersionPlace>().is_err(), "{text}");
        }
    }
}
