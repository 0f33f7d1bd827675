//! Objects in buckets of S3 and Google Cloud Storage: found by listing, read by ranges, through the `object_store` that DataFusion
//! uses.
//!
//! Settings come from the environment, by the names that `object_store` gives them: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
//! AWS_REGION, AWS_ENDPOINT, AWS_ALLOW_HTTP, AWS_SKIP_SIGNATURE, .. and GOOGLE_APPLICATION_CREDENTIALS, GOOGLE_SKIP_SIGNATURE, ..
//! A request that a store does not answer is repeated for a minute at most. Then the work ends, since nothing is known of the
//! objects that were asked for.

mod failure;

use super::ranges::Ranges;
use crate::error::{Error, Kind, Result};
use crate::seal;
use crate::signal::go_on;
use bytes::Bytes;
use failure::said;
use glob::{MatchOptions, Pattern};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientConfigKey, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// How long a request is made again, and how often at most.
const RETRY_TIME: Duration = Duration::from_secs(60);
const MAX_TRIES: usize = 100;
/// How long one request may take, its body among it.
const REQUEST: &str = "120 seconds";
/// How long a store that did not answer is not asked again.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// How often a waiting thread looks whether it should end.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Where machines of both clouds find credentials.
const METADATA: ([u8; 4], u16) = ([169, 254, 169, 254], 80);

/// A bucket.
struct Bucket {
    /// Its address, without a slash at the end.
    address: String,
    store: Arc<dyn ObjectStore>,
    pages: Arc<dyn PaginatedListStore>,
    /// When it did not answer, and how.
    lost: Mutex<Option<(Instant, Error)>>,
}

/// One object, as it was when it was opened.
pub struct CloudObject {
    bucket: Arc<Bucket>,
    uri: String,
    path: Path,
    tag: Option<String>,
}

impl CloudObject {
    /// The object at an address, and its length in bytes.
    ///
    /// # Errors
    /// Where a seal forbids it, there is no such object, it may not be read, or the store does not answer.
    pub fn open(uri: &str) -> Result<(Self, u64)> {
        let (bucket, path) = place(uri)?;
        let (store, at) = (bucket.store.clone(), path.clone());
        let about: ObjectMeta = bucket.wait(uri, async move { store.head(&at).await })?;
        // A weak tag names no bytes.
        let tag = about.e_tag.filter(|tag| !tag.starts_with("W/"));
        Ok((CloudObject { bucket, uri: uri.to_string(), path, tag }, about.size))
    }
}

impl Ranges for CloudObject {
    fn range(&self, start: u64, length: usize) -> Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let range = Some(GetRange::Bounded(start..start + length as u64));
        let options = GetOptions { range, if_match: self.tag.clone(), ..GetOptions::default() };
        let (store, path) = (self.bucket.store.clone(), self.path.clone());
        let bytes = self.bucket.wait(&self.uri, async move { store.get_opts(&path, options).await?.bytes().await })?;
        if bytes.len() != length {
            return Err(Error::new(Kind::Io, format!("`{}` gave {} bytes of {length}", self.uri, bytes.len())));
        }
        Ok(bytes)
    }
}

/// All bytes of an object of at most `most`, by one request.
///
/// # Errors
/// As [`CloudObject::open`], and where it is longer.
pub fn whole(uri: &str, most: u64) -> Result<Bytes> {
    let (bucket, path) = place(uri)?;
    let store = bucket.store.clone();
    let read = bucket.wait(uri, async move {
        let answer = store.get(&path).await?;
        let size = answer.meta.size;
        Ok(if size > most { Err(size) } else { Ok(answer.bytes().await?) })
    })?;
    read.map_err(|size| Error::format(format!("`{uri}`: a file of {size} bytes is larger than the limit of {most}")))
}

