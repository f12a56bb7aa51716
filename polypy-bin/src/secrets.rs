//! Secrets in files: read at the start and again on demand.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polypy_http::{Access, Tls, TlsError, TokenError};

use crate::config::HttpSection;
use crate::file;

/// Longest file that is read for a token.
const MOST_BYTES: u64 = 64 * 1024;

/// Why two guards cannot have what they were given.
pub(crate) const SAME_TOKEN: &str = "has the token of http.token_file: who may ask could \
                                     administer; put another one into one of the two files";

/// Why a token could not be had. The file is named, what is in it is not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in it is no token.
    #[error("{path}: {source}", path = path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TokenError,
    },
}

/// The token in a file: all of it but white space around.
///
/// # Errors
/// When the file cannot be read, is no text, or does not end within five seconds.
pub fn token(path: &Path) -> Result<String, SecretError> {
    let unreadable = |source| SecretError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = file::open(path).map_err(|error| {
        let remedy = format!(
            "create it, as by (umask 077; openssl rand -hex 32 > {}), or name another file",
            path.display()
        );
        unreadable(not_there(error, &remedy))
    })?;
    let about = file.metadata().map_err(unreadable)?;
    warn_if_writable(path, &about);
    let bytes = file::read_within(&mut file, MOST_BYTES).map_err(unreadable)?;
    let text = str::from_utf8(&bytes)
        .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Ok(text.trim().to_owned())
}

/// The same error with what to do about a file that is not there.
fn not_there(error: io::Error, remedy: &str) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), format!("{error}; {remedy}")),
        _ => error,
    }
}

/// Who may write the file decides who may ask.
#[cfg(unix)]
fn warn_if_writable(path: &Path, about: &Metadata) {
    use std::os::unix::fs::MetadataExt as _;
    let mode = about.mode() & 0o777;
    if mode & 0o022 != 0 {
        tracing::warn!(
            file = %path.display(),
            mode = %format_args!("{mode:o}"),
            "others may change this secret; chmod 600 keeps them out"
        );
    }
}

#[cfg(not(unix))]
fn warn_if_writable(_path: &Path, _about: &Metadata) {}

/// A guard with the token of a file.
pub(crate) fn access(path: &Path) -> Result<Access, SecretError> {
    Access::new(&token(path)?).map_err(|source| SecretError::Token {
        path: path.to_owned(),
        source,
    })
}

/// Why a certificate could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The certificate's file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key's file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in them cannot be used.
    #[error("{certificate} and {key}: {source}", certificate = certificate.display(), key = key.display())]
    Tls {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        source: TlsError,
    },
}

impl CertificateError {
    /// Whether the key is at fault, and not the certificate.
    pub(crate) fn is_about_the_key(&self) -> bool {
        match self {
            Self::Key { .. } => true,
            Self::Certificate { .. } => false,
            Self::Tls { source, .. } => matches!(source, TlsError::NoKey),
        }
    }
}

/// Where a certificate and its key are.
#[derive(Debug, Clone)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl CertificateFiles {
    /// What the configuration names, if it names both.
    pub(crate) fn of(http: &HttpSection) -> Option<Self> {
        Some(Self {
            certificate: http.tls_cert.clone()?,
            key: http.tls_key.clone()?,
        })
    }

    /// Reads both.
    pub(crate) fn open(&self) -> Result<Arc<Tls>, CertificateError> {
        let (certificates, key) = self.read()?;
        let tls = Tls::new(&certificates, &key).map_err(|source| self.unusable(source))?;
        Ok(Arc::new(tls))
    }

    /// Reads both again. After a failure the old ones stay in use.
    pub(crate) fn replace(&self, tls: &Tls) -> Result<(), CertificateError> {
        let (certificates, key) = self.read()?;
        tls.replace(&certificates, &key)
            .map_err(|source| self.unusable(source))
    }

    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), CertificateError> {
        let path = self.certificate.clone();
        let certificates = file::read(&path, file::CERTIFICATES)
            .map_err(|error| not_there(error, "name the file that has the certificate"))
            .map_err(|source| CertificateError::Certificate { path, source })?;
        let path = self.key.clone();
        let key = file::read(&path, file::CERTIFICATES)
            .map_err(|error| not_there(error, "name the file that has its private key"))
            .map_err(|source| CertificateError::Key { path, source })?;
        Ok((certificates, key))
    }

    fn unusable(&self, source: TlsError) -> CertificateError {
        CertificateError::Tls {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        }
    }
}
