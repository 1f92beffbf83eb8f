use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    version::{TLS12, TLS13},
};

use crate::{ConfigError, StartError, data_dir::DataDir, env::Env};

/// What a client may ask for, best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Average seconds of a year.
const YEAR_SECONDS: u64 = 31_556_952;

/// Whether and with what HTTPS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsChoice {
    /// Not at all.
    #[default]
    Off,
    /// With a certificate for `localhost` that the first start makes.
    SelfSigned,
    /// With these files, PEM.
    Files {
        /// The certificate and what it rests on.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

impl TlsChoice {
    pub(crate) fn read(env: &Env<'_>, host: IpAddr) -> Result<Self, ConfigError> {
        let together = |told: &str| Err(ConfigError::Together(told.to_owned()));
        let is_asked =
            env.text("STUDIO_TLS").is_some_and(|word| word.eq_ignore_ascii_case("self-signed"));
        let path = |name: &str| env.text(name).map(PathBuf::from);
        match (path("STUDIO_TLS_CERT"), path("STUDIO_TLS_KEY"), is_asked) {
            (None, None, false) => Ok(Self::Off),
            (None, None, true) if host.is_loopback() => Ok(Self::SelfSigned),
            (None, None, true) => together(
                "the certificate that --tls self-signed makes is for localhost alone: where others \
                 come in, give one with --tls-cert and --tls-key",
            ),
            (Some(cert), Some(key), false) => Ok(Self::Files { cert, key }),
            (Some(_), Some(_), true) => together(
                "--tls self-signed makes a certificate, and --tls-cert names one: give one of both",
            ),
            (Some(_), None, _) => together("--tls-cert needs --tls-key, the certificate's key"),
            (None, Some(_), _) => together("--tls-key needs --tls-cert, the key's certificate"),
        }
    }

    /// What addresses begin with.
    pub(crate) fn scheme(&self) -> &'static str {
        match self {
            Self::Off => "http",
            Self::SelfSigned | Self::Files { .. } => "https",
        }
    }

    /// What connections are made with; `None` = in the clear.
    pub(crate) fn config(&self, dir: &DataDir) -> Result<Option<Arc<ServerConfig>>, StartError> {
        let (cert, key) = match self {
            Self::Off => return Ok(None),
            Self::SelfSigned => own(dir)?,
            Self::Files { cert, key } => (cert.clone(), key.clone()),
        };
        let failed =
            |file: &Path, reason: String| StartError::Tls { file: file.to_owned(), reason };
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&cert).and_then(Iterator::collect);
        let chain = chain.map_err(|error| failed(&cert, format!("no certificate: {error}")))?;
        if chain.is_empty() {
            return Err(failed(&cert, "has no certificate in it".to_owned()));
        }
        let secret = PrivateKeyDer::from_pem_file(&key)
            .map_err(|error| failed(&key, format!("no private key: {error}")))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| failed(&cert, error.to_string()))?;
        let mut config = builder
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| failed(&cert, format!("does not go with its key: {error}")))?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Some(Arc::new(config)))
    }
}

/// The certificate in the data directory and its key; made anew with the first start of a year,
/// so that it never runs out.
fn own(dir: &DataDir) -> Result<(PathBuf, PathBuf), StartError> {
    let (cert, key) = (dir.file("tls-cert.pem"), dir.file("tls-key.pem"));
    let now = year(SystemTime::now());
    let made = |file: &Path| file.metadata().and_then(|meta| meta.modified()).map(year);
    if made(&cert).is_ok_and(|made| made == now) && key.is_file() {
        return Ok((cert, key));
    }
    let failed = |reason: String| StartError::Tls { file: cert.clone(), reason };
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).map_err(|error| failed(error.to_string()))?;
    params.not_before = date_time_ymd(now, 1, 1);
    params.not_after = date_time_ymd(now + 2, 1, 1);
    let pair = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let signed = params.self_signed(&pair).map_err(|error| failed(error.to_string()))?;
    write(&key, &pair.serialize_pem()).map_err(|error| failed(error.to_string()))?;
    write(&cert, &signed.pem()).map_err(|error| failed(error.to_string()))?;
    tracing::info!("a certificate for localhost was made: {}", cert.display());
    Ok((cert, key))
}

/// For this user alone from the beginning, and whole or not there.
fn write(file: &Path, text: &str) -> io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};

    let part = file.with_extension("part");
    let mut options = fs::OpenOptions::new();
    let mut to = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    to.write_all(text.as_bytes())?;
    to.sync_all()?;
    fs::rename(part, file)
}

fn year(time: SystemTime) -> i32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    1970 + i32::try_from(since / YEAR_SECONDS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(host: &str, set: &[(&str, &str)]) -> Result<TlsChoice, String> {
        let find = |name: &str| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let choice = TlsChoice::read(&Env::new(find), host.parse().unwrap());
        choice.map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_is_named_whole_or_made_for_this_machine() {
        assert_eq!(read("127.0.0.1", &[]), Ok(TlsChoice::Off));
        assert_eq!(read("::1", &[("STUDIO_TLS", "Self-Signed")]), Ok(TlsChoice::SelfSigned));
        let files = [("STUDIO_TLS_CERT", "/c"), ("STUDIO_TLS_KEY", "/k")];
        let both = TlsChoice::Files { cert: "/c".into(), key: "/k".into() };
        assert_eq!(read("0.0.0.0", &files), Ok(both));
        let all = [files[0], files[1], ("STUDIO_TLS", "self-signed")];
        for (host, set, told) in [
            ("0.0.0.0", &all[2..], "for localhost alone"),
            ("127.0.0.1", &all[..], "one of both"),
            ("127.0.0.1", &files[..1], "--tls-cert needs --tls-key"),
            ("127.0.0.1", &files[1..], "--tls-key needs --tls-cert"),
        ] {
            let error = read(host, set).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_told_with_its_file() {
        let place = tempfile::tempdir().unwrap();
        let dir = DataDir::make(place.path()).unwrap();
        let own = TlsChoice::SelfSigned.config(&dir).unwrap().unwrap();
        assert_eq!(own.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        let (cert, key) = (dir.file("tls-cert.pem"), dir.file("tls-key.pem"));
        let before = fs::read(&cert).unwrap();
        TlsChoice::SelfSigned.config(&dir).unwrap();
        assert_eq!(fs::read(&cert).unwrap(), before, "it is kept");
        for (cert, key, told) in [
            (&key, &key, "no certificate"),
            (&cert, &cert, "no private key"),
            (&dir.file("nothing"), &key, "nothing: no certificate"),
        ] {
            let choice = TlsChoice::Files { cert: cert.clone(), key: key.clone() };
            let error = choice.config(&dir).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let other = tempfile::tempdir().unwrap();
        let other = DataDir::make(other.path()).unwrap();
        TlsChoice::SelfSigned.config(&other).unwrap();
        let key = other.file("tls-key.pem");
        let error = TlsChoice::Files { cert, key }.config(&dir).unwrap_err().to_string();
        assert!(error.contains("does not go with its key"), "{error}");
    }
}