/// The addresses of the objects that a pattern matches, sorted as paths are. The keys that begin with the pattern's text before its
/// first wildcard are listed.
///
/// # Errors
/// Where it is no pattern, or the bucket cannot be listed.
pub fn matching(uri: &str) -> Result<Vec<String>> {
    let (bucket, key) = bucket_of(uri)?;
    let wrong = |e: glob::PatternError| Error::value(format!("`{uri}` is no file pattern: {}", e.msg));
    let pattern = Pattern::new(key).map_err(wrong)?;
    // Hidden names are left out, and `*` stays within a folder, as in patterns of local files.
    let rule =
        MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let (literal, rest) = key.split_at(key.find(['*', '?', '[']).unwrap_or(key.len()));
    bucket.list(uri, literal, !rest.contains('/'), |key| pattern.matches_with(key, rule))
}

/// The addresses of the objects in a folder, or also in its folders, sorted as paths are. Hidden ones are left out.
///
/// # Errors
/// Where the bucket cannot be listed.
pub fn below(uri: &str, deep: bool) -> Result<Vec<String>> {
    let (bucket, key) = bucket_of(uri)?;
    let folder = match key.trim_end_matches('/') {
        "" => String::new(),
        key => format!("{key}/"),
    };
    let hidden = |key: &str| key[folder.len()..].split('/').any(|part| part.starts_with('.'));
    bucket.list(uri, &folder, !deep, |key| key.len() > folder.len() && !hidden(key))
}

impl Bucket {
    /// The objects whose keys begin with a prefix, without those in folders behind it where it is `flat`.
    fn list(&self, uri: &str, prefix: &str, flat: bool, keep: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let (mut found, mut token) = (Vec::new(), None);
        loop {
            go_on()?;
            let (pages, prefix) = (self.pages.clone(), (!prefix.is_empty()).then(|| prefix.to_string()));
            let delimiter = flat.then(|| "/".into());
            let options = PaginatedListOptions { delimiter, page_token: token, ..PaginatedListOptions::default() };
            let page = self.wait(uri, async move { pages.list_paginated(prefix.as_deref(), options).await })?;
            let keys = page.result.objects.iter().map(|about| about.location.as_ref());
            found.extend(keys.filter(|key| keep(key)).map(PathBuf::from));
            token = page.page_token;
            if token.is_none() {
                break;
            }
        }
        found.sort();
        Ok(found.iter().map(|key| format!("{}/{}", self.address, key.to_string_lossy())).collect())
    }

    /// What a request gives. This thread waits for it, and looks whether it should end.
    fn wait<T: Send + 'static>(
        &self,
        uri: &str,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T> {
        let lost = || self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, error)) = &*lost()
            && when.elapsed() < FAILURE_PAUSE
        {
            return Err(error.clone());
        }
        let (send, receive) = sync_channel(1);
        let task = runtime()?.spawn(async move {
            // Nobody waits any more where this fails.
            let _ = send.send(work.await);
        });
        loop {
            match receive.recv_timeout(CHECK_INTERVAL) {
                Ok(Ok(answer)) => {
                    *lost() = None;
                    return Ok(answer);
                }
                Ok(Err(error)) => {
                    let error = said(uri, &error);
                    if error.kind == Kind::Unreachable {
                        *lost() = Some((Instant::now(), error.clone()));
                    }
                    return Err(error);
                }
                Err(RecvTimeoutError::Timeout) => go_on().inspect_err(|_| task.abort())?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::internal(format!("`{uri}`: a request was given up")));
                }
            }
        }
    }
}

/// The bucket of an address, and the object there.
fn place(uri: &str) -> Result<(Arc<Bucket>, Path)> {
    let (bucket, key) = bucket_of(uri)?;
    if key.is_empty() {
        return Err(Error::value(format!("`{uri}` names a bucket and no object")));
    }
    let path = Path::parse(key).map_err(|e| Error::value(format!("`{uri}`: {e}")))?;
    Ok((bucket, path))
}

