//! A registry of one image on this machine's loopback, well or ill.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How it gives out the image's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// As they are.
    Whole,
    /// Without an end that a test could wait for.
    Slowly,
    /// Some megabytes, then not a byte more.
    Stalling,
    /// Half of them, then it hangs up.
    Half,
    /// Nothing: its manifest is answered by this status.
    Status(&'static str),
}

/// What it has, as the engine unpacked it.
pub struct Image {
    config: Vec<u8>,
    layers: Vec<(String, PathBuf)>,
    _folder: tempfile::TempDir,
}

impl Image {
    /// From the engine of this machine.
    pub fn saved(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut save = Command::new("docker")
            .args(["save", name])
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut archive = tar::Archive::new(save.stdout.take().expect("a pipe"));
        archive.unpack(folder.path()).expect("unpacked");
        // What follows the end of the archive.
        std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).expect("read");
        assert!(save.wait().expect("waited for").success());

        let read = |name: &str| fs::read(folder.path().join(name)).expect("readable");
        let manifest: Value = serde_json::from_slice(&read("manifest.json")).expect("JSON");
        let config = read(manifest[0]["Config"].as_str().expect("a name"));
        let described: Value = serde_json::from_slice(&config).expect("JSON");
        // They are not compressed, so that the digests of what is in them are their own.
        let digests = described["rootfs"]["diff_ids"].as_array().expect("a list");
        let files = manifest[0]["Layers"].as_array().expect("a list");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let layers = digests
            .iter()
            .zip(files)
            .map(|(digest, file)| (text(digest), folder.path().join(text(file))))
            .collect();
        Self {
            config,
            layers,
            _folder: folder,
        }
    }

    fn manifest(&self) -> Vec<u8> {
        let size = |path: &PathBuf| path.metadata().expect("a file").len();
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|(digest, path)| {
                json!({
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    "size": size(path),
                    "digest": digest,
                })
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": self.config.len(),
                "digest": digest(&self.config),
            },
            "layers": layers,
        });
        manifest.to_string().into_bytes()
    }
}

/// What comes with a status that is no success.
const UNKNOWN: &[u8] = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// Listens until it is dropped.
pub struct Registry {
    port: u16,
    ended: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Registry {
    pub fn new(image: &Arc<Image>, serves: Serves) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let ended = Arc::new(AtomicBool::new(false));
        let (image, end) = (Arc::clone(image), Arc::clone(&ended));
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let (image, end) = (Arc::clone(&image), Arc::clone(&end));
                // An engine that hangs up is no failure of the registry's.
                std::thread::spawn(move || answer(stream, &image, serves, &end).ok());
            }
        });
        Self {
            port,
            ended,
            listener: Some(listening),
        }
    }

    /// The image's name in it.
    pub fn image(&self) -> String {
        format!("127.0.0.1:{}/lockproof/pulled:1", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // So that it looks.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// One request, one answer. An engine asks by TLS first: what it gets tells it that there is none.
fn answer(
    stream: TcpStream,
    image: &Image,
    serves: Serves,
    ended: &AtomicBool,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut request = Vec::new();
    lines.read_until(b'\n', &mut request)?;
    let request = String::from_utf8_lossy(&request).into_owned();
    let mut stream = stream;
    if !request.contains(" HTTP/1.") {
        return stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nthis is HTTP\n");
    }
    let mut header = String::new();
    let mut resumed = false;
    while lines.read_line(&mut header)? > 2 {
        resumed |= header.to_lowercase().starts_with("range:");
        header.clear();
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let mut head = |status: &str, kind: &str, length: u64, digest: &str| {
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Docker-Distribution-Api-Version: registry/2.0\r\nDocker-Content-Digest: {digest}\r\n\
             Connection: close\r\n\r\n"
        )
    };
    let small = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or_default();
    if path == "/v2/" {
        return head("200 OK", "application/json", 0, "");
    }
    if path.contains("/manifests/") {
        if let Serves::Status(status) = serves {
            head(status, "application/json", small(UNKNOWN), "")?;
            return stream.write_all(UNKNOWN);
        }
        let manifest = image.manifest();
        head("200 OK", MANIFEST, small(&manifest), &digest(&manifest))?;
        return match method {
            Some("HEAD") => Ok(()),
            _ => stream.write_all(&manifest),
        };
    }
    let asked = path.rsplit('/').next().unwrap_or_default();
    if asked == digest(&image.config) {
        head("200 OK", "application/json", small(&image.config), asked)?;
        return stream.write_all(&image.config);
    }
    let Some((_, file)) = image.layers.iter().find(|(digest, _)| digest == asked) else {
        return head("404 Not Found", "text/plain", 0, "");
    };
    let length = file.metadata()?.len();
    if resumed {
        // Whoever was cut off and comes again is cut off again.
        return Ok(());
    }
    head("200 OK", "application/octet-stream", length, asked)?;
    give(&mut stream, file, length, serves, ended)
}

fn give(
    stream: &mut TcpStream,
    file: &Path,
    length: u64,
    serves: Serves,
    ended: &AtomicBool,
) -> std::io::Result<()> {
    let mut file = File::open(file)?;
    let most = match serves {
        Serves::Whole | Serves::Slowly | Serves::Status(_) => length,
        Serves::Stalling => 4 << 20,
        Serves::Half => length / 2,
    };
    let mut piece = vec![0; 64 * 1024];
    while file.stream_position()? < most && !ended.load(Ordering::Relaxed) {
        let read = file.read(&mut piece)?;
        stream.write_all(&piece[..read])?;
        if serves == Serves::Slowly {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    while serves == Serves::Stalling && !ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
