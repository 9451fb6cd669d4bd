//! Files of the repository, and the programs that read them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(ROOT).join(relative)
}

pub(crate) fn text(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// Where `scripts/tools test` installs what deploy/validators.txt names.
pub(crate) fn validators() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let folder = cache.unwrap().join("tillwatch/validators");
    assert!(folder.is_dir(), "{} is missing: scripts/tools test installs it", folder.display());
    folder
}

pub(crate) fn validator(program: &str) -> Command {
    let mut command = Command::new(validators().join("bin").join(program));
    command.current_dir(ROOT);
    command
}

/// Python with the validators' modules, PyYAML among them.
pub(crate) fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", validators()).current_dir(ROOT).args(["-c", program]);
    command
}

/// What it printed; it must have succeeded.
pub(crate) fn answer(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// All documents of a YAML file.
pub(crate) fn yaml(file: &Path) -> Vec<Value> {
    let program = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    serde_json::from_str(&answer(python(program).arg(file))).unwrap()
}

pub(crate) fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap()).collect()
}

/// An image is named with a version, or with a digest.
pub(crate) fn assert_pinned(image: &str) {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let tag = name.rsplit('/').next().unwrap().split_once(':').map(|(_, tag)| tag);
    let has_version =
        tag.is_some_and(|tag| tag != "latest" && tag.starts_with(|first: char| first.is_ascii_digit()));
    let has_digest = digest.is_some_and(|digest| digest.starts_with("sha256:") && digest.len() == 71);
    assert!(has_version || has_digest, "{image} is not pinned");
}
