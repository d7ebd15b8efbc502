//! The files of claimed mails, fetched in so large parts as memory allows; a content that several have is fetched once.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::store::{Digest, FileRow, Result, Store};
use crate::mail::attachment::{Attachment, labels};

/// So many bytes of contents are fetched for one claim: of a mail there are 10 MB at most.
const ROOM: u64 = 32 * 1024 * 1024;
/// So many bytes of contents that several mails of a claim had stay for the next one.
const SHARED: usize = 4 * 1024 * 1024;

/// What has become of the files of a mail.
#[derive(Debug)]
pub(super) enum Files {
    Ready(Vec<Attachment>),
    /// Why it cannot take them along.
    Refused(String),
    /// They do not fit beside those of the mails before it.
    NoRoom,
}

/// Contents of mails in flight.
#[derive(Default)]
pub(super) struct Attachments {
    contents: HashMap<Digest, Weak<[u8]>>,
    /// Contents that several mails of the last claim had.
    shared: Vec<Arc<[u8]>>,
}

impl Attachments {
    /// Fetches the files of these claimed mails.
    pub(super) fn fetch(
        &mut self,
        mails: Vec<i64>,
        store: &mut impl Store,
    ) -> Result<HashMap<i64, Files>> {
        let mut fetched = HashMap::new();
        if mails.is_empty() {
            return Ok(fetched);
        }
        self.contents
            .retain(|_, content| content.strong_count() > 0);
        let mut rows: HashMap<i64, Vec<FileRow>> = HashMap::new();
        for row in store.files(mails.clone())? {
            rows.entry(row.mail).or_default().push(row);
        }
        // None: to be fetched.
        let mut known: HashMap<Digest, Option<Arc<[u8]>>> = HashMap::new();
        let mut room = ROOM;
        let mut fitting = Vec::new();
        for mail in mails {
            let its_rows = rows.remove(&mail).unwrap_or_default();
            let files: Vec<_> = its_rows.iter().map(|row| row.file.clone()).collect();
            let labels = match labels(&files) {
                Ok(labels) => labels,
                Err(reason) => {
                    fetched.insert(mail, Files::Refused(reason));
                    continue;
                }
            };
            let mut new: HashMap<&Digest, u64> = HashMap::new();
            for row in &its_rows {
                let Some(digest) = &row.digest else { continue };
                if known.contains_key(digest) {
                    continue;
                }
                match self.contents.get(digest).and_then(Weak::upgrade) {
                    Some(content) => {
                        known.insert(digest.clone(), Some(content));
                    }
                    None => {
                        new.insert(digest, row.file.size.unwrap_or_default());
                    }
                }
            }
            let bytes: u64 = new.values().sum();
            if bytes > room {
                fetched.insert(mail, Files::NoRoom);
                continue;
            }
            room -= bytes;
            known.extend(new.into_keys().map(|digest| (digest.clone(), None)));
            fitting.push((mail, labels, its_rows));
        }
        let wanted: Vec<Digest> = known
            .iter()
            .filter(|(_, content)| content.is_none())
            .map(|(digest, _)| digest.clone())
            .collect();
        if !wanted.is_empty() {
            let theirs = fitting.iter().map(|(mail, ..)| *mail).collect();
            for (digest, content) in store.contents(theirs, wanted)? {
                let content: Arc<[u8]> = content.into();
                self.contents
                    .insert(digest.clone(), Arc::downgrade(&content));
                known.insert(digest, Some(content));
            }
        }
        for (mail, labels, rows) in fitting {
            let attachments = labels.into_iter().zip(rows).map(|(label, row)| {
                let content = row.digest.and_then(|digest| known.get(&digest)?.clone());
                match content {
                    Some(content) => Ok(Attachment { label, content }),
                    // Somebody has taken the mail back meanwhile.
                    None => Err(format!("the content of {:?} is gone", label.name)),
                }
            });
            let files = match attachments.collect() {
                Ok(attachments) => Files::Ready(attachments),
                Err(reason) => Files::Refused(reason),
            };
            fetched.insert(mail, files);
        }
        self.keep_shared(known);
        Ok(fetched)
    }
    /// Keeps what the next claim is likely to need.
    fn keep_shared(&mut self, contents: HashMap<Digest, Option<Arc<[u8]>>>) {
        let mut room = SHARED;
        self.shared = contents
            .into_values()
            .flatten()
            // Beside the one here, a mail has each of them.
            .filter(|content| Arc::strong_count(content) > 2)
            .filter(|content| {
                let fits = content.len() <= room;
                if fits {
                    room -= content.len();
                }
                fits
            })
            .collect();
    }
}