/// The bucket of an address, and what stands behind it.
fn bucket_of(uri: &str) -> Result<(Arc<Bucket>, &str)> {
    seal::may_connect(uri)?;
    let wrong = || Error::value(format!("`{uri}` names no bucket")).hint("write it as s3://bucket/folder/*.parquet");
    let (scheme, rest) = uri.split_once("://").ok_or_else(wrong)?;
    let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        return Err(wrong());
    }
    let address = format!("{scheme}://{name}");
    let mut all = buckets().lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bucket) = all.get(&address) {
        return Ok((bucket.clone(), key));
    }
    let failed = |e: object_store::Error| said(uri, &e);
    let bucket = match scheme {
        "s3" => Bucket::new(address.clone(), Arc::new(s3(name)?.build().map_err(failed)?)),
        "gs" => Bucket::new(address.clone(), Arc::new(gs(name)?.build().map_err(failed)?)),
        _ => return Err(wrong()),
    };
    let bucket = Arc::new(bucket);
    all.insert(address, bucket.clone());
    Ok((bucket, key))
}

impl Bucket {
    fn new<S: ObjectStore + PaginatedListStore>(address: String, store: Arc<S>) -> Self {
        Bucket { address, store: store.clone(), pages: store, lost: Mutex::default() }
    }
}

/// The buckets that were named.
fn buckets() -> &'static Mutex<BTreeMap<String, Arc<Bucket>>> {
    static BUCKETS: OnceLock<Mutex<BTreeMap<String, Arc<Bucket>>>> = OnceLock::new();
    BUCKETS.get_or_init(Mutex::default)
}

fn s3(bucket: &str) -> Result<AmazonS3Builder> {
    let given = ["AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_METADATA_ENDPOINT"];
    let by_task = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    if !any_set(&given) && !any_set(&by_task) && !metadata_answers() {
        return Err(Error::new(Kind::Io, format!("`s3://{bucket}`: there are no credentials")).hint(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (`aws configure export-credentials --format env` prints those of a \
             profile), or AWS_SKIP_SIGNATURE=true for a public bucket",
        ));
    }
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retries());
    if !any_set(&["AWS_TIMEOUT"]) {
        builder = builder.with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), REQUEST);
    }
    Ok(builder)
}

fn gs(bucket: &str) -> Result<GoogleCloudStorageBuilder> {
    let given = ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY"];
    let others = ["SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SKIP_SIGNATURE"];
    let default = std::env::var_os("HOME")
        .is_some_and(|home| PathBuf::from(home).join(".config/gcloud/application_default_credentials.json").is_file());
    if !any_set(&given) && !any_set(&others) && !default && !metadata_answers() {
        return Err(Error::new(Kind::Io, format!("`gs://{bucket}`: there are no credentials")).hint(
            "`gcloud auth application-default login` makes them, GOOGLE_APPLICATION_CREDENTIALS names a file of them; \
             GOOGLE_SKIP_SIGNATURE=true is for public buckets",
        ));
    }
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retries());
    if !any_set(&["GOOGLE_TIMEOUT"]) {
        builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::Timeout), REQUEST);
    }
    Ok(builder)
}

fn any_set(names: &[&str]) -> bool {
    names.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Whether this is a machine of a cloud, which gives credentials to what runs on it.
fn metadata_answers() -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(METADATA), Duration::from_secs(1)).is_ok()
}

fn retries() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(200), max_backoff: Duration::from_secs(5), base: 2.0 };
    RetryConfig { backoff, max_retries: MAX_TRIES, retry_timeout: RETRY_TIME }
}

/// What requests run on.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let made = RUNTIME
        .get_or_init(|| Builder::new_multi_thread().worker_threads(2).thread_name("buckets").enable_all().build());
    made.as_ref().map_err(|e| Error::internal(format!("no threads for requests: {e}")))
}

#[cfg(test)]
mod tests;
