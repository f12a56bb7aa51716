//! What is read again while the program runs.

use std::path::Path;

use polypy_http::Access;

use super::PolyPy;
use crate::config::Sources;
use crate::secrets::{self, CertificateFiles};

impl PolyPy {
    /// Reads again what may change while it runs: which markets are followed, from these
    /// layers, tokens and the certificate. What cannot be read is logged, and the old one
    /// stays.
    pub async fn reload_from(&self, layers: Sources) {
        self.selection.reload_from(layers).await;
        self.reload().await;
    }

    /// Reads again what is in files of its own: tokens and the certificate. What cannot be
    /// read is logged, and the old one stays.
    pub async fn reload(&self) {
        if let (Some(tls), Some(files)) =
            (self.tls.clone(), CertificateFiles::of(&self.config.http))
        {
            let read = tokio::task::spawn_blocking(move || files.replace(&tls)).await;
            match read {
                Ok(Ok(())) => tracing::info!("certificate read again"),
                Ok(Err(error)) => {
                    tracing::error!(%error, "certificate not read again, the old one stays");
                }
                Err(error) => {
                    tracing::error!(%error, "certificate not read again, the old one stays");
                }
            }
        }
        self.reload_tokens().await;
    }

    /// Both are read before either is replaced: they may have changed places.
    async fn reload_tokens(&self) {
        let files = [
            (self.access.as_ref(), self.config.http.token_file.as_deref()),
            self.admin.token(),
        ];
        let mut read = Vec::with_capacity(files.len());
        for (access, path) in files {
            if let (Some(access), Some(path)) = (access, path) {
                read.push((access, path, read_token_again(path).await));
            }
        }
        if let [(first, _, new_first), (second, path, new_second)] = &read[..] {
            let first = new_first.as_ref().unwrap_or(first);
            if first.has_token_of(new_second.as_ref().unwrap_or(second)) {
                let error = format!("{}: {}", path.display(), secrets::SAME_TOKEN);
                tracing::error!(error, "tokens not read again, the old ones stay");
                return;
            }
        }
        for (access, path, new) in read {
            if let Some(new) = new {
                access.take_token_of(new);
                tracing::info!(file = %path.display(), "token read again");
            }
        }
    }
}

/// A guard with the token that the file has now. A failure is logged.
async fn read_token_again(path: &Path) -> Option<Access> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || secrets::access(&file)).await;
    match read {
        Ok(Ok(access)) => return Some(access),
        Ok(Err(error)) => tracing::error!(%error, "token not read again, the old one stays"),
        Err(error) => tracing::error!(%error, "token not read again, the old one stays"),
    }
    None
}
